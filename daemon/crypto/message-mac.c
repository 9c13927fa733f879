/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/message-mac.h"

#include "crypto/openssl.h"

#include <openssl/crypto.h>

GBytes *
cmk_message_mac_make (const CmkHmacKey *material, CmkMacAlgorithm algorithm, GBytes *message, GError **error)
{
  CmkPart part;
  guint8 mac[EVP_MAX_MD_SIZE];
  part.data = g_bytes_get_data (message, &part.size);
  return cmk_hmac_key_compute (material, algorithm, &part, 1, mac, error)
             ? g_bytes_new (mac, cmk_mac_algorithm_bytes (algorithm))
             : NULL;
}

gboolean
cmk_message_mac_check (const CmkHmacKey *material, CmkMacAlgorithm algorithm, GBytes *message, GBytes *mac,
                       gboolean *ret_valid, GError **error)
{
  CmkPart part;
  guint8 expected[EVP_MAX_MD_SIZE];
  part.data = g_bytes_get_data (message, &part.size);
  gboolean computed = cmk_hmac_key_compute (material, algorithm, &part, 1, expected, error);
  gsize size;
  const guint8 *data = g_bytes_get_data (mac, &size);
  *ret_valid = computed && size == cmk_mac_algorithm_bytes (algorithm) && CRYPTO_memcmp (expected, data, size) == 0;
  /* The right MAC of a forged message is what its forger is after. */
  OPENSSL_cleanse (expected, sizeof expected);
  return computed;
}
