/* SPDX-License-Identifier: Apache-2.0 */
#include "store/row-set.h"

#include "store/erasure.h"
#include "store/row.h"

#include <string.h>

static void
accumulate (CmkRowSum *sum, const guint8 contribution[CMK_ROW_MAC_SIZE], gboolean is_added)
{
  guint64 carry = is_added ? 0 : 1; /* a - b is a + ~b + 1 */
  for (guint i = 0; i < G_N_ELEMENTS (sum->words); i++)
    {
      guint64 word;
      memcpy (&word, contribution + i * sizeof word, sizeof word);
      word = GUINT64_FROM_LE (word);
      guint64 addend = (is_added ? word : ~word) + carry;
      carry = addend < carry;
      sum->words[i] += addend;
      carry |= sum->words[i] < addend;
    }
}

static gboolean
compute_contribution (CmkStore *store, const guint8 mac[CMK_ROW_MAC_SIZE], guint8 ret_contribution[CMK_ROW_MAC_SIZE],
                      GError **error)
{
  static const char domain[] = "cmkd row in set 1";
  guint8 input[sizeof domain + CMK_ROW_MAC_SIZE];
  memcpy (input, domain, sizeof domain);
  memcpy (input + sizeof domain, mac, CMK_ROW_MAC_SIZE);
  return store->mac (store->mac_data, input, sizeof input, ret_contribution, error);
}

gboolean
cmk_row_set_mac (CmkStore *store, const CmkRowSum *sum, guint8 ret_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  static const char domain[] = "cmkd rows 1";
  guint8 input[sizeof domain + sizeof sum->words];
  memcpy (input, domain, sizeof domain);
  for (guint i = 0; i < G_N_ELEMENTS (sum->words); i++)
    {
      guint64 word = GUINT64_TO_LE (sum->words[i]);
      memcpy (input + sizeof domain + i * sizeof word, &word, sizeof word);
    }
  return store->mac (store->mac_data, input, sizeof input, ret_mac, error);
}

static gboolean
count_row (CmkStore *store, CmkRowSum *sum, const guint8 mac[CMK_ROW_MAC_SIZE], gboolean is_added, GError **error)
{
  guint8 contribution[CMK_ROW_MAC_SIZE];
  if (!compute_contribution (store, mac, contribution, error))
    return FALSE;
  accumulate (sum, contribution, is_added);
  return TRUE;
}

/* The MAC that a row counts with. */
static gboolean
choose_mac (CmkStore *store, const CmkTable *table, gboolean by_content, const CmkRowSource *source,
            guint8 ret_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  CmkValue values[CMK_MAX_COLUMNS];
  if (by_content && cmk_row_read_form (table, source, values))
    return cmk_row_compute_mac (store, table, values, ret_mac, error);
  cmk_row_read_mac (source, (int) strlen (table->shape), ret_mac);
  return TRUE;
}

/* --- from all rows --- */

static gboolean
count_table (CmkStore *store, const CmkTable *table, CmkRowSum *sum, GError **error)
{
  /* The whole row is read only where what its MAC should be is asked for. */
  g_autofree char *sql =
      sum->by_content ? cmk_table_select (table) : g_strdup_printf ("SELECT mac FROM %s", table->name);
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, g_intern_string (sql), error);
  CmkRowSource source = cmk_row_of_statement (statement);
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      guint8 mac[CMK_ROW_MAC_SIZE];
      if (!sum->by_content)
        cmk_row_read_mac (&source, 0, mac);
      else if (!choose_mac (store, table, TRUE, &source, mac, error))
        return FALSE;
      if (!count_row (store, sum, mac, TRUE, error))
        return FALSE;
    }
  return step == SQLITE_DONE;
}

gboolean
cmk_row_set_compute (CmkStore *store, gboolean by_content, CmkRowSum *ret_sum, GError **error)
{
  CmkRowSum sum = { .is_known = TRUE, .by_content = by_content };
  for (guint i = 0; cmk_tables[i] != NULL; i++)
    if (!count_table (store, cmk_tables[i], &sum, error))
      return FALSE;
  *ret_sum = sum;
  return TRUE;
}

/* --- kept up to date --- */

static const CmkTable *
find_table (const char *name)
{
  for (guint i = 0; cmk_tables[i] != NULL; i++)
    if (strcmp (cmk_tables[i]->name, name) == 0)
      return cmk_tables[i];
  return NULL;
}

static gboolean
count_change (CmkStore *store, const CmkTable *table, const CmkRowSource *before, const CmkRowSource *after,
              GError **error)
{
  CmkRowSum *sum = &store->transaction->rows;
  guint8 mac[CMK_ROW_MAC_SIZE];
  if (!sum->is_known)
    return TRUE;
  if (before != NULL &&
      (!choose_mac (store, table, sum->by_content, before, mac, error) || !count_row (store, sum, mac, FALSE, error)))
    return FALSE;
  if (after == NULL)
    return TRUE;
  cmk_row_read_mac (after, (int) strlen (table->shape), mac);
  return count_row (store, sum, mac, TRUE, error);
}

static void
before_change (void *user_data, sqlite3 *database, int operation, const char *schema G_GNUC_UNUSED, const char *name,
               sqlite3_int64 rowid G_GNUC_UNUSED, sqlite3_int64 new_rowid G_GNUC_UNUSED)
{
  CmkStore *store = user_data;
  const CmkTable *table = find_table (name);
  if (table == NULL || store->transaction == NULL || store->transaction->error != NULL)
    return;
  const CmkRowSource old = cmk_row_before_change (database), new = cmk_row_after_change (database);
  const CmkRowSource *before = operation != SQLITE_INSERT ? &old : NULL;
  const CmkRowSource *after = operation != SQLITE_DELETE ? &new : NULL;
  store->transaction->has_changes = TRUE;
  if (count_change (store, table, before, after, &store->transaction->error) && before != NULL)
    cmk_erasure_note (store, table, before, after);
}

void
cmk_row_set_watch (CmkStore *store)
{
  sqlite3_preupdate_hook (store->database, before_change, store);
}
