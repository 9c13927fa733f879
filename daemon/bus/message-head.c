/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/message-head.h"

#include <string.h>

#define BODY_LENGTH_AT         4
#define FIELDS_LENGTH_AT       12
#define MOST_BYTES_OF_FIELDS   (64 * 1024 * 1024)
#define MOST_BYTES_OF_MESSAGES (128 * 1024 * 1024)

#define MAX_BYTES_OF_SHORT_FIELDS 4096

static gsize
align (gsize size, gsize to)
{
  return (size + to - 1) / to * to;
}

static guint32
read_number (const guint8 *bytes, gsize at)
{
  guint32 number;
  memcpy (&number, bytes + at, sizeof number);
  return bytes[0] == 'l' ? GUINT32_FROM_LE (number) : GUINT32_FROM_BE (number);
}

gboolean
cmk_message_head_read (const guint8 prefix[static CMK_MESSAGE_PREFIX_BYTES], CmkMessageHead *ret_head, GError **error)
{
  gsize body = read_number (prefix, BODY_LENGTH_AT), fields = read_number (prefix, FIELDS_LENGTH_AT);
  gsize head_size = CMK_MESSAGE_PREFIX_BYTES + align (fields, 8), size = head_size + body;
  if ((prefix[0] != 'l' && prefix[0] != 'B') || fields > MOST_BYTES_OF_FIELDS || size > MOST_BYTES_OF_MESSAGES)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "what the bus has sent is no message of D-Bus");
      return FALSE;
    }
  *ret_head = (CmkMessageHead) { (GDBusMessageType) prefix[1], (GDBusMessageFlags) prefix[2], head_size, size };
  return TRUE;
}

gboolean
cmk_message_head_is_short (const CmkMessageHead *head)
{
  return head->head_size <= CMK_MESSAGE_PREFIX_BYTES + MAX_BYTES_OF_SHORT_FIELDS;
}

/* --- the fields --- */

typedef struct
{
  GDBusMessageHeaderField code;
  char type;
  gsize at; /* its code */
  gsize value_at;
} Field;

/* Where the value of type @type at @at ends, 0: nowhere before @end. */
static gsize
end_of_value (const guint8 *bytes, gsize at, gsize end, char type)
{
  gsize number_end = align (at, sizeof (guint32)) + sizeof (guint32);
  if (type == 'g')
    return at < end && bytes[at] + 2u <= end - at ? at + bytes[at] + 2 : 0;
  if (strchr ("osu", type) == NULL || number_end > end)
    return 0;
  if (type == 'u')
    return number_end;
  guint32 length = read_number (bytes, number_end - sizeof (guint32));
  return length < end - number_end ? number_end + length + 1 : 0;
}

/* The field at *@at, after which *@at is the next one's place, FALSE if it cannot be understood. It is its code, then a
 * variant, of which the signature is one letter in all that D-Bus defines. */
static gboolean
read_field (const guint8 *bytes, gsize *at, gsize end, Field *ret_field)
{
  const guint8 *code = bytes + *at;
  if (end - *at < 4 || code[1] != 1 || code[2] == '\0' || code[3] != '\0')
    return FALSE;
  *ret_field = (Field) { (GDBusMessageHeaderField) code[0], (char) code[2], *at, *at + 4 };
  gsize value_end = end_of_value (bytes, ret_field->value_at, end, ret_field->type);
  *at = align (value_end, 8);
  return value_end != 0;
}

const char *
cmk_message_head_find (const guint8 *bytes, const CmkMessageHead *head, GDBusMessageHeaderField code)
{
  Field field;
  for (gsize at = CMK_MESSAGE_PREFIX_BYTES; at < head->head_size && read_field (bytes, &at, head->head_size, &field);)
    {
      const char *value = (const char *) bytes + align (field.value_at, sizeof (guint32)) + sizeof (guint32);
      if (field.code == code && field.type == 's' &&
          memchr (value, '\0', (gsize) (bytes + head->head_size - (const guint8 *) value)) != NULL)
        return value;
    }
  return NULL;
}

gboolean
cmk_message_head_cut_arguments_off (guint8 *bytes, const CmkMessageHead *head, GDBusMessageHeaderField mark)
{
  gboolean is_cut = FALSE;
  Field field;
  if (head->type != G_DBUS_MESSAGE_TYPE_METHOD_CALL || !cmk_message_head_is_short (head))
    return FALSE;
  for (gsize at = CMK_MESSAGE_PREFIX_BYTES; at < head->head_size;)
    {
      if (!read_field (bytes, &at, head->head_size, &field))
        return FALSE;
      if (field.code != G_DBUS_MESSAGE_HEADER_FIELD_SIGNATURE)
        continue;
      bytes[field.at] = (guint8) mark;
      is_cut = TRUE;
    }
  memset (bytes + BODY_LENGTH_AT, 0, sizeof (guint32));
  return is_cut; /* else it would look as if it had never had arguments */
}
