/* SPDX-License-Identifier: Apache-2.0
 *
 * In a table of their own: a row of keys is read whole at every call, and few calls want the public key. */
#include "store/public-keys.h"

#include "base/error.h"
#include "store/row.h"

enum
{
  KEY_ID,
  PUBLIC_KEY,
  N_VALUES
};

#define COLUMNS "key_id, public_key, mac"

const CmkTable cmk_public_keys_table = {
  .name = "public_keys", .columns = COLUMNS, .domain = "cmkd row of public_keys 1", .shape = "ub"
};

gboolean
cmk_store_put_public_key (CmkStore *store, const CmkUuid *id, GBytes *public_key, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [KEY_ID] = cmk_value_id (id),
    [PUBLIC_KEY] = cmk_value_bytes (public_key),
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
      store,
      "INSERT INTO public_keys (" COLUMNS ") VALUES (?1, ?2, ?3) "
      "ON CONFLICT (key_id) DO UPDATE SET public_key = excluded.public_key, mac = excluded.mac",
      error);
  return statement != NULL && cmk_row_bind (store, &cmk_public_keys_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

static GBytes *
read_row (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  int step = cmk_store_step (store, statement, error);
  if (step == SQLITE_DONE)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                         "it is missing in the store: restore the state directory from a backup");
  CmkValue values[N_VALUES];
  if (step != SQLITE_ROW || !cmk_row_read (store, &cmk_public_keys_table, statement, values, error))
    return NULL;
  return cmk_value_dup_bytes (&values[PUBLIC_KEY]);
}

GBytes *
cmk_store_get_public_key (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM public_keys WHERE key_id = ?1", error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error))
    return NULL;
  GBytes *public_key = read_row (store, statement, error);
  if (public_key == NULL)
    {
      char text[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (id, text);
      g_prefix_error (error, "public key of key %s: ", text);
    }
  return public_key;
}

gboolean
cmk_store_delete_public_key (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store, "DELETE FROM public_keys WHERE key_id = ?1", error);
  return statement != NULL &&
         cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error) &&
         cmk_store_run (store, statement, error);
}
