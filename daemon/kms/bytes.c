/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/bytes.h"

#include <string.h>

void
cmk_bytes_put_u8 (GByteArray *bytes, guint8 value)
{
  g_byte_array_append (bytes, &value, sizeof value);
}

void
cmk_bytes_put_u32 (GByteArray *bytes, guint32 value)
{
  guint32 wire = GUINT32_TO_BE (value);
  g_byte_array_append (bytes, (const guint8 *) &wire, sizeof wire);
}

void
cmk_bytes_put_i64 (GByteArray *bytes, gint64 value)
{
  gint64 wire = GINT64_TO_BE (value);
  g_byte_array_append (bytes, (const guint8 *) &wire, sizeof wire);
}

void
cmk_bytes_put_uuid (GByteArray *bytes, const CmkUuid *uuid)
{
  g_byte_array_append (bytes, uuid->bytes, sizeof uuid->bytes);
}

static void
take (const guint8 **position, void *ret_value, gsize size)
{
  memcpy (ret_value, *position, size);
  *position += size;
}

guint8
cmk_bytes_get_u8 (const guint8 **position)
{
  guint8 value;
  take (position, &value, sizeof value);
  return value;
}

guint32
cmk_bytes_get_u32 (const guint8 **position)
{
  guint32 wire;
  take (position, &wire, sizeof wire);
  return GUINT32_FROM_BE (wire);
}

gint64
cmk_bytes_get_i64 (const guint8 **position)
{
  gint64 wire;
  take (position, &wire, sizeof wire);
  return GINT64_FROM_BE (wire);
}

CmkUuid
cmk_bytes_get_uuid (const guint8 **position)
{
  CmkUuid uuid;
  take (position, uuid.bytes, sizeof uuid.bytes);
  return uuid;
}
