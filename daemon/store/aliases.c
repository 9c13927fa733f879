/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/error.h"
#include "store/row.h"

#define COLUMNS "serial, uid, name, key_id, mac"

enum
{
  SERIAL,
  OWNER,
  NAME,
  KEY_ID,
  N_VALUES
};

static gboolean
is_sound (const CmkValue *values)
{
  return values[OWNER].number >= 0;
}

const CmkTable cmk_aliases_table = {
  .name = "aliases", .columns = COLUMNS, .domain = "cmkd row of aliases 1", .shape = "iitu", .is_sound = is_sound
};

CmkAliasRecord *
cmk_alias_record_new (gint64 owner, const char *name, const CmkUuid *key_id)
{
  CmkAliasRecord *record = g_new0 (CmkAliasRecord, 1);
  record->owner = owner;
  record->name = g_strdup (name);
  record->key_id = *key_id;
  return record;
}

void
cmk_alias_record_free (CmkAliasRecord *record)
{
  if (record == NULL)
    return;
  g_free (record->name);
  g_free (record);
}

static gboolean
write_record (CmkStore *store, const char *sql, const CmkAliasRecord *record, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [SERIAL] = cmk_value_number (record->serial),
    [OWNER] = cmk_value_number (record->owner),
    [NAME] = cmk_value_text (record->name),
    [KEY_ID] = cmk_value_id (&record->key_id),
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, sql, error);
  return statement != NULL && cmk_row_bind (store, &cmk_aliases_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

/* Of the row that @statement stands on. */
static CmkAliasRecord *
read_record (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  CmkValue values[N_VALUES];
  if (!cmk_row_read (store, &cmk_aliases_table, statement, values, error))
    {
      g_prefix_error (error, "alias number %" G_GINT64_FORMAT ": ", values[SERIAL].number);
      return NULL;
    }
  CmkAliasRecord *record = g_new0 (CmkAliasRecord, 1);
  record->serial = values[SERIAL].number;
  record->owner = values[OWNER].number;
  record->name = cmk_value_dup_text (&values[NAME]);
  record->key_id = cmk_value_to_id (&values[KEY_ID]);
  return record;
}

gboolean
cmk_store_insert_alias (CmkStore *store, CmkAliasRecord *record, GError **error)
{
  return cmk_row_next_serial (store, CMK_NEXT_SERIAL ("aliases"), &record->serial, error) &&
         write_record (store, "INSERT INTO aliases (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5)", record, error);
}

static gboolean
fail_not_found (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_ALIAS_NOT_FOUND,
                       "you have no such alias: ListAliases shows those you have");
  return FALSE;
}

static sqlite3_stmt *
select_of_owner (CmkStore *store, gint64 owner, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM aliases INDEXED BY aliases_by_uid WHERE uid = ?1", error);
  return statement != NULL && cmk_store_check (store, sqlite3_bind_int64 (statement, 1, owner), error)
             ? g_steal_pointer (&statement)
             : NULL;
}

/* A row is found by the name that stands in it: one that was renamed on the disk is not, but is damaged. Nobody damages
 * rows while the store is open, so once is enough. */
static gboolean
fail_missing (CmkStore *store, gint64 owner, GError **error)
{
  if (g_hash_table_contains (store->owners_of_intact_aliases, &owner))
    return fail_not_found (error);
  g_autoptr (sqlite3_stmt) statement = select_of_owner (store, owner, error);
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      g_autoptr (CmkAliasRecord) record = read_record (store, statement, error);
      if (record != NULL)
        continue;
      g_prefix_error (error, "there is no such alias, but a damaged one that may be it: ");
      return FALSE;
    }
  if (step != SQLITE_DONE)
    return FALSE;
  g_hash_table_add (store->owners_of_intact_aliases, g_memdup2 (&owner, sizeof owner));
  return fail_not_found (error);
}

gboolean
cmk_store_update_alias (CmkStore *store, const CmkAliasRecord *record, GError **error)
{
  if (!write_record (store, "UPDATE aliases SET key_id = ?4, mac = ?5 WHERE serial = ?1 AND uid = ?2 AND name = ?3",
                     record, error))
    return FALSE;
  return sqlite3_changes (store->database) == 1 || fail_not_found (error);
}

