/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the store, of any table: any columns, with the right MAC or with none. FZ-03 */
#include "fuzz.h"

#include "base/error.h"
#include "store/row.h"

#include <stdlib.h>
#include <unistd.h>

static CmkStore *store;
static char *directory;

static gboolean
compute_mac (gpointer user_data G_GNUC_UNUSED, const guint8 *data, gsize size, guint8 ret_mac[CMK_ROW_MAC_SIZE],
             GError **error G_GNUC_UNUSED)
{
  gsize mac_size = CMK_ROW_MAC_SIZE;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_checksum_update (checksum, data, (gssize) size);
  g_checksum_get_digest (checksum, ret_mac, &mac_size);
  return TRUE;
}

static void
clean_up (void)
{
  char *arguments[] = { (char *) "rm", (char *) "-rf", directory, NULL };
  g_clear_pointer (&store, cmk_store_close);
  (void) g_spawn_sync (NULL, arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  directory = g_dir_make_tmp ("cmkd-fuzz-XXXXXX", NULL);
  store = cmk_store_open (directory, NULL);
  g_assert_nonnull (store);
  atexit (clean_up);
  return 0;
}

static int
bind_any (sqlite3_stmt *statement, int index, FuzzInput *input, char type)
{
  if (type == 'i')
    return sqlite3_bind_int64 (statement, index, fuzz_take_number (input, 8));
  if (type == 'n')
    return sqlite3_bind_null (statement, index);
  g_autoptr (GBytes) bytes = type == 'u' ? fuzz_take_exactly (input, sizeof (CmkUuid)) : fuzz_take_bytes (input);
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);
  if (type == 't')
    return sqlite3_bind_text64 (statement, index, data != NULL ? data : "", size, SQLITE_TRANSIENT, SQLITE_UTF8);
  return sqlite3_bind_blob64 (statement, index, data != NULL ? data : "", size, SQLITE_TRANSIENT);
}

/* A row that stands nowhere: its columns, and its MAC, are what is bound. */
static sqlite3_stmt *
make_row (guint n_columns)
{
  sqlite3_stmt *statement = NULL;
  g_autoptr (GString) sql = g_string_new ("SELECT ?1");
  for (guint i = 2; i <= n_columns; i++)
    g_string_append_printf (sql, ", ?%u", i);
  g_assert_cmpint (sqlite3_prepare_v2 (store->database, sql->str, -1, &statement, NULL), ==, SQLITE_OK);
  return statement;
}

/* What was read is bound, if we could have written it, and read again: it is the same row. FZ-06 */
static void
check_again (const CmkTable *table, const CmkValue *values, sqlite3_stmt *again)
{
  CmkValue read[CMK_MAX_COLUMNS];
  gboolean is_sound = table->is_sound == NULL || table->is_sound (values);
  g_assert_true (cmk_row_bind (store, table, again, values, NULL) == is_sound);
  if (!is_sound)
    return;
  g_assert_cmpint (sqlite3_step (again), ==, SQLITE_ROW);
  g_assert_true (cmk_row_read (store, table, again, read, NULL));
  for (gsize i = 0; table->shape[i] != '\0'; i++)
    {
      g_assert_cmpint (read[i].number, ==, values[i].number);
      g_assert_true ((read[i].data == NULL) == (values[i].data == NULL));
      g_assert_cmpmem (read[i].data, read[i].size, values[i].data, values[i].size);
    }
}

static void
check_row (FuzzInput *input, const CmkTable *table, sqlite3_stmt *row, sqlite3_stmt *again)
{
  static const char types[] = "ituBn";
  const int n_values = (int) strlen (table->shape);
  const CmkRowSource source = cmk_row_of_statement (row);
  CmkValue values[CMK_MAX_COLUMNS];
  guint8 mac[CMK_ROW_MAC_SIZE] = { 0 };
  gboolean has_mac = fuzz_take_choice (input, 2) == 1;
  for (int i = 0; i < n_values; i++)
    {
      guint choice = fuzz_take_byte (input);
      char type = choice < G_N_ELEMENTS (types) - 1 ? types[choice] : table->shape[i];
      g_assert_cmpint (bind_any (row, i + 1, input, type), ==, SQLITE_OK);
    }
  g_assert_cmpint (sqlite3_step (row), ==, SQLITE_ROW);
  gboolean is_formed = cmk_row_read_form (table, &source, values);
  (void) (is_formed && cmk_row_is_plausible (table, values));
  if (is_formed && has_mac)
    {
      g_assert_true (cmk_row_compute_mac (store, table, values, mac, NULL));
      sqlite3_reset (row);
      g_assert_cmpint (sqlite3_bind_blob (row, n_values + 1, mac, sizeof mac, SQLITE_TRANSIENT), ==, SQLITE_OK);
      g_assert_cmpint (sqlite3_step (row), ==, SQLITE_ROW);
    }
  g_autoptr (GError) error = NULL;
  gboolean is_ours = cmk_row_read (store, table, row, values, &error);
  g_assert_true (is_ours == (is_formed && has_mac));
  g_assert_true (is_ours || g_error_matches (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED));
  if (is_ours)
    check_again (table, values, again);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FuzzInput input = { data, size };
  guint n_tables = 0;
  while (cmk_tables[n_tables] != NULL)
    n_tables++;
  const CmkTable *table = cmk_tables[fuzz_take_choice (&input, n_tables)];
  guint n_columns = (guint) strlen (table->shape) + 1;
  cmk_store_set_mac (store, compute_mac, NULL);
  sqlite3_stmt *row = make_row (n_columns), *again = make_row (n_columns);
  check_row (&input, table, row, again);
  sqlite3_finalize (row);
  sqlite3_finalize (again);
  return 0;
}
