/* SPDX-License-Identifier: Apache-2.0 */
#include "store/anchor.h"

#include "base/error.h"
#include "store/row.h"

#include <string.h>

#define COLUMNS "number, stage, nv_handle, is_behind, steps, rows_mac, mac"

enum
{
  NUMBER, /* always 1 */
  STAGE,
  NV_HANDLE,
  IS_BEHIND,
  STEPS,
  ROWS_MAC,
  N_VALUES
};

static const CmkTable anchor_table = {
  .name = "anchor", .columns = COLUMNS, .domain = "cmkd row of anchor 1", .shape = "ibiiib"
};

/* --- writing --- */

static gboolean
write_row (CmkStore *store, const CmkStoreAnchor *anchor, const CmkRowSum *rows, GError **error)
{
  guint8 rows_mac[CMK_ROW_MAC_SIZE];
  if (!cmk_row_set_mac (store, rows, rows_mac, error))
    return FALSE;
  const CmkValue values[N_VALUES] = {
    [NUMBER] = cmk_value_number (1),
    [STAGE] = { .data = anchor->stage, .size = sizeof anchor->stage },
    [NV_HANDLE] = cmk_value_number (anchor->nv_handle),
    [IS_BEHIND] = cmk_value_number (anchor->is_behind),
    [STEPS] = cmk_value_number ((gint64) anchor->steps),
    [ROWS_MAC] = { .data = rows_mac, .size = sizeof rows_mac },
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
      store,
      "INSERT INTO anchor (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
      "ON CONFLICT (number) DO UPDATE SET stage = excluded.stage, nv_handle = excluded.nv_handle, "
      "is_behind = excluded.is_behind, steps = excluded.steps, "
      "rows_mac = excluded.rows_mac, mac = excluded.mac",
      error);
  return statement != NULL && cmk_row_bind (store, &anchor_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

/* With a sum that does not know of the change, the next start would take an honest state for an older one. */
static gboolean
check_sum_is_known (const CmkStoreTransaction *transaction, GError **error)
{
  if (!transaction->has_changes || transaction->rows.is_known)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INTERNAL,
                       "the state was to be changed before its anchor was loaded: this is a bug in cmkd, please report "
                       "it");
  return FALSE;
}

gboolean
cmk_anchor_write (CmkStore *store, GError **error)
{
  CmkStoreTransaction *transaction = store->transaction;
  if (!check_sum_is_known (transaction, error))
    return FALSE;
  if (transaction->anchor == NULL && transaction->has_changes && store->anchor != NULL)
    {
      transaction->anchor = g_memdup2 (store->anchor, sizeof *store->anchor);
      transaction->anchor->is_behind = TRUE;
    }
  return transaction->anchor == NULL || write_row (store, transaction->anchor, &transaction->rows, error);
}

gboolean
cmk_store_put_anchor (CmkStore *store, const CmkStoreAnchor *anchor, GError **error)
{
  if (!cmk_store_check_transaction (store, error))
    return FALSE;
  g_return_val_if_fail (store->transaction->rows.is_known, FALSE);
  CmkStoreAnchor *put = g_memdup2 (anchor, sizeof *anchor);
  g_free (store->transaction->anchor);
  store->transaction->anchor = put;
  return TRUE;
}

gboolean
cmk_store_is_behind (CmkStore *store)
{
  return store->anchor != NULL && store->anchor->is_behind;
}

/* --- reading --- */

static gboolean
fail_corrupted (const char *what, GError **error)
{
  g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
               "the record that vouches for the whole store is %s: restore the state directory from a backup", what);
  return FALSE;
}

