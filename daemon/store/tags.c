/* SPDX-License-Identifier: Apache-2.0
 *
 * All tags of a key in one row under one MAC, so that none of them can be exchanged alone. A key without tags has
 * no row. */
#include "store/store.h"

#include "base/error.h"
#include "store/row.h"

enum
{
  KEY_ID,
  TAGS,
  N_VALUES
};

#define COLUMNS "key_id, tags, mac"

const CmkTable cmk_tags_table = { .name = "tags", .columns = COLUMNS, .domain = "cmkd row of tags 1", .shape = "ub" };

static gboolean
put_row (CmkStore *store, const CmkUuid *key_id, GBytes *tags, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [KEY_ID] = cmk_value_id (key_id),
    [TAGS] = cmk_value_bytes (tags),
  };
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store,
                                "INSERT INTO tags (" COLUMNS ") VALUES (?1, ?2, ?3) "
                                "ON CONFLICT (key_id) DO UPDATE SET tags = excluded.tags, mac = excluded.mac",
                                error);
  return statement != NULL && cmk_row_bind (store, &cmk_tags_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

static gboolean
bind_key_id (CmkStore *store, sqlite3_stmt *statement, const CmkUuid *key_id, GError **error)
{
  return cmk_store_check (store, sqlite3_bind_blob (statement, 1, key_id->bytes, sizeof key_id->bytes, SQLITE_STATIC),
                          error);
}

gboolean
cmk_store_put_tags (CmkStore *store, const CmkUuid *key_id, GBytes *tags, GError **error)
{
  if (g_bytes_get_size (tags) > 0)
    return put_row (store, key_id, tags, error);
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM tags WHERE key_id = ?1", error);
  return statement != NULL && bind_key_id (store, statement, key_id, error) && cmk_store_run (store, statement, error);
}

GBytes *
cmk_store_get_tags (CmkStore *store, const CmkUuid *key_id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM tags WHERE key_id = ?1", error);
  if (statement == NULL || !bind_key_id (store, statement, key_id, error))
    return NULL;
  int step = cmk_store_step (store, statement, error);
  if (step == SQLITE_DONE)
    return g_bytes_new (NULL, 0);
  CmkValue values[N_VALUES];
  if (step == SQLITE_ROW && cmk_row_read (store, &cmk_tags_table, statement, values, error))
    return cmk_value_dup_bytes (&values[TAGS]);
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (key_id, text);
  g_prefix_error (error, "tags of key %s: ", text);
  return NULL;
}
