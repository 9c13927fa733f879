/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/marker.h"

#include "base64.h"
#include "base/error.h"
#include "crypto/crypto.h"
#include "kms/bytes.h"

#include <string.h>

#define SERIAL_BYTES 8
#define MARKER_BYTES (SERIAL_BYTES + CMK_MAC_SIZE)
#define MARKER_CHARS CMK_BASE64_CHARS (MARKER_BYTES)

static GByteArray *
signed_bytes (CmkMarkerList list, gint64 after_serial, gint64 owner)
{
  GByteArray *bytes = g_byte_array_new ();
  cmk_bytes_put_u8 (bytes, (guint8) list);
  cmk_bytes_put_i64 (bytes, after_serial);
  cmk_bytes_put_i64 (bytes, owner);
  return bytes;
}

char *
cmk_marker_encode (CmkMarkerList list, gint64 after_serial, gint64 owner, const CmkSecret *key, GError **error)
{
  g_autoptr (GByteArray) bytes = signed_bytes (list, after_serial, owner);
  guint8 marker[MARKER_BYTES];
  memcpy (marker, bytes->data + 1, SERIAL_BYTES);
  if (!cmk_mac_compute (key, bytes->data, bytes->len, marker + SERIAL_BYTES, error))
    return NULL;
  char *text = g_malloc (MARKER_CHARS + 1);
  cmk_base64_encode (marker, sizeof marker, text);
  return text;
}

gboolean
cmk_marker_decode (CmkMarkerList list, const char *marker, gint64 owner, const CmkSecret *key, gint64 *ret_after_serial,
                   GError **error)
{
  guint8 bytes[CMK_BASE64_BYTES (MARKER_CHARS)];
  size_t size;
  if (strlen (marker) == MARKER_CHARS && cmk_base64_decode (marker, MARKER_CHARS, bytes, &size) && size == MARKER_BYTES)
    {
      const guint8 *position = bytes;
      gint64 after_serial = cmk_bytes_get_i64 (&position);
      g_autoptr (GByteArray) expected = signed_bytes (list, after_serial, owner);
      if (cmk_mac_verify (key, expected->data, expected->len, position))
        {
          *ret_after_serial = after_serial;
          return TRUE;
        }
    }
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                       "Marker: must be the NextMarker of an earlier answer to you; leave it out to start anew");
  return FALSE;
}
