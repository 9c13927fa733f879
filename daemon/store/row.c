/* SPDX-License-Identifier: Apache-2.0
 *
 * What is MACed: the table's domain with its NUL, then each column by its shape. Integers are 8 bytes, ids 16, texts
 * and blobs their length in 8 bytes and themselves, a blob that may be NULL one byte first that says whether it is
 * there. All numbers are big-endian. No two rows have the same encoding. */
#include "store/row.h"

#include "base/error.h"

#include <string.h>

const CmkTable *const cmk_tables[] = {
  &cmk_keys_table,     &cmk_import_sets_table, &cmk_public_keys_table, &cmk_deletions_table,
  &cmk_aliases_table,  &cmk_tags_table,        &cmk_facts_table,       &cmk_erasure_pages_table,
  &cmk_erasures_table, &cmk_accounts_table,    &cmk_grants_table,      NULL,
};

char *
cmk_table_select (const CmkTable *table)
{
  return g_strdup_printf ("SELECT %s, rowid FROM %s ORDER BY rowid", table->columns, table->name);
}

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

gboolean
cmk_row_compute_mac (CmkStore *store, const CmkTable *table, const CmkValue *values, guint8 ret_mac[CMK_ROW_MAC_SIZE],
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
  if (table->is_sound != NULL && !table->is_sound (values))
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL, "cmkd failed to make a sound row of %s", table->name);
      return FALSE;
    }
  if (!cmk_row_compute_mac (store, table, values, mac, error))
    return FALSE;
  int n_values = (int) strlen (table->shape);
  for (int i = 0; i < n_values; i++)
    if (!cmk_store_check (store, bind_value (statement, i + 1, table->shape[i], &values[i]), error))
      return FALSE;
  return cmk_store_check (store, sqlite3_bind_blob (statement, n_values + 1, mac, sizeof mac, SQLITE_TRANSIENT), error);
}

/* The pointer before the size: it is that which settles the encoding that the size is of. */
static int
read_column (gpointer statement, int column, CmkValue *ret_value)
{
  int type = sqlite3_column_type (statement, column);
  *ret_value = (CmkValue) { 0 };
  if (type == SQLITE_INTEGER)
    ret_value->number = sqlite3_column_int64 (statement, column);
  else if (type == SQLITE_TEXT)
    ret_value->data = sqlite3_column_text (statement, column);
  else if (type == SQLITE_BLOB)
    ret_value->data = sqlite3_column_blob (statement, column);
  if (type == SQLITE_TEXT || type == SQLITE_BLOB)
    ret_value->size = (gsize) sqlite3_column_bytes (statement, column);
  return type;
}

static int
read_changing (sqlite3_value *cell, CmkValue *ret_value)
{
  int type = sqlite3_value_type (cell);
  if (type == SQLITE_INTEGER)
    ret_value->number = sqlite3_value_int64 (cell);
  else if (type == SQLITE_TEXT)
    ret_value->data = sqlite3_value_text (cell);
  else if (type == SQLITE_BLOB)
    ret_value->data = sqlite3_value_blob (cell);
  if (type == SQLITE_TEXT || type == SQLITE_BLOB)
    ret_value->size = (gsize) sqlite3_value_bytes (cell);
  return type;
}

static int
read_before (gpointer database, int column, CmkValue *ret_value)
{
  sqlite3_value *cell = NULL;
  *ret_value = (CmkValue) { 0 };
  return sqlite3_preupdate_old (database, column, &cell) == SQLITE_OK ? read_changing (cell, ret_value) : 0;
}

static int
read_after (gpointer database, int column, CmkValue *ret_value)
{
  sqlite3_value *cell = NULL;
  *ret_value = (CmkValue) { 0 };
  return sqlite3_preupdate_new (database, column, &cell) == SQLITE_OK ? read_changing (cell, ret_value) : 0;
}

CmkRowSource
cmk_row_of_statement (sqlite3_stmt *statement)
{
  return (CmkRowSource) { statement, read_column };
}

CmkRowSource
cmk_row_before_change (sqlite3 *database)
{
  return (CmkRowSource) { database, read_before };
}

CmkRowSource
cmk_row_after_change (sqlite3 *database)
{
  return (CmkRowSource) { database, read_after };
}

/* The file may have been edited: nothing is taken for what it should be before its type and size have been looked
 * at. */
static gboolean
read_value (const CmkRowSource *source, int column, char shape, CmkValue *ret_value)
{
  int type = source->read (source->object, column, ret_value);
  if (shape == 'i')
    return type == SQLITE_INTEGER;
  if (shape == 'B' && type == SQLITE_NULL)
    return TRUE;
  if (type != (shape == 't' ? SQLITE_TEXT : SQLITE_BLOB))
    return FALSE;
  if (ret_value->data == NULL)
    ret_value->data = "";
  return shape != 'u' || ret_value->size == sizeof (CmkUuid);
}

gboolean
cmk_row_read_form (const CmkTable *table, const CmkRowSource *source, CmkValue *ret_values)
{
  gboolean well_formed = TRUE;
  for (int i = 0; table->shape[i] != '\0'; i++)
    well_formed = read_value (source, i, table->shape[i], &ret_values[i]) && well_formed;
  return well_formed;
}

void
cmk_row_read_mac (const CmkRowSource *source, int column, guint8 ret_mac[CMK_ROW_MAC_SIZE])
{
  CmkValue stored;
  memset (ret_mac, 0, CMK_ROW_MAC_SIZE);
  if (read_value (source, column, 'b', &stored) && stored.size == CMK_ROW_MAC_SIZE)
    memcpy (ret_mac, stored.data, CMK_ROW_MAC_SIZE);
}

gboolean
cmk_mac_equal (const guint8 *a, const guint8 *b)
{
  volatile guint8 difference = 0;
  for (guint i = 0; i < CMK_ROW_MAC_SIZE; i++)
    difference |= a[i] ^ b[i];
  return difference == 0;
}

/* Without a MAC, what nobody but us would have written must be looked for. */
gboolean
cmk_row_is_plausible (const CmkTable *table, const CmkValue *values)
{
  for (int i = 0; table->shape[i] != '\0'; i++)
    if (table->shape[i] == 't' && !g_utf8_validate_len (values[i].data, values[i].size, NULL))
      return FALSE;
  return table->is_sound == NULL || table->is_sound (values);
}

gboolean
cmk_row_read (CmkStore *store, const CmkTable *table, sqlite3_stmt *statement, CmkValue *ret_values, GError **error)
{
  const CmkRowSource source = cmk_row_of_statement (statement);
  guint8 stored[CMK_ROW_MAC_SIZE], mac[CMK_ROW_MAC_SIZE];
  gboolean is_ours = cmk_row_read_form (table, &source, ret_values);
  if (is_ours && store->reads_unverified)
    is_ours = cmk_row_is_plausible (table, ret_values);
  else if (is_ours)
    {
      if (!cmk_row_compute_mac (store, table, ret_values, mac, error))
        return FALSE;
      cmk_row_read_mac (&source, (int) strlen (table->shape), stored);
      is_ours = cmk_mac_equal (mac, stored);
    }
  if (is_ours)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                       "its record in the store is not as cmkd wrote it: restore the state directory from a backup");
  return FALSE;
}
