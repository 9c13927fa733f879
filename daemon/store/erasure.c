/* SPDX-License-Identifier: Apache-2.0 */
#include "store/erasure.h"

#include "base/error.h"

#include <string.h>

#define ERASURE_COLUMNS "slot, mac"
#define PAGE_COLUMNS    "page, n_free, content, mac"

enum
{
  SLOT,
  N_ERASURE_VALUES
};

enum
{
  PAGE,
  N_FREE,
  CONTENT,
  N_PAGE_VALUES
};

const CmkTable cmk_erasures_table = {
  .name = "erasures", .columns = ERASURE_COLUMNS, .domain = "cmkd row of erasures 1", .shape = "i"
};

const CmkTable cmk_erasure_pages_table = {
  .name = "erasure_pages", .columns = PAGE_COLUMNS, .domain = "cmkd row of erasure_pages 1", .shape = "iib"
};

/* --- slots whose records go --- */

static gboolean
read_slot (const CmkTable *table, const CmkRowSource *source, gint64 *ret_slot)
{
  CmkValue envelope;
  guint64 slot;
  if (source == NULL || source->read (source->object, table->envelope, &envelope) != SQLITE_BLOB ||
      envelope.size < sizeof slot)
    return FALSE;
  memcpy (&slot, envelope.data, sizeof slot);
  *ret_slot = (gint64) GUINT64_FROM_BE (slot);
  return TRUE;
}

/* The slot of a damaged row may be that of another record, which must not be lost with it. */
static gboolean
is_intact (CmkStore *store, const CmkTable *table, const CmkRowSource *source, gboolean *ret_intact, GError **error)
{
  CmkValue values[CMK_MAX_COLUMNS];
  guint8 stored[CMK_ROW_MAC_SIZE], mac[CMK_ROW_MAC_SIZE];
  *ret_intact = FALSE;
  if (!cmk_row_read_form (table, source, values))
    return TRUE;
  if (!cmk_row_compute_mac (store, table, values, mac, error))
    return FALSE;
  cmk_row_read_mac (source, (int) strlen (table->shape), stored);
  *ret_intact = store->transaction->rows.by_content || cmk_mac_equal (stored, mac);
  return TRUE;
}

void
cmk_erasure_note (CmkStore *store, const CmkTable *table, const CmkRowSource *before, const CmkRowSource *after)
{
  gint64 slot, new_slot;
  gboolean intact;
  if (store->anchor == NULL || table->envelope == 0 || !read_slot (table, before, &slot) ||
      (read_slot (table, after, &new_slot) && new_slot == slot))
    return;
  if (!is_intact (store, table, before, &intact, &store->transaction->error))
    return;
  if (intact)
    g_array_append_val (store->transaction->erasures, slot);
  else
    g_warning ("a damaged row of %s goes, and older copies of it cannot be made unreadable", table->name);
}

gboolean
cmk_erasure_write_noted (CmkStore *store, GError **error)
{
  GArray *slots = store->transaction->erasures;
  for (guint i = 0; i < slots->len; i++)
    {
      const CmkValue values[N_ERASURE_VALUES] = { [SLOT] = cmk_value_number (g_array_index (slots, gint64, i)) };
      g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
          store, "INSERT INTO erasures (" ERASURE_COLUMNS ") VALUES (?1, ?2) ON CONFLICT (slot) DO NOTHING", error);
      if (statement == NULL || !cmk_row_bind (store, &cmk_erasures_table, statement, values, error) ||
          !cmk_store_run (store, statement, error))
        return FALSE;
    }
  g_array_set_size (slots, 0);
  return TRUE;
}

/* Whoever reads the list in a transaction goes on to clear it, so what that transaction took out must be in it. */
static sqlite3_stmt *
prepare_on_all (CmkStore *store, const char *sql, GError **error)
{
  return store->transaction == NULL || cmk_erasure_write_noted (store, error) ? cmk_store_prepare (store, sql, error)
                                                                              : NULL;
}

GArray *
cmk_store_list_erasures (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      prepare_on_all (store, "SELECT " ERASURE_COLUMNS " FROM erasures ORDER BY slot", error);
  g_autoptr (GArray) slots = g_array_new (FALSE, FALSE, sizeof (gint64));
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      CmkValue values[N_ERASURE_VALUES];
      if (!cmk_row_read (store, &cmk_erasures_table, statement, values, error))
        return NULL;
      g_array_append_val (slots, values[SLOT].number);
    }
  return step == SQLITE_DONE ? g_steal_pointer (&slots) : NULL;
}

gboolean
cmk_store_has_erasures (CmkStore *store, gboolean *ret_any, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = prepare_on_all (store, "SELECT EXISTS (SELECT 1 FROM erasures)", error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_any = sqlite3_column_int (statement, 0);
  return TRUE;
}

gboolean
cmk_store_clear_erasures (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM erasures", error);
  if (statement == NULL || !cmk_store_run (store, statement, error))
    return FALSE;
  g_array_set_size (store->transaction->erasures, 0);
  return TRUE;
}

/* --- pages --- */

GBytes *
cmk_store_get_erasure_page (CmkStore *store, gint64 page, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " PAGE_COLUMNS " FROM erasure_pages WHERE page = ?1", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, page), error))
    return NULL;
  CmkValue values[N_PAGE_VALUES];
  int step = cmk_store_step (store, statement, error);
  if (step == SQLITE_ROW && cmk_row_read (store, &cmk_erasure_pages_table, statement, values, error))
    return cmk_value_dup_bytes (&values[CONTENT]);
  if (step == SQLITE_DONE)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                         "it is missing in the store: restore the state directory from a backup");
  g_prefix_error (error, "page %" G_GINT64_FORMAT " of the erasure keys: ", page);
  return NULL;
}

gboolean
cmk_store_put_erasure_page (CmkStore *store, gint64 page, guint n_free, GBytes *content, GError **error)
{
  const CmkValue values[N_PAGE_VALUES] = {
    [PAGE] = cmk_value_number (page),
    [N_FREE] = cmk_value_number (n_free),
    [CONTENT] = cmk_value_bytes (content),
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
      store,
      "INSERT INTO erasure_pages (" PAGE_COLUMNS ") VALUES (?1, ?2, ?3, ?4) "
      "ON CONFLICT (page) DO UPDATE SET n_free = excluded.n_free, content = excluded.content, mac = excluded.mac",
      error);
  return statement != NULL && cmk_row_bind (store, &cmk_erasure_pages_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_find_free_erasure_page (CmkStore *store, gint64 *ret_page, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " PAGE_COLUMNS " FROM erasure_pages WHERE n_free > 0", error);
  int step = SQLITE_ERROR;
  *ret_page = -1;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      CmkValue values[N_PAGE_VALUES];
      g_autoptr (GError) local_error = NULL;
      if (cmk_row_read (store, &cmk_erasure_pages_table, statement, values, &local_error))
        {
          *ret_page = values[PAGE].number;
          return TRUE;
        }
      if (local_error->code != CMK_ERROR_STATE_CORRUPTED)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
  return step == SQLITE_DONE;
}

gboolean
cmk_store_delete_erasure_pages (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM erasure_pages", error);
  return statement != NULL && cmk_store_run (store, statement, error);
}
