/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose number an owner is. All of it is read at the start, so one damaged row is found there: whoever could change one
 * could take over what another has. */
#include "store/store.h"

#include "store/row.h"

enum
{
  OWNER,
  UID,
  NAME,
  N_VALUES
};

#define COLUMNS "owner, uid, name, mac"

static gboolean
is_sound (const CmkValue *values)
{
  gint64 owner = values[OWNER].number, uid = values[UID].number;
  return uid >= 0 && uid <= G_MAXUINT32 && (owner == uid || owner > G_MAXUINT32);
}

const CmkTable cmk_accounts_table = {
  .name = "accounts", .columns = COLUMNS, .domain = "cmkd row of accounts 1", .shape = "iit", .is_sound = is_sound
};

gboolean
cmk_store_put_account (CmkStore *store, const CmkAccountRecord *record, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [OWNER] = cmk_value_number (record->owner),
    [UID] = cmk_value_number (record->uid),
    [NAME] = cmk_value_text (record->name),
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
      store, "INSERT INTO accounts (" COLUMNS ") VALUES (?1, ?2, ?3, ?4) ON CONFLICT (owner) DO NOTHING", error);
  return statement != NULL && cmk_row_bind (store, &cmk_accounts_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_has_account (CmkStore *store, gint64 owner, gboolean *ret_has, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT EXISTS (SELECT 1 FROM accounts WHERE owner = ?1)", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, owner), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_has = sqlite3_column_int (statement, 0) != 0;
  return TRUE;
}

#define IS_UNUSED                                                                                                      \
  "NOT EXISTS (SELECT 1 FROM keys WHERE owner_uid = owner) AND "                                                       \
  "NOT EXISTS (SELECT 1 FROM aliases WHERE aliases.uid = owner) AND "                                                  \
  "NOT EXISTS (SELECT 1 FROM import_sets WHERE import_sets.uid = owner) AND "                                          \
  "NOT EXISTS (SELECT 1 FROM grants WHERE grantee_kind = ?1 AND grantee = owner)"

gboolean
cmk_store_has_unused_accounts (CmkStore *store, gboolean *ret_any, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT EXISTS (SELECT 1 FROM accounts WHERE " IS_UNUSED ")", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int (statement, 1, CMK_GRANTEE_USER), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_any = sqlite3_column_int (statement, 0) != 0;
  return TRUE;
}

gboolean
cmk_store_delete_unused_accounts (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM accounts WHERE " IS_UNUSED, error);
  return statement != NULL && cmk_store_check (store, sqlite3_bind_int (statement, 1, CMK_GRANTEE_USER), error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_visit_accounts (CmkStore *store, CmkStoreVisitAccount visit, gpointer user_data, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM accounts ORDER BY owner", error);
  int step = SQLITE_ERROR;
  while (statement != NULL && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      CmkValue values[N_VALUES];
      if (!cmk_row_read (store, &cmk_accounts_table, statement, values, error))
        {
          g_prefix_error (error, "account of an owner: ");
          return FALSE;
        }
      g_autofree char *name = cmk_value_dup_text (&values[NAME]);
      const CmkAccountRecord record = {
        .owner = values[OWNER].number,
        .uid = (guint32) values[UID].number,
        .name = name,
      };
      visit (&record, user_data);
    }
  return step == SQLITE_DONE;
}