gboolean
cmk_store_delete_alias (CmkStore *store, gint64 owner, const char *name, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store, "DELETE FROM aliases WHERE uid = ?1 AND name = ?2", error);
  return statement != NULL && cmk_store_check (store, sqlite3_bind_int64 (statement, 1, owner), error) &&
         cmk_store_check (store, sqlite3_bind_text (statement, 2, name, -1, SQLITE_STATIC), error) &&
         cmk_store_run (store, statement, error) &&
         (sqlite3_changes (store->database) > 0 || fail_missing (store, owner, error));
}

static sqlite3_stmt *
find_by_name (CmkStore *store, gint64 owner, const char *name, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM aliases WHERE uid = ?1 AND name = ?2", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, owner), error) ||
      !cmk_store_check (store, sqlite3_bind_text (statement, 2, name, -1, SQLITE_STATIC), error))
    return NULL;
  return g_steal_pointer (&statement);
}

gboolean
cmk_store_check_alias_free (CmkStore *store, gint64 owner, const char *name, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = find_by_name (store, owner, name, error);
  int step = statement != NULL ? cmk_store_step (store, statement, error) : SQLITE_ERROR;
  if (step == SQLITE_ROW)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_ALIAS_ALREADY_EXISTS,
                         "you have an alias of this name already: choose another, or move it with UpdateAlias");
  return step == SQLITE_DONE;
}

CmkAliasRecord *
cmk_store_get_alias (CmkStore *store, gint64 owner, const char *name, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = find_by_name (store, owner, name, error);
  int step = statement != NULL ? cmk_store_step (store, statement, error) : SQLITE_ERROR;
  if (step == SQLITE_ROW)
    return read_record (store, statement, error);
  if (step == SQLITE_DONE)
    fail_missing (store, owner, error);
  return NULL;
}

static void
free_record (gpointer record)
{
  cmk_alias_record_free (record);
}

/* Appends the intact ones of the rows that @statement answers, until there are @limit. */
static gboolean
collect_aliases (CmkStore *store, sqlite3_stmt *statement, guint limit, GPtrArray *records, GError **error)
{
  int step = SQLITE_ROW;
  while (records->len < limit && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      g_autoptr (GError) local_error = NULL;
      CmkAliasRecord *record = read_record (store, statement, &local_error);
      if (record != NULL)
        g_ptr_array_add (records, record);
      else if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED))
        g_warning ("an alias is left out: %s", local_error->message);
      else
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
  return step == SQLITE_ROW || step == SQLITE_DONE;
}

static sqlite3_stmt *
select_aliases (CmkStore *store, const CmkAliasFilter *filter, GError **error)
{
  const CmkUuid *key_id = filter->key_id;
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store,
                         key_id != NULL ? "SELECT " COLUMNS " FROM aliases WHERE key_id = ?3 AND serial > ?2 AND "
                                          "(?1 = -1 OR uid = ?1) ORDER BY serial"
                                        : "SELECT " COLUMNS " FROM aliases INDEXED BY aliases_by_uid "
                                          "WHERE uid = ?1 AND serial > ?2 ORDER BY serial",
                         error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, filter->owner), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 2, filter->after_serial), error) ||
      (key_id != NULL &&
       !cmk_store_check (store, sqlite3_bind_blob (statement, 3, key_id->bytes, sizeof key_id->bytes, SQLITE_STATIC),
                         error)))
    return NULL;
  return g_steal_pointer (&statement);
}

GPtrArray *
cmk_store_list_aliases (CmkStore *store, const CmkAliasFilter *filter, gboolean *ret_more, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = select_aliases (store, filter, error);
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (free_record);
  if (statement == NULL || !collect_aliases (store, statement, filter->limit + 1, records, error))
    return NULL;
  *ret_more = records->len > filter->limit;
  if (*ret_more)
    g_ptr_array_set_size (records, (int) filter->limit);
  return g_steal_pointer (&records);
}

gboolean
cmk_store_count_aliases (CmkStore *store, const CmkUuid *key_id, guint *ret_count, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT count (*) FROM aliases WHERE key_id = ?1", error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, key_id->bytes, sizeof key_id->bytes, SQLITE_STATIC),
                        error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_count = (guint) sqlite3_column_int64 (statement, 0);
  return TRUE;
}
