/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/import-token.h"

#include "base/error.h"
#include "cmkd.h"
#include "kms/bytes.h"

#define VERSION      1
#define FILLER_BYTES 15
/* A clock that is put back by so little, as any clock now and then is, makes no token one of the future. */
#define CLOCK_STEP_SECONDS 60

#define SIGNED_BYTES (CMK_IMPORT_TOKEN_SIZE - CMK_MAC_SIZE)

/* From the end of the key id: digest, algorithm, spec, uid and time of issue lie between. */
#define EXPIRY_OFFSET (CMK_DIGEST_SIZE + 1 + 1 + 4 + 8)

gint64
cmk_import_latest_expiry (gint64 now)
{
  return now + CMKD_TOKEN_LIFETIME_SECONDS + CLOCK_STEP_SECONDS;
}

void
cmk_import_token_refuse (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_IMPORT_TOKEN,
                       "the import token is not valid for this key, or its wrapping key was destroyed: call "
                       "GetParametersForImport again and wrap with the new public key");
}

GBytes *
cmk_import_token_encode (const CmkImportToken *token, const CmkSecret *key, GError **error)
{
  guint8 filler[FILLER_BYTES];
  if (!cmk_random_bytes (filler, sizeof filler, error))
    return NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_sized_new (CMK_IMPORT_TOKEN_SIZE);
  cmk_bytes_put_u8 (bytes, VERSION);
  cmk_bytes_put_uuid (bytes, &token->store_id);
  cmk_bytes_put_uuid (bytes, &token->set_id);
  cmk_bytes_put_uuid (bytes, &token->key_id);
  g_byte_array_append (bytes, token->public_key_digest, sizeof token->public_key_digest);
  cmk_bytes_put_u8 (bytes, (guint8) token->algorithm);
  cmk_bytes_put_u8 (bytes, (guint8) token->wrapping_spec);
  cmk_bytes_put_u32 (bytes, token->uid);
  cmk_bytes_put_i64 (bytes, token->issued_at);
  cmk_bytes_put_i64 (bytes, token->expires_at);
  g_byte_array_append (bytes, filler, sizeof filler);
  g_assert (bytes->len == SIGNED_BYTES);

  guint8 mac[CMK_MAC_SIZE];
  if (!cmk_mac_compute (key, bytes->data, bytes->len, mac, error))
    return NULL;
  g_byte_array_append (bytes, mac, sizeof mac);
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

gboolean
cmk_import_token_decode (GBytes *encoded, const CmkSecret *key, CmkImportToken *ret_token, GError **error)
{
  gsize size;
  const guint8 *position = g_bytes_get_data (encoded, &size);
  if (size != CMK_IMPORT_TOKEN_SIZE || !cmk_mac_verify (key, position, SIGNED_BYTES, position + SIGNED_BYTES) ||
      cmk_bytes_get_u8 (&position) != VERSION)
    {
      cmk_import_token_refuse (error);
      return FALSE;
    }
  ret_token->store_id = cmk_bytes_get_uuid (&position);
  ret_token->set_id = cmk_bytes_get_uuid (&position);
  ret_token->key_id = cmk_bytes_get_uuid (&position);
  position += EXPIRY_OFFSET;
  ret_token->expires_at = cmk_bytes_get_i64 (&position);
  return TRUE;
}
