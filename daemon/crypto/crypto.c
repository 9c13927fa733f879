/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/crypto.h"

#include "base/error.h"
#include "crypto/openssl.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

/* Room for the numbers of the pairs being made, imported and taken apart. Of a private key that is loaded OpenSSL 3.0
 * has EC scalars here, but RSA numbers on the ordinary heap, for as long as the operation takes. */
#define SECURE_HEAP_BYTES   (512 * 1024)
#define SECURE_HEAP_MINIMUM 64

static CmkAlgorithms algorithms;

gboolean
cmk_openssl_ok (gboolean ok, const char *what, GError **error)
{
  if (ok)
    return TRUE;
  const char *reason = ERR_reason_error_string (ERR_peek_last_error ());
  g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL, "%s: OpenSSL says: %s", what,
               reason != NULL ? reason : "no reason given");
  ERR_clear_error ();
  return FALSE;
}

gboolean
cmk_crypto_init (GError **error)
{
  g_return_val_if_fail (algorithms.hmac == NULL, FALSE);
  /* 2 would mean that there is a heap, but not a locked one. */
  if (CRYPTO_secure_malloc_init (SECURE_HEAP_BYTES, SECURE_HEAP_MINIMUM) != 1)
    {
      ERR_clear_error ();
      g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL,
                   "cannot lock %d KiB of memory for private keys; raise LimitMEMLOCK= (ulimit -l)",
                   SECURE_HEAP_BYTES / 1024);
      return FALSE;
    }
  algorithms.hmac = EVP_MAC_fetch (NULL, "HMAC", NULL);
  algorithms.hkdf = EVP_KDF_fetch (NULL, "HKDF", NULL);
  algorithms.sha1 = EVP_MD_fetch (NULL, "SHA1", NULL);
  algorithms.sha256 = EVP_MD_fetch (NULL, "SHA256", NULL);
  algorithms.sha384 = EVP_MD_fetch (NULL, "SHA384", NULL);
  algorithms.sha512 = EVP_MD_fetch (NULL, "SHA512", NULL);
  algorithms.sm3 = EVP_MD_fetch (NULL, "SM3", NULL);
  algorithms.aes_128_cfb = EVP_CIPHER_fetch (NULL, "AES-128-CFB", NULL);
  algorithms.aes_256_ecb = EVP_CIPHER_fetch (NULL, "AES-256-ECB", NULL);
  algorithms.aes_256_gcm = EVP_CIPHER_fetch (NULL, "AES-256-GCM", NULL);
  algorithms.sm4_ctr = EVP_CIPHER_fetch (NULL, "SM4-CTR", NULL);
  algorithms.sm4_ecb = EVP_CIPHER_fetch (NULL, "SM4-ECB", NULL);
  gboolean complete = algorithms.hmac != NULL && algorithms.hkdf != NULL && algorithms.sha1 != NULL &&
                      algorithms.sha256 != NULL && algorithms.sha384 != NULL && algorithms.sha512 != NULL &&
                      algorithms.sm3 != NULL && algorithms.aes_128_cfb != NULL && algorithms.aes_256_ecb != NULL &&
                      algorithms.aes_256_gcm != NULL && algorithms.sm4_ctr != NULL && algorithms.sm4_ecb != NULL;
  return cmk_openssl_ok (complete, "cannot load HMAC, HKDF, SHA-1, SHA-2, SM3, AES and SM4", error);
}

const CmkAlgorithms *
cmk_algorithms (void)
{
  return &algorithms;
}

gboolean
cmk_random_bytes (guint8 *ret_bytes, gsize size, GError **error)
{
  return cmk_openssl_ok (RAND_bytes_ex (NULL, ret_bytes, size, 0) == 1, "cannot make random bytes", error);
}

CmkSecret *
cmk_random_secret (gsize length, GError **error)
{
  g_autoptr (CmkSecret) secret = cmk_secret_new (length, error);
  if (secret == NULL || !cmk_openssl_ok (RAND_priv_bytes_ex (NULL, cmk_secret_data (secret), length, 0) == 1,
                                         "cannot make a random secret", error))
    return NULL;
  return g_steal_pointer (&secret);
}

gboolean
cmk_sha256 (const void *data, gsize size, guint8 ret_digest[CMK_DIGEST_SIZE], GError **error)
{
  return cmk_openssl_ok (EVP_Digest (data, size, ret_digest, NULL, algorithms.sha256, NULL) == 1,
                         "cannot compute SHA-256", error);
}

CmkSecret *
cmk_derive_key (const CmkSecret *root, const char *label, GError **error)
{
  g_autoptr (CmkSecret) key = cmk_secret_new (CMK_MAC_SIZE, error);
  if (key == NULL)
    return NULL;
  g_autoptr (EVP_KDF_CTX) kdf = EVP_KDF_CTX_new (algorithms.hkdf);
  const OSSL_PARAM params[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_KDF_PARAM_DIGEST, (char *) "SHA256", 0),
    OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_KEY, (void *) cmk_secret_peek (root), cmk_secret_length (root)),
    OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_INFO, (void *) label, strlen (label)),
    OSSL_PARAM_construct_end (),
  };
  gboolean derived = kdf != NULL && EVP_KDF_derive (kdf, cmk_secret_data (key), CMK_MAC_SIZE, params) == 1;
  if (!cmk_openssl_ok (derived, "cannot derive a key", error))
    return NULL;
  return g_steal_pointer (&key);
}

gboolean
cmk_hmac (const char *digest, const guint8 *key, gsize key_size, const CmkPart *parts, guint n_parts, guint8 *ret_mac,
          GError **error)
{
  g_autoptr (EVP_MAC_CTX) mac = EVP_MAC_CTX_new (algorithms.hmac);
  const OSSL_PARAM params[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_MAC_PARAM_DIGEST, (char *) digest, 0),
    OSSL_PARAM_construct_end (),
  };
  gboolean ok = mac != NULL && EVP_MAC_init (mac, key, key_size, params) == 1;
  for (guint i = 0; ok && i < n_parts; i++)
    ok = EVP_MAC_update (mac, parts[i].data, parts[i].size) == 1;
  ok = ok && EVP_MAC_final (mac, ret_mac, NULL, EVP_MAX_MD_SIZE) == 1;
  return cmk_openssl_ok (ok, "cannot compute an HMAC", error);
}

gboolean
cmk_mac_compute (const CmkSecret *key, const void *data, gsize size, guint8 ret_mac[CMK_MAC_SIZE], GError **error)
{
  const CmkPart part = { data, size };
  return cmk_hmac ("SHA256", cmk_secret_peek (key), cmk_secret_length (key), &part, 1, ret_mac, error);
}

gboolean
cmk_mac_verify (const CmkSecret *key, const void *data, gsize size, const guint8 mac[CMK_MAC_SIZE])
{
  guint8 expected[CMK_MAC_SIZE];
  gboolean same = cmk_mac_compute (key, data, size, expected, NULL) && CRYPTO_memcmp (expected, mac, CMK_MAC_SIZE) == 0;
  /* The right MAC of a forged record is what its forger is after. */
  OPENSSL_cleanse (expected, sizeof expected);
  return same;
}
