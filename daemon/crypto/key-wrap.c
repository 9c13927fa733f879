/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/key-wrap.h"

#include <openssl/modes.h>

#define BLOCK_SIZE 16

static EVP_CIPHER_CTX *
new_decryption (const EVP_CIPHER *cipher, const CmkSecret *key)
{
  g_return_val_if_fail ((gsize) EVP_CIPHER_get_key_length (cipher) == cmk_secret_length (key), NULL);
  g_autoptr (EVP_CIPHER_CTX) decryption = EVP_CIPHER_CTX_new ();
  if (decryption == NULL || EVP_DecryptInit_ex2 (decryption, cipher, cmk_secret_peek (key), NULL, NULL) != 1 ||
      EVP_CIPHER_CTX_set_padding (decryption, 0) != 1)
    return NULL;
  return g_steal_pointer (&decryption);
}

/* Remembers that a block failed, which it does for want of memory only: the wrapping has no way to say so. */
typedef struct
{
  EVP_CIPHER_CTX *decryption;
  gboolean failed;
} BlockCipher;

static void
decrypt_block (const unsigned char in[BLOCK_SIZE], unsigned char out[BLOCK_SIZE], const void *key)
{
  BlockCipher *cipher = (BlockCipher *) key;
  int length;
  if (EVP_DecryptUpdate (cipher->decryption, out, &length, in, BLOCK_SIZE) != 1)
    cipher->failed = TRUE;
}

CmkSecret *
cmk_key_unwrap (const EVP_CIPHER *cipher, const CmkSecret *key, const guint8 *wrapped, gsize size, gboolean *ret_intact,
                GError **error)
{
  g_autoptr (EVP_CIPHER_CTX) decryption = new_decryption (cipher, key);
  if (!cmk_openssl_ok (decryption != NULL, "cannot prepare to unwrap a key", error))
    return NULL;
  g_autoptr (CmkSecret) unwrapped = cmk_secret_new (size, error);
  if (unwrapped == NULL)
    return NULL;
  BlockCipher block_cipher = { decryption, FALSE };
  /* Wants room for all it is given; 0, with that room wiped, for whatever is wrong. */
  gsize length = CRYPTO_128_unwrap_pad (&block_cipher, NULL, cmk_secret_data (unwrapped), wrapped, size, decrypt_block);
  if (!cmk_openssl_ok (!block_cipher.failed, "cannot unwrap a key", error))
    return NULL;
  *ret_intact = length > 0;
  if (length > 0)
    cmk_secret_shorten (unwrapped, length);
  return g_steal_pointer (&unwrapped);
}

CmkSecret *
cmk_ecb_decrypt (const EVP_CIPHER *cipher, const CmkSecret *key, const guint8 *data, gsize size, GError **error)
{
  g_autoptr (CmkSecret) plaintext = cmk_secret_new (size, error);
  if (plaintext == NULL)
    return NULL;
  int length;
  g_autoptr (EVP_CIPHER_CTX) decryption = new_decryption (cipher, key);
  gboolean decrypted = decryption != NULL &&
                       EVP_DecryptUpdate (decryption, cmk_secret_data (plaintext), &length, data, (int) size) == 1 &&
                       (gsize) length == size;
  if (!cmk_openssl_ok (decrypted, "cannot decrypt in ECB mode", error))
    return NULL;
  return g_steal_pointer (&plaintext);
}
