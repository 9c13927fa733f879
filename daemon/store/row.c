/* SPDX-License-Identifier: Apache-2.0
 *
 * What is MACed: the table's domain with its NUL, then each column by its shape. Integers are 8 bytes, ids 16, texts
 * and blobs their length in 8 bytes and themselves, a blob that may be NULL one byte first that says whether it is
 * there. All numbers are big-endian. No two rows have the same encoding. */
#include "store/row.h"

#include "base/error.h"

#include <string.h>

CmkValue
cmk_value_number (gint64 number)
{
  return (CmkValue) { .number = number };
}

CmkValue
cmk_value_text (const char *text)
{
  return (CmkValue) { .data = text, .size = strlen (text) };
}

CmkValue
cmk_value_id (const CmkUuid *id)
{
  return (CmkValue) { .data = id->bytes, .size = sizeof id->bytes };
}

CmkValue
cmk_value_bytes (GBytes *bytes)
{
  if (bytes == NULL)
    return (CmkValue) { .data = NULL };
  CmkValue value = { 0 };
  value.data = g_bytes_get_data (bytes, &value.size);
  if (value.data == NULL)
    value.data = "";
  return value;
}

char *
cmk_value_dup_text (const CmkValue *value)
{
  return g_strndup (value->data, value->size);
}

CmkUuid
cmk_value_to_id (const CmkValue *value)
{
  CmkUuid id;
  memcpy (id.bytes, value->data, sizeof id.bytes);
  return id;
}

GBytes *
cmk_value_dup_bytes (const CmkValue *value)
{
  return value->data != NULL ? g_bytes_new (value->data, value->size) : NULL;
}

gboolean
cmk_row_next_serial (CmkStore *store, const char *sql, gint64 *ret_serial, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, sql, error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  /* Not an integer once somebody has set the sequence to its end or to something else. */
  if (sqlite3_column_type (statement, 0) != SQLITE_INTEGER)
    return cmk_store_check (store, SQLITE_CORRUPT, error);
  *ret_serial = sqlite3_column_int64 (statement, 0);
  return TRUE;
}

static void
append_number (GByteArray *encoding, guint64 number)
{
  guint64 big_endian = GUINT64_TO_BE (number);
  g_byte_array_append (encoding, (const guint8 *) &big_endian, sizeof big_endian);
}

static GByteArray *
encode_row (const CmkTable *table, const CmkValue *values)
{
  GByteArray *encoding = g_byte_array_new ();
  g_byte_array_append (encoding, (const guint8 *) table->domain, (guint) strlen (table->domain) + 1);
  for (guint i = 0; table->shape[i] != '\0'; i++)
    {
      const CmkValue *value = &values[i];
      guint8 present = value->data != NULL;
      switch (table->shape[i])
        {
        case 'i':
          append_number (encoding, (guint64) value->number);
          continue;
        case 'B':
          g_byte_array_append (encoding, &present, 1);
          if (!present)
            continue;
          append_number (encoding, value->size);
          break;
        case 'u':
          break;
        default:
          append_number (encoding, value->size);
        }
      g_byte_array_append (encoding, value->data, (guint) value->size);
    }
  return encoding;
}

static gboolean
compute_mac (CmkStore *store, const CmkTable *table, const CmkValue *values, guint8 ret_mac[CMK_ROW_MAC_SIZE],
             GError **error)
{
  g_return_val_if_fail (store->mac != NULL, FALSE);
  g_autoptr (GByteArray) encoding = encode_row (table, values);
  return store->mac (store->mac_data, encoding->data, encoding->len, ret_mac, error);
}

static int
bind_value (sqlite3_stmt *statement, int index, char shape, const CmkValue *value)
{
  if (shape == 'i')
    return sqlite3_bind_int64 (statement, index, value->number);
  if (shape == 't')
    return sqlite3_bind_text64 (statement, index, value->data, value->size, SQLITE_STATIC, SQLITE_UTF8);
  return sqlite3_bind_blob64 (statement, index, value->data, value->size, SQLITE_STATIC);
}

gboolean
cmk_row_bind (CmkStore *store, const CmkTable *table, sqlite3_stmt *statement, const CmkValue *values, GError **error)
{
  guint8 mac[CMK_ROW_MAC_SIZE];
  if (!compute_mac (store, table, values, mac, error))
    return FALSE;
  int n_values = (int) strlen (table->shape);
  for (int i = 0; i < n_values; i++)
    if (!cmk_store_check (store, bind_value (statement, i + 1, table->shape[i], &values[i]), error))
      return FALSE;
  return cmk_store_check (store, sqlite3_bind_blob (statement, n_values + 1, mac, sizeof mac, SQLITE_TRANSIENT), error);
}

/* The file may have been edited: nothing is taken for what it should be before its type and size have been looked at. */
static gboolean
read_value (sqlite3_stmt *statement, int column, char shape, CmkValue *ret_value)
{
  int type = sqlite3_column_type (statement, column);
  *ret_value = (CmkValue) { 0 };
  if (shape == 'i')
    {
      ret_value->number = sqlite3_column_int64 (statement, column);
      return type == SQLITE_INTEGER;
    }
  if (shape == 'B' && type == SQLITE_NULL)
    return TRUE;
  if (type != (shape == 't' ? SQLITE_TEXT : SQLITE_BLOB))
    return FALSE;
  const void *data =
      shape == 't' ? (const void *) sqlite3_column_text (statement, column) : sqlite3_column_blob (statement, column);
  ret_value->size = (gsize) sqlite3_column_bytes (statement, column);
  ret_value->data = data != NULL ? data : "";
  return shape != 'u' || ret_value->size == sizeof (CmkUuid);
}

static gboolean
mac_equal (const guint8 *a, const guint8 *b)
{
  volatile guint8 difference = 0;
  for (guint i = 0; i < CMK_ROW_MAC_SIZE; i++)
    difference |= a[i] ^ b[i];
  return difference == 0;
}

gboolean
cmk_row_read (CmkStore *store, const CmkTable *table, sqlite3_stmt *statement, CmkValue *ret_values, GError **error)
{
  int n_values = (int) strlen (table->shape);
  gboolean well_formed = TRUE;
  for (int i = 0; i < n_values; i++)
    well_formed = read_value (statement, i, table->shape[i], &ret_values[i]) && well_formed;
  CmkValue stored;
  well_formed = read_value (statement, n_values, 'b', &stored) && stored.size == CMK_ROW_MAC_SIZE && well_formed;

  guint8 mac[CMK_ROW_MAC_SIZE];
  if (well_formed && !compute_mac (store, table, ret_values, mac, error))
    return FALSE;
  if (well_formed && mac_equal (mac, stored.data))
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                       "its record in the store is not as cmkd wrote it: restore the state directory from a backup");
  return FALSE;
}
