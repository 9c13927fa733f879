/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/gcm.h"

#include <openssl/err.h>

static gboolean
add_aad (EVP_CIPHER_CTX *cipher, const CmkPart *aad, guint n_aad)
{
  int length;
  for (guint i = 0; i < n_aad; i++)
    if (EVP_CipherUpdate (cipher, NULL, &length, aad[i].data, (int) aad[i].size) != 1)
      return FALSE;
  return TRUE;
}

gboolean
cmk_gcm_seal (const guint8 key[CMK_GCM_KEY_SIZE], const guint8 nonce[CMK_GCM_NONCE_SIZE], const CmkPart *aad,
              guint n_aad, const CmkSecret *plaintext, guint8 *ret_sealed, GError **error)
{
  gsize size = cmk_secret_length (plaintext);
  int length;
  g_autoptr (EVP_CIPHER_CTX) cipher = EVP_CIPHER_CTX_new ();
  gboolean sealed = cipher != NULL &&
                    EVP_EncryptInit_ex2 (cipher, cmk_algorithms ()->aes_256_gcm, key, nonce, NULL) == 1 &&
                    add_aad (cipher, aad, n_aad) &&
                    EVP_EncryptUpdate (cipher, ret_sealed, &length, cmk_secret_peek (plaintext), (int) size) == 1 &&
                    EVP_EncryptFinal_ex (cipher, ret_sealed + size, &length) == 1 &&
                    EVP_CIPHER_CTX_ctrl (cipher, EVP_CTRL_AEAD_GET_TAG, CMK_GCM_TAG_SIZE, ret_sealed + size) == 1;
  return cmk_openssl_ok (sealed, "cannot encrypt with AES-256-GCM", error);
}

gboolean
cmk_gcm_open (const guint8 key[CMK_GCM_KEY_SIZE], const guint8 nonce[CMK_GCM_NONCE_SIZE], const CmkPart *aad,
              guint n_aad, const guint8 *sealed, CmkSecret *plaintext)
{
  gsize size = cmk_secret_length (plaintext);
  guint8 *data = cmk_secret_data (plaintext);
  int length;
  g_autoptr (EVP_CIPHER_CTX) cipher = EVP_CIPHER_CTX_new ();
  gboolean opened =
      cipher != NULL && EVP_DecryptInit_ex2 (cipher, cmk_algorithms ()->aes_256_gcm, key, nonce, NULL) == 1 &&
      add_aad (cipher, aad, n_aad) && EVP_DecryptUpdate (cipher, data, &length, sealed, (int) size) == 1 &&
      EVP_CIPHER_CTX_ctrl (cipher, EVP_CTRL_AEAD_SET_TAG, CMK_GCM_TAG_SIZE, (void *) (sealed + size)) == 1 &&
      EVP_DecryptFinal_ex (cipher, data + size, &length) == 1;
  ERR_clear_error ();
  return opened;
}
