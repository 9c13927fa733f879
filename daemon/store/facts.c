/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "store/row.h"

#define COLUMNS "name, value, mac"

enum
{
  NAME,
  VALUE,
  N_VALUES
};

const CmkTable cmk_facts_table = {
  .name = "facts", .columns = COLUMNS, .domain = "cmkd row of facts 1", .shape = "tb"
};

/* There are few, and no MAC says that an index has all of them: it is not asked. */
#define FACTS "facts NOT INDEXED"

GBytes *
cmk_store_get_fact (CmkStore *store, const char *name, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM " FACTS " WHERE name = ?1", error);
  CmkValue values[N_VALUES];
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return NULL;
  if (cmk_row_read (store, &cmk_facts_table, statement, values, error))
    return cmk_value_dup_bytes (&values[VALUE]);
  g_prefix_error (error, "fact %s: ", name);
  return NULL;
}

static gboolean
write_values (CmkStore *store, const char *sql, const CmkValue *values, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, sql, error);
  return statement != NULL && cmk_row_bind (store, &cmk_facts_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_put_fact (CmkStore *store, const char *name, GBytes *value, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [NAME] = cmk_value_text (name),
    [VALUE] = cmk_value_bytes (value),
  };
  return write_values (store, "UPDATE " FACTS " SET value = ?2, mac = ?3 WHERE name = ?1", values, error) &&
         (sqlite3_changes (store->database) > 0 ||
          write_values (store, "INSERT INTO facts (" COLUMNS ") VALUES (?1, ?2, ?3)", values, error));
}
