/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/signature.h"

#include "crypto/key-form.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

/* GM/T 0009: the id of a signer who has none of his own. */
#define SM2_USER_ID "1234567812345678"

typedef struct
{
  const char *digest;
  const char *padding; /* of RSA */
} Scheme;

static const Scheme schemes[] = {
  [CMK_SIGNING_RSA_PSS_SHA_256] = { "SHA256", OSSL_PKEY_RSA_PAD_MODE_PSS },
  [CMK_SIGNING_RSA_PSS_SHA_384] = { "SHA384", OSSL_PKEY_RSA_PAD_MODE_PSS },
  [CMK_SIGNING_RSA_PSS_SHA_512] = { "SHA512", OSSL_PKEY_RSA_PAD_MODE_PSS },
  [CMK_SIGNING_RSA_PKCS1_SHA_256] = { "SHA256", OSSL_PKEY_RSA_PAD_MODE_PKCSV15 },
  [CMK_SIGNING_RSA_PKCS1_SHA_384] = { "SHA384", OSSL_PKEY_RSA_PAD_MODE_PKCSV15 },
  [CMK_SIGNING_RSA_PKCS1_SHA_512] = { "SHA512", OSSL_PKEY_RSA_PAD_MODE_PKCSV15 },
  [CMK_SIGNING_ECDSA_SHA_256] = { "SHA256", NULL },
  [CMK_SIGNING_ECDSA_SHA_384] = { "SHA384", NULL },
  [CMK_SIGNING_SM2DSA] = { "SM3", NULL },
};

#define MAX_PARAMS 5

static OSSL_PARAM
construct_text (const char *name, const char *value)
{
  return OSSL_PARAM_construct_utf8_string (name, (char *) value, 0);
}

/* Say to @context, which has been initialised, what else there is to the scheme. */
static gboolean
configure (EVP_PKEY_CTX *context, CmkSigningAlgorithm algorithm, CmkMessageType type)
{
  const Scheme *scheme = &schemes[algorithm];
  OSSL_PARAM params[MAX_PARAMS];
  OSSL_PARAM *next = params;
  if (scheme->padding != NULL)
    *next++ = construct_text (OSSL_SIGNATURE_PARAM_PAD_MODE, scheme->padding);
  if (scheme->padding != NULL && type == CMK_MESSAGE_DIGEST)
    *next++ = construct_text (OSSL_SIGNATURE_PARAM_DIGEST, scheme->digest);
  if (g_strcmp0 (scheme->padding, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0)
    {
      *next++ = construct_text (OSSL_SIGNATURE_PARAM_MGF1_DIGEST, scheme->digest);
      *next++ = construct_text (OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST);
    }
  if (algorithm == CMK_SIGNING_SM2DSA && type == CMK_MESSAGE_RAW)
    *next++ = OSSL_PARAM_construct_octet_string (OSSL_PKEY_PARAM_DIST_ID, (void *) SM2_USER_ID, strlen (SM2_USER_ID));
  *next = OSSL_PARAM_construct_end ();
  return EVP_PKEY_CTX_set_params (context, params) == 1;
}

static gboolean
sign_message (EVP_PKEY *pair, CmkSigningAlgorithm algorithm, GBytes *message, guint8 *signature, gsize *size)
{
  gsize message_size;
  const guint8 *data = g_bytes_get_data (message, &message_size);
  EVP_PKEY_CTX *borrowed = NULL;
  g_autoptr (EVP_MD_CTX) context = EVP_MD_CTX_new ();
  return context != NULL &&
         EVP_DigestSignInit_ex (context, &borrowed, schemes[algorithm].digest, NULL, NULL, pair, NULL) == 1 &&
         configure (borrowed, algorithm, CMK_MESSAGE_RAW) &&
         EVP_DigestSign (context, signature, size, data, message_size) == 1;
}

static gboolean
sign_digest (EVP_PKEY *pair, CmkSigningAlgorithm algorithm, GBytes *digest, guint8 *signature, gsize *size)
{
  gsize digest_size;
  const guint8 *data = g_bytes_get_data (digest, &digest_size);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, pair, NULL);
  return context != NULL && EVP_PKEY_sign_init (context) == 1 && configure (context, algorithm, CMK_MESSAGE_DIGEST) &&
         EVP_PKEY_sign (context, signature, size, data, digest_size) == 1;
}

GBytes *
cmk_signature_make (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message,
                    GError **error)
{
  EVP_PKEY *pair = cmk_private_key_pair (key);
  gsize size = (gsize) EVP_PKEY_get_size (pair);
  g_autofree guint8 *signature = g_malloc (size);
  gboolean made = type == CMK_MESSAGE_RAW ? sign_message (pair, algorithm, message, signature, &size)
                                          : sign_digest (pair, algorithm, message, signature, &size);
  if (!cmk_openssl_ok (made, "cannot sign", error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&signature), size);
}

/* These two are FALSE if the question could not be asked. OpenSSL answers a signature that is not even one as it answers
 * its own failures. */
static gboolean
check_message (EVP_PKEY *public, CmkSigningAlgorithm algorithm, GBytes *message, CmkPart signature, gboolean *ret_valid)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (message, &size);
  EVP_PKEY_CTX *borrowed = NULL;
  g_autoptr (EVP_MD_CTX) context = EVP_MD_CTX_new ();
  if (context == NULL ||
      EVP_DigestVerifyInit_ex (context, &borrowed, schemes[algorithm].digest, NULL, NULL, public, NULL) != 1 ||
      !configure (borrowed, algorithm, CMK_MESSAGE_RAW))
    return FALSE;
  *ret_valid = EVP_DigestVerify (context, signature.data, signature.size, data, size) == 1;
  return TRUE;
}

static gboolean
check_digest (EVP_PKEY *public, CmkSigningAlgorithm algorithm, GBytes *digest, CmkPart signature, gboolean *ret_valid)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (digest, &size);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, public, NULL);
  if (context == NULL || EVP_PKEY_verify_init (context) != 1 || !configure (context, algorithm, CMK_MESSAGE_DIGEST))
    return FALSE;
  *ret_valid = EVP_PKEY_verify (context, signature.data, signature.size, data, size) == 1;
  return TRUE;
}

gboolean
cmk_signature_check (GBytes *public_der, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message,
                     GBytes *signature, gboolean *ret_valid, GError **error)
{
  *ret_valid = FALSE;
  g_autoptr (EVP_PKEY) public = cmk_public_key_load (public_der, error);
  if (public == NULL)
    return FALSE;
  CmkPart part;
  part.data = g_bytes_get_data (signature, &part.size);
  /* RFC 8017, 8.1.2: as long as the modulus. OpenSSL takes a PSS signature without the zeros that it begins with. */
  if (schemes[algorithm].padding != NULL && part.size != (gsize) EVP_PKEY_get_size (public))
    return TRUE;
  gboolean asked = type == CMK_MESSAGE_RAW ? check_message (public, algorithm, message, part, ret_valid)
                                           : check_digest (public, algorithm, message, part, ret_valid);
  if (!cmk_openssl_ok (asked, "cannot verify a signature", error))
    return FALSE;
  ERR_clear_error ();
  return TRUE;
}
