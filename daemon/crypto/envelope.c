/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/envelope.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/gcm.h"

#define OVERHEAD (CMK_GCM_NONCE_SIZE + CMK_GCM_TAG_SIZE)

G_STATIC_ASSERT (CMK_DATA_KEY_SIZE == CMK_GCM_KEY_SIZE);

GBytes *
cmk_envelope_seal (const CmkSecret *data_key, GBytes *identity, const CmkSecret *payload, GError **error)
{
  g_return_val_if_fail (cmk_secret_length (data_key) == CMK_DATA_KEY_SIZE, NULL);
  CmkPart aad = { NULL, 0 };
  aad.data = g_bytes_get_data (identity, &aad.size);
  gsize size = OVERHEAD + cmk_secret_length (payload);
  g_autofree guint8 *envelope = g_malloc (size);
  if (!cmk_random_bytes (envelope, CMK_GCM_NONCE_SIZE, error) ||
      !cmk_gcm_seal (cmk_secret_peek (data_key), envelope, &aad, 1, payload, envelope + CMK_GCM_NONCE_SIZE, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&envelope), size);
}

CmkSecret *
cmk_envelope_open (const CmkSecret *data_key, GBytes *identity, GBytes *envelope, GError **error)
{
  g_return_val_if_fail (cmk_secret_length (data_key) == CMK_DATA_KEY_SIZE, NULL);
  CmkPart aad = { NULL, 0 };
  aad.data = g_bytes_get_data (identity, &aad.size);
  gsize size;
  const guint8 *data = g_bytes_get_data (envelope, &size);
  g_autoptr (CmkSecret) payload = NULL;
  if (size > OVERHEAD)
    {
      payload = cmk_secret_new (size - OVERHEAD, error);
      if (payload == NULL)
        return NULL;
    }
  if (payload == NULL || !cmk_gcm_open (cmk_secret_peek (data_key), data, &aad, 1, data + CMK_GCM_NONCE_SIZE, payload))
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                           "a sealed secret was altered, cut short or moved to another record; restore the state "
                           "directory from a backup, or import the key material again");
      return NULL;
    }
  return g_steal_pointer (&payload);
}
