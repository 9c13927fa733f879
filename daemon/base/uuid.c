/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <string.h>
#include <sys/random.h>

static gboolean
is_dash_position (guint position)
{
  return position == 8 || position == 13 || position == 18 || position == 23;
}

CmkUuid
cmk_uuid_new (void)
{
  CmkUuid uuid;
  /* Up to 256 bytes getrandom() neither fails nor returns short once the pool is ready, and it waits for that. */
  g_assert (getrandom (uuid.bytes, sizeof uuid.bytes, 0) == (gssize) sizeof uuid.bytes);
  uuid.bytes[6] = (uuid.bytes[6] & 0x0f) | 0x40;
  uuid.bytes[8] = (uuid.bytes[8] & 0x3f) | 0x80;
  return uuid;
}

gboolean
cmk_uuid_parse (const char *text, CmkUuid *ret_uuid)
{
  CmkUuid uuid = { { 0 } };
  guint nibble = 0;
  if (strnlen (text, CMK_UUID_TEXT_SIZE) != CMK_UUID_TEXT_SIZE - 1)
    return FALSE;
  for (guint i = 0; i < CMK_UUID_TEXT_SIZE - 1; i++)
    {
      if (is_dash_position (i))
        {
          if (text[i] != '-')
            return FALSE;
          continue;
        }
      if (!g_ascii_isxdigit (text[i]) || g_ascii_isupper (text[i]))
        return FALSE;
      uuid.bytes[nibble / 2] = (guint8) (uuid.bytes[nibble / 2] << 4 | g_ascii_xdigit_value (text[i]));
      nibble++;
    }
  *ret_uuid = uuid;
  return TRUE;
}

void
cmk_uuid_format (const CmkUuid *uuid, char ret_text[CMK_UUID_TEXT_SIZE])
{
  static const char digits[] = "0123456789abcdef";
  guint nibble = 0;
  for (guint i = 0; i < CMK_UUID_TEXT_SIZE - 1; i++)
    {
      if (is_dash_position (i))
        {
          ret_text[i] = '-';
          continue;
        }
      guint8 byte = uuid->bytes[nibble / 2];
      ret_text[i] = digits[nibble % 2 == 0 ? byte >> 4 : byte & 0x0f];
      nibble++;
    }
  ret_text[CMK_UUID_TEXT_SIZE - 1] = '\0';
}

gboolean
cmk_uuid_equal (const CmkUuid *a, const CmkUuid *b)
{
  return memcmp (a->bytes, b->bytes, sizeof a->bytes) == 0;
}

guint
cmk_uuid_hash (gconstpointer uuid)
{
  guint hash;
  memcpy (&hash, ((const CmkUuid *) uuid)->bytes, sizeof hash);
  return hash;
}

gboolean
cmk_uuid_equal_func (gconstpointer a, gconstpointer b)
{
  return cmk_uuid_equal (a, b);
}
