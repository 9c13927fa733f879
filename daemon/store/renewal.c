/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes over every row and writes it again. A walk is by rowid and no row's changes, so each is come to once. */
#include "store/store.h"

#include "base/error.h"
#include "store/row.h"

#include <string.h>

static gboolean
run_on_row (CmkStore *store, sqlite3_stmt *statement, int parameter, gint64 rowid, GError **error)
{
  return cmk_store_check (store, sqlite3_bind_int64 (statement, parameter, rowid), error) &&
         cmk_store_run (store, statement, error);
}

static sqlite3_stmt *
prepare_on_row (CmkStore *store, const char *verb, const CmkTable *table, const char *rest, GError **error)
{
  g_autofree char *sql = g_strjoin (" ", verb, table->name, rest, NULL);
  return cmk_store_prepare_change (store, g_intern_string (sql), error);
}

/* --- envelopes --- */

static gboolean
write_envelope (CmkStore *store, const CmkTable *table, gint64 rowid, GBytes *envelope, const guint8 *mac,
                GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      prepare_on_row (store, "UPDATE", table, "SET envelope = ?1, mac = ?2 WHERE rowid = ?3", error);
  gsize size = 0;
  const void *data = g_bytes_get_data (envelope, &size);
  return statement != NULL &&
         cmk_store_check (store, sqlite3_bind_blob64 (statement, 1, size > 0 ? data : "", size, SQLITE_STATIC),
                          error) &&
         cmk_store_check (store, sqlite3_bind_blob (statement, 2, mac, CMK_ROW_MAC_SIZE, SQLITE_STATIC), error) &&
         run_on_row (store, statement, 3, rowid, error);
}

static gboolean
reseal_row (CmkStore *store, const CmkTable *table, CmkValue *values, gint64 rowid, CmkStoreReseal each,
            gpointer user_data, GError **error)
{
  guint8 mac[CMK_ROW_MAC_SIZE];
  g_autoptr (GBytes) envelope = cmk_value_dup_bytes (&values[table->envelope]), resealed = NULL;
  if (envelope == NULL)
    return TRUE;
  if (!each (user_data, envelope, &resealed, error))
    return FALSE;
  values[table->envelope] = cmk_value_bytes (resealed);
  return cmk_row_compute_mac (store, table, values, mac, error) &&
         write_envelope (store, table, rowid, resealed, mac, error);
}

/* A damaged row keeps what it has. */
static gboolean
reseal_table (CmkStore *store, const CmkTable *table, CmkStoreReseal each, gpointer user_data, GError **error)
{
  g_autofree char *sql = cmk_table_select (table);
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, g_intern_string (sql), error);
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      CmkValue values[CMK_MAX_COLUMNS];
      gint64 rowid = sqlite3_column_int64 (statement, (int) strlen (table->shape) + 1);
      g_autoptr (GError) local_error = NULL;
      if (cmk_row_read (store, table, statement, values, &local_error))
        {
          if (!reseal_row (store, table, values, rowid, each, user_data, error))
            return FALSE;
          continue;
        }
      if (local_error->code != CMK_ERROR_STATE_CORRUPTED)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      g_warning ("row %" G_GINT64_FORMAT " of %s is left as it is: %s", rowid, table->name, local_error->message);
    }
  return step == SQLITE_DONE;
}

gboolean
cmk_store_reseal_envelopes (CmkStore *store, CmkStoreReseal each, gpointer user_data, GError **error)
{
  if (!cmk_store_check_transaction (store, error))
    return FALSE;
  for (guint i = 0; cmk_tables[i] != NULL; i++)
    if (cmk_tables[i]->envelope != 0 && !reseal_table (store, cmk_tables[i], each, user_data, error))
      return FALSE;
  cmk_store_note_erasure (store);
  return TRUE;
}

/* --- MACs --- */

static gboolean
write_mac (CmkStore *store, const CmkTable *table, const CmkValue *values, gint64 rowid, GError **error)
{
  guint8 mac[CMK_ROW_MAC_SIZE];
  g_autoptr (sqlite3_stmt) statement = prepare_on_row (store, "UPDATE", table, "SET mac = ?1 WHERE rowid = ?2", error);
  return statement != NULL && cmk_row_compute_mac (store, table, values, mac, error) &&
         cmk_store_check (store, sqlite3_bind_blob (statement, 1, mac, sizeof mac, SQLITE_STATIC), error) &&
         run_on_row (store, statement, 2, rowid, error);
}

static gboolean
delete_row (CmkStore *store, const CmkTable *table, gint64 rowid, GError **error)
{
  g_warning ("row %" G_GINT64_FORMAT " of %s is deleted: it is not of a form that cmkd writes", rowid, table->name);
  g_autoptr (sqlite3_stmt) statement = prepare_on_row (store, "DELETE FROM", table, "WHERE rowid = ?1", error);
  return statement != NULL && run_on_row (store, statement, 1, rowid, error);
}

static gboolean
authenticate_table (CmkStore *store, const CmkTable *table, GError **error)
{
  g_autofree char *sql = cmk_table_select (table);
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, g_intern_string (sql), error);
  const CmkRowSource source = cmk_row_of_statement (statement);
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      CmkValue values[CMK_MAX_COLUMNS];
      gint64 rowid = sqlite3_column_int64 (statement, (int) strlen (table->shape) + 1);
      gboolean is_fine = cmk_row_read_form (table, &source, values) && cmk_row_is_plausible (table, values);
      if (is_fine ? !write_mac (store, table, values, rowid, error) : !delete_row (store, table, rowid, error))
        return FALSE;
    }
  return step == SQLITE_DONE;
}

gboolean
cmk_store_authenticate_anew (CmkStore *store, GError **error)
{
  if (!cmk_store_check_transaction (store, error))
    return FALSE;
  /* It is of the former MAC; the caller puts another before the commit. */
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM anchor", error);
  if (statement == NULL || !cmk_store_run (store, statement, error))
    return FALSE;
  store->transaction->rows.is_known = FALSE;
  for (guint i = 0; cmk_tables[i] != NULL; i++)
    if (!authenticate_table (store, cmk_tables[i], error))
      return FALSE;
  return cmk_row_set_compute (store, FALSE, &store->transaction->rows, error);
}
