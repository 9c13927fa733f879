/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hmac-key.h"

#include "crypto/openssl.h"

static const struct
{
  const char *digest;
  gsize size;
} schemes[] = {
  [CMK_MAC_HMAC_SHA_256] = { "SHA256", 32 },
  [CMK_MAC_HMAC_SHA_384] = { "SHA384", 48 },
  [CMK_MAC_HMAC_SHA_512] = { "SHA512", 64 },
};

gsize
cmk_mac_algorithm_bytes (CmkMacAlgorithm algorithm)
{
  return schemes[algorithm].size;
}

gboolean
cmk_hmac_key_compute (const CmkHmacKey *key, CmkMacAlgorithm algorithm, const CmkPart *parts, guint n_parts,
                      guint8 *ret_mac, GError **error)
{
  if (key->secret != NULL)
    return cmk_hmac (schemes[algorithm].digest, cmk_secret_peek (key->secret), cmk_secret_length (key->secret), parts,
                     n_parts, ret_mac, error);
  if (n_parts == 1)
    return key->compute (key->data, algorithm, parts->data, parts->size, ret_mac, error);
  g_autoptr (GByteArray) message = g_byte_array_new ();
  for (guint i = 0; i < n_parts; i++)
    g_byte_array_append (message, parts[i].data, (guint) parts[i].size);
  return key->compute (key->data, algorithm, message->data, message->len, ret_mac, error);
}