static CmkStoreAnchor *
read_row (CmkStore *store, sqlite3_stmt *statement, guint8 ret_rows_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  CmkValue values[N_VALUES];
  g_autoptr (GError) local_error = NULL;
  if (!cmk_row_read (store, &anchor_table, statement, values, &local_error))
    {
      if (local_error->code == CMK_ERROR_STATE_CORRUPTED)
        fail_corrupted ("not as cmkd wrote it", error);
      else
        g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  g_return_val_if_fail (values[STAGE].size == CMK_STAGE_SIZE && values[ROWS_MAC].size == CMK_ROW_MAC_SIZE, NULL);
  memcpy (ret_rows_mac, values[ROWS_MAC].data, CMK_ROW_MAC_SIZE);
  CmkStoreAnchor *anchor = g_new0 (CmkStoreAnchor, 1);
  memcpy (anchor->stage, values[STAGE].data, sizeof anchor->stage);
  anchor->nv_handle = (guint32) values[NV_HANDLE].number;
  anchor->is_behind = values[IS_BEHIND].number != 0;
  anchor->steps = (guint64) values[STEPS].number;
  return anchor;
}

/* What there is only under an anchor. */
static gboolean
check_never_anchored (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store,
                         "SELECT EXISTS (SELECT 1 FROM anchor) OR EXISTS (SELECT 1 FROM erasure_pages) OR "
                         "EXISTS (SELECT 1 FROM erasures)",
                         error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  return sqlite3_column_int (statement, 0) == 0 || fail_corrupted ("missing", error);
}

/* *ret_anchor stays NULL if there is none. */
static gboolean
find_row (CmkStore *store, CmkStoreAnchor **ret_anchor, guint8 ret_rows_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM anchor WHERE number = 1", error);
  int step = statement != NULL ? cmk_store_step (store, statement, error) : SQLITE_ERROR;
  if (step == SQLITE_ROW)
    *ret_anchor = read_row (store, statement, ret_rows_mac, error);
  return step == SQLITE_ROW ? *ret_anchor != NULL : step == SQLITE_DONE && check_never_anchored (store, error);
}

static gboolean
matches (CmkStore *store, const CmkRowSum *rows, const guint8 rows_mac[CMK_ROW_MAC_SIZE], gboolean *ret_matches,
         GError **error)
{
  guint8 mac[CMK_ROW_MAC_SIZE];
  if (!cmk_row_set_mac (store, rows, mac, error))
    return FALSE;
  *ret_matches = cmk_mac_equal (mac, rows_mac);
  return TRUE;
}

/* A MAC that is damaged while its row is whole is damage too, and no rollback: the row still is the latest of its
 * place. */
static gboolean
find_sum (CmkStore *store, const guint8 rows_mac[CMK_ROW_MAC_SIZE], CmkRowSum *ret_rows, gboolean *ret_matches,
          GError **error)
{
  CmkRowSum by_content;
  if (!cmk_row_set_compute (store, FALSE, ret_rows, error) || !matches (store, ret_rows, rows_mac, ret_matches, error))
    return FALSE;
  if (*ret_matches)
    return TRUE;
  if (!cmk_row_set_compute (store, TRUE, &by_content, error) ||
      !matches (store, &by_content, rows_mac, ret_matches, error))
    return FALSE;
  if (*ret_matches)
    *ret_rows = by_content;
  return TRUE;
}

/* --- rows that the whole store rests on --- */

static gboolean
verify_row (CmkStore *store, const CmkTable *table, sqlite3_stmt *statement, GError **error)
{
  CmkValue values[CMK_MAX_COLUMNS];
  g_autoptr (GError) local_error = NULL;
  if (cmk_row_read (store, table, statement, values, &local_error))
    return TRUE;
  if (local_error->code == CMK_ERROR_STATE_CORRUPTED)
    g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                 "row %" G_GINT64_FORMAT " of %s is not as cmkd wrote it, and the whole store rests on it: restore the "
                 "state directory from a backup",
                 (gint64) sqlite3_column_int64 (statement, (int) strlen (table->shape) + 1), table->name);
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
verify_table (CmkStore *store, const CmkTable *table, GError **error)
{
  g_autofree char *sql = cmk_table_select (table);
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, g_intern_string (sql), error);
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    if (!verify_row (store, table, statement, error))
      return FALSE;
  return step == SQLITE_DONE;
}

/* The sum is of MACs, so it does not tell of a row whose content was changed under its MAC; and a fact of another name,
 * or an erasure of another slot, is one that nobody finds. These are few. */
static gboolean
verify_foundations (CmkStore *store, GError **error)
{
  return verify_table (store, &cmk_facts_table, error) && verify_table (store, &cmk_erasures_table, error) &&
         verify_table (store, &cmk_accounts_table, error);
}

CmkStoreAnchor *
cmk_store_load_anchor (CmkStore *store, gboolean *ret_rows_are_current, GError **error)
{
  g_return_val_if_fail (store->mac != NULL && store->transaction == NULL, NULL);
  g_autoptr (CmkStoreAnchor) anchor = NULL;
  guint8 rows_mac[CMK_ROW_MAC_SIZE];
  CmkRowSum rows;
  *ret_rows_are_current = TRUE;
  if (!find_row (store, &anchor, rows_mac, error) || !verify_foundations (store, error))
    return NULL;
  if (anchor == NULL ? !cmk_row_set_compute (store, FALSE, &rows, error)
                     : !find_sum (store, rows_mac, &rows, ret_rows_are_current, error))
    return NULL;
  store->rows = rows;
  g_free (store->anchor);
  store->anchor = anchor != NULL ? g_memdup2 (anchor, sizeof *anchor) : NULL;
  return g_steal_pointer (&anchor);
}
