/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/message-mac.h"

#include "crypto/openssl.h"

#include <openssl/crypto.h>

typedef struct
{
  const char *digest;
  gsize size;
} Scheme;

static const Scheme schemes[] = {
  [CMK_MAC_HMAC_SHA_256] = { "SHA256", 32 },
  [CMK_MAC_HMAC_SHA_384] = { "SHA384", 48 },
  [CMK_MAC_HMAC_SHA_512] = { "SHA512", 64 },
};

static gboolean
compute (const CmkSecret *material, const Scheme *scheme, GBytes *message, guint8 *ret_mac, GError **error)
{
  CmkPart part;
  part.data = g_bytes_get_data (message, &part.size);
  return cmk_hmac (scheme->digest, cmk_secret_peek (material), cmk_secret_length (material), &part, 1, ret_mac, error);
}

GBytes *
cmk_message_mac_make (const CmkSecret *material, CmkMacAlgorithm algorithm, GBytes *message, GError **error)
{
  const Scheme *scheme = &schemes[algorithm];
  guint8 mac[EVP_MAX_MD_SIZE];
  return compute (material, scheme, message, mac, error) ? g_bytes_new (mac, scheme->size) : NULL;
}

gboolean
cmk_message_mac_check (const CmkSecret *material, CmkMacAlgorithm algorithm, GBytes *message, GBytes *mac,
                       gboolean *ret_valid, GError **error)
{
  const Scheme *scheme = &schemes[algorithm];
  guint8 expected[EVP_MAX_MD_SIZE];
  gboolean computed = compute (material, scheme, message, expected, error);
  gsize size;
  const guint8 *data = g_bytes_get_data (mac, &size);
  *ret_valid = computed && size == scheme->size && CRYPTO_memcmp (expected, data, size) == 0;
  /* The right MAC of a forged message is what its forger is after. */
  OPENSSL_cleanse (expected, sizeof expected);
  return computed;
}
