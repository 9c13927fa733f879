/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults of the padding gather in a volatile accumulator that is looked at once, at the end: volatile, so
 * that no compiler turns a loop into one that stops at the first fault. */
#include "crypto/unpad.h"

#include "crypto/openssl.h"

#include <openssl/crypto.h>
#include <string.h>

gboolean
cmk_unpad_pkcs1 (const guint8 *block, gsize block_size, guint8 *ret_message, gsize message_size)
{
  g_return_val_if_fail (block_size >= message_size + CMK_PKCS1_OVERHEAD, FALSE);
  gsize separator = block_size - message_size - 1;
  volatile guint32 faults = block[0] | (block[1] ^ 0x02U);
  for (gsize i = 2; i < separator; i++)
    faults |= (block[i] - 1U) >> 8; /* non-zero for a zero byte only */
  faults |= block[separator];
  memcpy (ret_message, block + separator + 1, message_size);
  return faults == 0;
}

/* target ^= MGF1 (seed), RFC 8017 B.2.1. */
static gboolean
unmask (guint8 *target, gsize target_size, const guint8 *seed, gsize seed_size, const EVP_MD *hash)
{
  guint8 mask[EVP_MAX_MD_SIZE];
  gsize mask_size = (gsize) EVP_MD_get_size (hash);
  g_autoptr (EVP_MD_CTX) digest = EVP_MD_CTX_new ();
  gboolean ok = digest != NULL;
  for (gsize done = 0; ok && done < target_size; done += mask_size)
    {
      guint32 counter = GUINT32_TO_BE ((guint32) (done / mask_size));
      ok = EVP_DigestInit_ex2 (digest, hash, NULL) == 1 && EVP_DigestUpdate (digest, seed, seed_size) == 1 &&
           EVP_DigestUpdate (digest, &counter, sizeof counter) == 1 && EVP_DigestFinal_ex (digest, mask, NULL) == 1;
      for (gsize i = 0; i < MIN (mask_size, target_size - done); i++)
        target[done + i] ^= mask[i];
    }
  OPENSSL_cleanse (mask, sizeof mask);
  return ok;
}

gboolean
cmk_unpad_oaep (guint8 *block, gsize block_size, const EVP_MD *hash, guint8 *ret_message, gsize message_size)
{
  gsize hash_size = (gsize) EVP_MD_get_size (hash);
  g_return_val_if_fail (block_size >= message_size + 2 * hash_size + 2, FALSE);
  guint8 label_hash[EVP_MAX_MD_SIZE];
  guint8 *seed = block + 1;
  guint8 *data = seed + hash_size;
  gsize data_size = block_size - 1 - hash_size;
  gsize separator = data_size - message_size - 1;

  /* These fail for want of memory only, whatever the block holds. */
  if (!unmask (seed, hash_size, data, data_size, hash) || !unmask (data, data_size, seed, hash_size, hash) ||
      EVP_Digest ("", 0, label_hash, NULL, hash, NULL) != 1)
    return FALSE;

  volatile guint32 faults = block[0];
  for (gsize i = 0; i < hash_size; i++)
    faults |= (guint32) (data[i] ^ label_hash[i]);
  for (gsize i = hash_size; i < separator; i++)
    faults |= data[i];
  faults |= data[separator] ^ 0x01U;
  memcpy (ret_message, data + separator + 1, message_size);
  return faults == 0;
}
