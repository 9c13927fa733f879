/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/secret-identity.h"

#include "kms/bytes.h"

#include <string.h>

#define IDENTITY_DOMAIN "cmkd/identity/v1"

GBytes *
cmk_secret_identity_encode (const CmkSecretIdentity *identity, const CmkUuid *store_id, GBytes *bound)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_byte_array_append (bytes, (const guint8 *) IDENTITY_DOMAIN, strlen (IDENTITY_DOMAIN));
  cmk_bytes_put_u8 (bytes, (guint8) identity->kind);
  cmk_bytes_put_uuid (bytes, store_id);
  cmk_bytes_put_uuid (bytes, &identity->id);
  cmk_bytes_put_u32 (bytes, (guint32) identity->spec);
  cmk_bytes_put_i64 (bytes, identity->expires_at);
  if (bound != NULL)
    g_byte_array_append (bytes, g_bytes_get_data (bound, NULL), (guint) g_bytes_get_size (bound));
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}
