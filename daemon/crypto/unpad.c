/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults of the padding gather in a volatile accumulator that is looked at once, at the end: volatile, so
 * that no compiler turns a loop into one that stops at the first fault, or a mask into a branch. */
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

gboolean
cmk_mgf1_apply (guint8 *target, gsize target_size, const guint8 *seed, gsize seed_size, const EVP_MD *hash)
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

/* Unmask @block, whose first byte, label hash and what follows it are then where RFC 8017 7.1.2 has them; *@ret_faults
 * are those of the first two. */
static gboolean
open_oaep (guint8 *block, gsize block_size, const EVP_MD *hash, guint32 *ret_faults)
{
  gsize hash_size = (gsize) EVP_MD_get_size (hash);
  guint8 label_hash[EVP_MAX_MD_SIZE];
  guint8 *seed = block + 1;
  guint8 *data = seed + hash_size;
  gsize data_size = block_size - 1 - hash_size;

  /* These fail for want of memory only, whatever the block holds. */
  if (!cmk_mgf1_apply (seed, hash_size, data, data_size, hash) ||
      !cmk_mgf1_apply (data, data_size, seed, hash_size, hash) || EVP_Digest ("", 0, label_hash, NULL, hash, NULL) != 1)
    return FALSE;

  volatile guint32 faults = block[0];
  for (gsize i = 0; i < hash_size; i++)
    faults |= (guint32) (data[i] ^ label_hash[i]);
  *ret_faults = faults;
  return TRUE;
}

gboolean
cmk_unpad_oaep (guint8 *block, gsize block_size, const EVP_MD *hash, guint8 *ret_message, gsize message_size)
{
  gsize padding = 1 + 2 * (gsize) EVP_MD_get_size (hash);
  g_return_val_if_fail (block_size >= message_size + padding + 1, FALSE);
  gsize separator = block_size - message_size - 1;
  guint32 opening_faults;
  if (!open_oaep (block, block_size, hash, &opening_faults))
    return FALSE;
  volatile guint32 faults = opening_faults;
  for (gsize i = padding; i < separator; i++)
    faults |= block[i];
  faults |= block[separator] ^ 0x01U;
  memcpy (ret_message, block + separator + 1, message_size);
  return faults == 0;
}

/* All ones if @value is 0, else 0. */
static gsize
mask_if_zero (gsize value)
{
  return 0 - ((~value & (value - 1)) >> (8 * sizeof value - 1));
}

gboolean
cmk_unpad_oaep_any (guint8 *block, gsize block_size, const EVP_MD *hash, gsize *ret_offset)
{
  gsize padding = 1 + 2 * (gsize) EVP_MD_get_size (hash);
  g_return_val_if_fail (block_size > padding, FALSE);
  guint32 opening_faults;
  *ret_offset = padding;
  if (!open_oaep (block, block_size, hash, &opening_faults))
    return FALSE;
  volatile gsize faults = opening_faults;
  volatile gsize searching = G_MAXSIZE;
  volatile gsize offset = 0;
  /* Not the last byte: nothing would follow it. */
  for (gsize i = padding; i < block_size - 1; i++)
    {
      gsize found = searching & mask_if_zero (block[i] ^ 0x01U);
      faults |= searching & ~found & block[i];
      offset |= found & (i + 1);
      searching &= ~found;
    }
  faults |= searching;
  volatile gsize good = mask_if_zero (faults);
  *ret_offset = (good & offset) | (~good & padding);
  return good != 0;
}

gboolean
cmk_unpad_pkcs7 (const guint8 *data, gsize size, gsize *ret_message_size)
{
  g_return_val_if_fail (size >= CMK_PKCS7_BLOCK_SIZE, FALSE);
  volatile gsize padding = data[size - 1];
  volatile gsize faults = (padding - 1) / CMK_PKCS7_BLOCK_SIZE; /* 0 for 1 to 16 only */
  faults |= mask_if_zero (size ^ padding);
  for (gsize i = 1; i <= CMK_PKCS7_BLOCK_SIZE; i++)
    {
      gsize within = mask_if_zero ((padding - i) >> (8 * sizeof padding - 1)); /* if i <= padding */
      faults |= within & (data[size - i] ^ padding);
    }
  volatile gsize good = mask_if_zero (faults);
  *ret_message_size = size - (good & padding);
  return good != 0;
}
