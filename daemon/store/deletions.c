/* SPDX-License-Identifier: Apache-2.0
 *
 * In a table of their own: few keys are to be deleted, and the rows of keys stay what they were. */
#include "store/deletions.h"

#include "base/error.h"
#include "store/row.h"

enum
{
  KEY_ID,
  DELETE_AT,
  STATE_BEFORE,
  N_VALUES
};

#define COLUMNS "key_id, delete_at, state_before, mac"

static gboolean
is_sound (const CmkValue *values)
{
  gint64 state = values[STATE_BEFORE].number;
  return state > 0 && state <= G_MAXINT && cmk_spec_name (cmk_key_states, (int) state) != NULL;
}

const CmkTable cmk_deletions_table = {
  .name = "deletions", .columns = COLUMNS, .domain = "cmkd row of deletions 1", .shape = "uii", .is_sound = is_sound
};

static gboolean
read_row (CmkStore *store, sqlite3_stmt *statement, CmkKeyRecord *record, GError **error)
{
  int step = cmk_store_step (store, statement, error);
  if (step == SQLITE_DONE)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                         "it is missing in the store: restore the state directory from a backup");
  CmkValue values[N_VALUES];
  if (step != SQLITE_ROW || !cmk_row_read (store, &cmk_deletions_table, statement, values, error))
    return FALSE;
  record->delete_at = values[DELETE_AT].number;
  record->state_before = (CmkKeyState) values[STATE_BEFORE].number;
  return TRUE;
}

gboolean
cmk_store_load_deletion (CmkStore *store, CmkKeyRecord *record, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM deletions WHERE key_id = ?1", error);
  const CmkUuid *id = &record->id;
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error))
    return FALSE;
  if (read_row (store, statement, record, error))
    return TRUE;
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (id, text);
  g_prefix_error (error, "deletion date of key %s: ", text);
  return FALSE;
}

static gboolean
put_row (CmkStore *store, const CmkKeyRecord *record, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [KEY_ID] = cmk_value_id (&record->id),
    [DELETE_AT] = cmk_value_number (record->delete_at),
    [STATE_BEFORE] = cmk_value_number (record->state_before),
  };
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store,
                                "INSERT INTO deletions (" COLUMNS ") VALUES (?1, ?2, ?3, ?4) "
                                "ON CONFLICT (key_id) DO UPDATE SET delete_at = excluded.delete_at, "
                                "state_before = excluded.state_before, mac = excluded.mac",
                                error);
  return statement != NULL && cmk_row_bind (store, &cmk_deletions_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

static gboolean
remove_row (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store, "DELETE FROM deletions WHERE key_id = ?1", error);
  return statement != NULL &&
         cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_keep_deletion (CmkStore *store, const CmkKeyRecord *record, GError **error)
{
  return record->state == CMK_KEY_STATE_PENDING_DELETION ? put_row (store, record, error)
                                                         : remove_row (store, &record->id, error);
}
