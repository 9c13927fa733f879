/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/signature.h"

#include "base/error.h"
#include "crypto/emsa.h"
#include "crypto/key-form.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ECDSA_SIG, ECDSA_SIG_free)

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

static GBytes *
sign_here (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message,
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

/* These two are FALSE if the question could not be asked. OpenSSL answers a signature that is not even one as it
 * answers its own failures. */
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

/* --- by a key that is held elsewhere, which is told the digest only --- */

static const EVP_MD *
hash_of (CmkSigningAlgorithm algorithm)
{
  switch (cmk_signing_algorithm_digest_bytes (algorithm))
    {
    case 32:
      return cmk_algorithms ()->sha256;
    case 48:
      return cmk_algorithms ()->sha384;
    default:
      return cmk_algorithms ()->sha512;
    }
}

static GBytes *
make_digest (CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message, GError **error)
{
  if (type == CMK_MESSAGE_DIGEST)
    return g_bytes_ref (message);
  gsize size;
  const guint8 *data = g_bytes_get_data (message, &size);
  guint8 digest[EVP_MAX_MD_SIZE];
  gboolean made = EVP_Digest (data, size, digest, NULL, hash_of (algorithm), NULL) == 1;
  return cmk_openssl_ok (made, "cannot hash a message", error)
             ? g_bytes_new (digest, cmk_signing_algorithm_digest_bytes (algorithm))
             : NULL;
}

static GBytes *
have_rsa_signed (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, const guint8 *digest, gsize digest_size,
                 GError **error)
{
  const CmkPrivateKeyHolder *holder = cmk_private_key_holder (key);
  gsize size = cmk_key_spec_rsa_bits (cmk_private_key_spec (key)) / 8;
  g_autofree guint8 *block = g_malloc (size);
  g_autofree guint8 *signature = g_malloc (size);
  if (!g_str_equal (schemes[algorithm].padding, OSSL_PKEY_RSA_PAD_MODE_PSS))
    cmk_emsa_pkcs1 (digest, digest_size, block, size);
  else if (!cmk_emsa_pss (hash_of (algorithm), digest, block, size, error))
    return NULL;
  return holder->rsa (holder->data, block, size, signature, error)
             ? g_bytes_new_take (g_steal_pointer (&signature), size)
             : NULL;
}

GBytes *
cmk_signature_encode_ecdsa (const guint8 *numbers, gsize number_size, GError **error)
{
  unsigned char *der = NULL;
  int size = 0;
  BIGNUM *r = BN_bin2bn (numbers, (int) number_size, NULL);
  BIGNUM *s = BN_bin2bn (numbers + number_size, (int) number_size, NULL);
  g_autoptr (ECDSA_SIG) signature = ECDSA_SIG_new ();
  if (signature != NULL && ECDSA_SIG_set0 (signature, r, s) == 1)
    size = i2d_ECDSA_SIG (signature, &der);
  else
    {
      BN_free (r);
      BN_free (s);
    }
  if (!cmk_openssl_ok (size > 0, "cannot encode an ECDSA signature", error))
    return NULL;
  GBytes *encoded = g_bytes_new (der, (gsize) size);
  OPENSSL_free (der);
  return encoded;
}

static GBytes *
have_ecdsa_signed (const CmkPrivateKey *key, const guint8 *digest, gsize digest_size, GError **error)
{
  const CmkPrivateKeyHolder *holder = cmk_private_key_holder (key);
  gsize number_size = cmk_key_form (cmk_private_key_spec (key))->scalar_size;
  g_autofree guint8 *numbers = g_malloc (2 * number_size);
  return holder->ecdsa (holder->data, digest, digest_size, numbers, error)
             ? cmk_signature_encode_ecdsa (numbers, number_size, error)
             : NULL;
}

/* One RSA signature with a fault in one of the two halves of its computation gives the modulus' factors to whoever sees
 * it (Boneh, DeMillo, Lipton 1997), and a faulty ECDSA one can give the scalar; what the chip does when its supply is
 * played with is not known here. To look costs a thousandth of what the chip took. */
static gboolean
check_holders_work (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, GBytes *digest, GBytes *signature,
                    GError **error)
{
  CmkPart part;
  gboolean valid = FALSE;
  part.data = g_bytes_get_data (signature, &part.size);
  gboolean asked = check_digest (cmk_private_key_pair (key), algorithm, digest, part, &valid);
  if (!cmk_openssl_ok (asked, "cannot verify a signature", error))
    return FALSE;
  ERR_clear_error ();
  if (!valid)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE,
                         "the TPM answered with a signature that is not one by the key, and a wrong signature can give "
                         "a key away, so it is kept back; try again, and if this goes on, the TPM is faulty or what "
                         "is stored of the key is");
  return valid;
}

static GBytes *
have_signed (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message,
             GError **error)
{
  g_autoptr (GBytes) digest = make_digest (algorithm, type, message, error);
  if (digest == NULL)
    return NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (digest, &size);
  g_autoptr (GBytes) signature = schemes[algorithm].padding != NULL
                                     ? have_rsa_signed (key, algorithm, data, size, error)
                                     : have_ecdsa_signed (key, data, size, error);
  return signature != NULL && check_holders_work (key, algorithm, digest, signature, error)
             ? g_steal_pointer (&signature)
             : NULL;
}

GBytes *
cmk_signature_make (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message,
                    GError **error)
{
  return cmk_private_key_holder (key) == NULL ? sign_here (key, algorithm, type, message, error)
                                              : have_signed (key, algorithm, type, message, error);
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
