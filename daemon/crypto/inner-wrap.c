/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/inner-wrap.h"

#include "crypto/crypto.h"
#include "crypto/openssl.h"

#include <string.h>

#define SIZE_FIELD 2

static gboolean
hash_with_name (const CmkSecret *sensitive, GBytes *name, guint8 *ret_digest)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (name, &size);
  g_autoptr (EVP_MD_CTX) context = EVP_MD_CTX_new ();
  return context != NULL && EVP_DigestInit_ex2 (context, cmk_algorithms ()->sha256, NULL) == 1 &&
         EVP_DigestUpdate (context, cmk_secret_peek (sensitive), cmk_secret_length (sensitive)) == 1 &&
         EVP_DigestUpdate (context, data, size) == 1 && EVP_DigestFinal_ex (context, ret_digest, NULL) == 1;
}

GBytes *
cmk_inner_wrap (const CmkSecret *key, const CmkSecret *sensitive, GBytes *name, GError **error)
{
  static const guint8 zero_iv[CMK_INNER_WRAP_KEY_SIZE];
  g_return_val_if_fail (cmk_secret_length (key) == CMK_INNER_WRAP_KEY_SIZE, NULL);
  gsize size = SIZE_FIELD + CMK_DIGEST_SIZE + cmk_secret_length (sensitive);
  g_autoptr (CmkSecret) plain = cmk_secret_new (size, error);
  if (plain == NULL)
    return NULL;
  guint8 *next = cmk_secret_data (plain);
  const guint16 digest_size = GUINT16_TO_BE (CMK_DIGEST_SIZE);
  memcpy (next, &digest_size, SIZE_FIELD);
  memcpy (next + SIZE_FIELD + CMK_DIGEST_SIZE, cmk_secret_peek (sensitive), cmk_secret_length (sensitive));
  int length;
  g_autofree guint8 *wrapped = g_malloc (size);
  g_autoptr (EVP_CIPHER_CTX) cipher = EVP_CIPHER_CTX_new ();
  gboolean done =
      cipher != NULL && hash_with_name (sensitive, name, next + SIZE_FIELD) &&
      EVP_EncryptInit_ex2 (cipher, cmk_algorithms ()->aes_128_cfb, cmk_secret_peek (key), zero_iv, NULL) == 1 &&
      EVP_EncryptUpdate (cipher, wrapped, &length, cmk_secret_peek (plain), (int) size) == 1;
  return cmk_openssl_ok (done, "cannot wrap a private key for the TPM", error)
             ? g_bytes_new_take (g_steal_pointer (&wrapped), size)
             : NULL;
}
