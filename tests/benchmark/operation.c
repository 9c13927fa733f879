/* SPDX-License-Identifier: Apache-2.0 */
#include "operation.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define SM2_USER_ID "1234567812345678"
#define MAX_RESULT  8192

struct _Operation
{
  void (*run) (const Operation *operation);
  const EVP_MD *digest;
  gboolean pss;
  gboolean sm2;
  GBytes *key; /* of an HMAC */
  EVP_PKEY *pair;
  GBytes *message;
  GBytes *input;
};

static void
require (gboolean ok)
{
  if (ok)
    return;
  ERR_print_errors_fp (stderr);
  exit (EXIT_FAILURE);
}

/* Ready for EVP_DigestSign() or EVP_DigestVerify(). */
static EVP_MD_CTX *
new_context (const Operation *operation, gboolean sign)
{
  EVP_MD_CTX *context = EVP_MD_CTX_new ();
  EVP_PKEY_CTX *of_key = EVP_PKEY_CTX_new (operation->pair, NULL);
  require (context != NULL && of_key != NULL);
  if (operation->sm2)
    require (EVP_PKEY_CTX_set1_id (of_key, SM2_USER_ID, strlen (SM2_USER_ID)) == 1);
  EVP_MD_CTX_set_pkey_ctx (context, of_key);
  require ((sign ? EVP_DigestSignInit (context, NULL, operation->digest, NULL, operation->pair)
                 : EVP_DigestVerifyInit (context, NULL, operation->digest, NULL, operation->pair)) == 1);
  if (operation->pss)
    require (EVP_PKEY_CTX_set_rsa_padding (of_key, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen (of_key, RSA_PSS_SALTLEN_DIGEST) == 1);
  return context;
}

static void
free_context (EVP_MD_CTX *context)
{
  EVP_PKEY_CTX *of_key = EVP_MD_CTX_get_pkey_ctx (context); /* not freed with a context that was given it */
  EVP_MD_CTX_free (context);
  EVP_PKEY_CTX_free (of_key);
}

static void
sign (const Operation *operation)
{
  guint8 signature[MAX_RESULT];
  gsize message_size, size = sizeof signature;
  const guint8 *message = g_bytes_get_data (operation->message, &message_size);
  EVP_MD_CTX *context = new_context (operation, TRUE);
  require (EVP_DigestSign (context, signature, &size, message, message_size) == 1);
  free_context (context);
}

static void
verify (const Operation *operation)
{
  gsize message_size, size;
  const guint8 *message = g_bytes_get_data (operation->message, &message_size);
  const guint8 *signature = g_bytes_get_data (operation->input, &size);
  EVP_MD_CTX *context = new_context (operation, FALSE);
  require (EVP_DigestVerify (context, signature, size, message, message_size) == 1);
  free_context (context);
}

static void
decrypt (const Operation *operation)
{
  guint8 plaintext[MAX_RESULT];
  gsize ciphertext_size, size = sizeof plaintext;
  const guint8 *ciphertext = g_bytes_get_data (operation->message, &ciphertext_size);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new (operation->pair, NULL);
  require (context != NULL && EVP_PKEY_decrypt_init (context) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding (context, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md (context, operation->digest) == 1 &&
           EVP_PKEY_decrypt (context, plaintext, &size, ciphertext, ciphertext_size) == 1);
  EVP_PKEY_CTX_free (context);
}

static void
authenticate (const Operation *operation)
{
  guint8 mac[EVP_MAX_MD_SIZE];
  gsize key_size, message_size, size;
  const guint8 *key = g_bytes_get_data (operation->key, &key_size);
  const guint8 *message = g_bytes_get_data (operation->message, &message_size);
  require (EVP_Q_mac (NULL, "HMAC", NULL, EVP_MD_get0_name (operation->digest), NULL, key, key_size, message,
                      message_size, mac, sizeof mac, &size) != NULL);
}

static const struct
{
  const char *method;
  void (*run) (const Operation *operation);
} methods[] = {
  { "Sign", sign },
  { "Verify", verify },
  { "AsymmetricDecrypt", decrypt },
  { "GenerateMac", authenticate },
  { "VerifyMac", authenticate }, /* and a comparison */
};

static GBytes *
decode (const char *base64)
{
  gsize size = 0;
  guint8 *data = g_base64_decode (base64, &size);
  return g_bytes_new_take (data, size);
}

Operation *
operation_new (char **words)
{
  Operation *operation = g_new0 (Operation, 1);
  for (gsize i = 0; i < G_N_ELEMENTS (methods); i++)
    if (g_str_equal (words[0], methods[i].method))
      operation->run = methods[i].run;
  operation->sm2 = g_str_equal (words[1], "SM2DSA");
  operation->pss = g_str_has_prefix (words[1], "RSA_PSS");
  operation->digest = operation->sm2 ? EVP_sm3 () : EVP_sha256 ();
  char *key = NULL;
  gsize size = 0;
  require (operation->run != NULL && g_file_get_contents (words[2], &key, &size, NULL));
  operation->key = g_bytes_new_take (key, size);
  const guint8 *der = (const guint8 *) key;
  if (operation->run != authenticate)
    require ((operation->pair = d2i_AutoPrivateKey (NULL, &der, (long) size)) != NULL);
  operation->message = decode (words[3]);
  operation->input = decode (words[4]);
  return operation;
}

void
operation_run (const Operation *operation)
{
  operation->run (operation);
}

void
operation_free (Operation *operation)
{
  if (operation == NULL)
    return;
  EVP_PKEY_free (operation->pair);
  g_bytes_unref (operation->key);
  g_bytes_unref (operation->message);
  g_bytes_unref (operation->input);
  g_free (operation);
}
