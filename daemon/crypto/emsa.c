/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/emsa.h"

#include "crypto/crypto.h"
#include "crypto/openssl.h"
#include "crypto/unpad.h"

#include <string.h>

#define PSS_TRAILER 0xbc

/* Hash (eight zeros || digest || salt). */
static gboolean
hash_salted (const EVP_MD *hash, const guint8 *digest, const guint8 *salt, gsize size, guint8 *ret_hash)
{
  static const guint8 zeros[8];
  g_autoptr (EVP_MD_CTX) context = EVP_MD_CTX_new ();
  return context != NULL && EVP_DigestInit_ex2 (context, hash, NULL) == 1 &&
         EVP_DigestUpdate (context, zeros, sizeof zeros) == 1 && EVP_DigestUpdate (context, digest, size) == 1 &&
         EVP_DigestUpdate (context, salt, size) == 1 && EVP_DigestFinal_ex (context, ret_hash, NULL) == 1;
}

gboolean
cmk_emsa_pss (const EVP_MD *hash, const guint8 *digest, guint8 *ret_block, gsize block_size, GError **error)
{
  gsize size = (gsize) EVP_MD_get_size (hash);
  gsize data_size = block_size - size - 1;
  guint8 *salt = ret_block + data_size - size;
  guint8 *salted_hash = ret_block + data_size;
  g_return_val_if_fail (block_size >= 2 * size + 2, FALSE);
  memset (ret_block, 0, data_size - size - 1);
  salt[-1] = 0x01;
  if (!cmk_random_bytes (salt, size, error))
    return FALSE;
  gboolean encoded = hash_salted (hash, digest, salt, size, salted_hash) &&
                     cmk_mgf1_apply (ret_block, data_size, salted_hash, size, hash);
  ret_block[0] &= 0x7f; /* one bit shorter than the modulus */
  ret_block[block_size - 1] = PSS_TRAILER;
  return cmk_openssl_ok (encoded, "cannot encode a digest for RSASSA-PSS", error);
}

void
cmk_emsa_pkcs1 (const guint8 *digest, gsize digest_size, guint8 *ret_block, gsize block_size)
{
  /* DigestInfo up to the digest: id-sha256, -384 and -512 are 2.16.840.1.101.3.4.2 with 1, 2 and 3. */
  guint8 info[] = { 0x30, 0x11, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                    0x65, 0x03, 0x04, 0x02, 0x00, 0x05, 0x00, 0x04, 0x00 };
  info[1] = (guint8) (info[1] + digest_size);
  info[14] = (guint8) (digest_size / 16 - 1);
  info[18] = (guint8) digest_size;
  gsize padding_end = block_size - digest_size - sizeof info;
  ret_block[0] = 0x00;
  ret_block[1] = 0x01;
  memset (ret_block + 2, 0xff, padding_end - 3);
  ret_block[padding_end - 1] = 0x00;
  memcpy (ret_block + padding_end, info, sizeof info);
  memcpy (ret_block + padding_end + sizeof info, digest, digest_size);
}
