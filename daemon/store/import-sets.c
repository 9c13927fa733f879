/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/error.h"
#include "cmkd.h"
#include "store/row.h"

#define COLUMNS "id, key_id, uid, algorithm, wrapping_spec, expires_at, failures, sealed_key, envelope, mac"

enum
{
  ID,
  KEY_ID,
  OWNER,
  ALGORITHM,
  WRAPPING_SPEC,
  EXPIRES_AT,
  FAILURES,
  SEALED_KEY,
  ENVELOPE,
  N_VALUES
};

static gboolean
is_sound (const CmkValue *values)
{
  return values[OWNER].number >= 0;
}

const CmkTable cmk_import_sets_table = { .name = "import_sets",
                                         .columns = COLUMNS,
                                         .domain = "cmkd row of import_sets 1",
                                         .shape = "uuiiiiibb",
                                         .envelope = ENVELOPE,
                                         .is_sound = is_sound };

CmkImportSetRecord *
cmk_import_set_record_new (void)
{
  return g_new0 (CmkImportSetRecord, 1);
}

void
cmk_import_set_record_free (CmkImportSetRecord *record)
{
  if (record == NULL)
    return;
  g_bytes_unref (record->sealed_key);
  g_bytes_unref (record->envelope);
  g_free (record);
}

/* Not 0, which is no date. */
#define LONG_AGO 1

/* A set that has no attempt left is due at once: should a crash keep it from being erased, the next start does. */
static gint64
choose_expiry (const CmkImportSetRecord *record)
{
  return record->failures < CMKD_UNWRAP_FAILURE_BUDGET ? record->expires_at : LONG_AGO;
}

static gboolean
write_record (CmkStore *store, const char *sql, const CmkImportSetRecord *record, GError **error)
{
  g_return_val_if_fail (record->sealed_key != NULL && record->envelope != NULL, FALSE);
  const CmkValue values[N_VALUES] = {
    [ID] = cmk_value_id (&record->id),
    [KEY_ID] = cmk_value_id (&record->key_id),
    [OWNER] = cmk_value_number (record->owner),
    [ALGORITHM] = cmk_value_number (record->algorithm),
    [WRAPPING_SPEC] = cmk_value_number (record->wrapping_spec),
    [EXPIRES_AT] = cmk_value_number (choose_expiry (record)),
    [FAILURES] = cmk_value_number (record->failures),
    [SEALED_KEY] = cmk_value_bytes (record->sealed_key),
    [ENVELOPE] = cmk_value_bytes (record->envelope),
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, sql, error);
  return statement != NULL && cmk_row_bind (store, &cmk_import_sets_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_insert_import_set (CmkStore *store, const CmkImportSetRecord *record, GError **error)
{
  return write_record (store, "INSERT INTO import_sets (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                       record, error);
}

gboolean
cmk_store_update_import_set (CmkStore *store, const CmkImportSetRecord *record, GError **error)
{
  if (!write_record (store,
                     "UPDATE import_sets SET key_id = ?2, uid = ?3, algorithm = ?4, wrapping_spec = ?5, "
                     "expires_at = ?6, failures = ?7, sealed_key = ?8, envelope = ?9, mac = ?10 WHERE id = ?1",
                     record, error))
    return FALSE;
  if (sqlite3_changes (store->database) == 1)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_IMPORT_TOKEN,
                       "the wrapping key of this import token is gone: ask for new import parameters");
  return FALSE;
}

static gboolean
run_deletion (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  if (!cmk_store_run (store, statement, error))
    return FALSE;
  if (sqlite3_changes (store->database) > 0)
    cmk_store_note_erasure (store);
  return TRUE;
}

gboolean
cmk_store_delete_import_set (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM import_sets WHERE id = ?1", error);
  return statement != NULL &&
         cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error) &&
         run_deletion (store, statement, error);
}

gboolean
cmk_store_delete_expired_import_sets (CmkStore *store, gint64 when, gint64 latest, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store, "DELETE FROM import_sets WHERE expires_at <= ?1 OR expires_at > ?2", error);
  return statement != NULL && cmk_store_check (store, sqlite3_bind_int64 (statement, 1, when), error) &&
         cmk_store_check (store, sqlite3_bind_int64 (statement, 2, latest), error) &&
         run_deletion (store, statement, error);
}

gboolean
cmk_store_delete_import_sets (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM import_sets", error);
  return statement != NULL && run_deletion (store, statement, error);
}

gboolean
cmk_store_next_import_set_expiry (CmkStore *store, gint64 *ret_when, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "SELECT min (expires_at) FROM import_sets", error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_when = sqlite3_column_int64 (statement, 0); /* NULL reads as 0 */
  return TRUE;
}

static CmkImportSetRecord *
read_record (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  CmkValue values[N_VALUES];
  if (!cmk_row_read (store, &cmk_import_sets_table, statement, values, error))
    {
      g_prefix_error (error, "wrapping key of an import token: ");
      return NULL;
    }
  CmkImportSetRecord *record = cmk_import_set_record_new ();
  record->id = cmk_value_to_id (&values[ID]);
  record->key_id = cmk_value_to_id (&values[KEY_ID]);
  record->owner = values[OWNER].number;
  record->algorithm = (CmkWrappingAlgorithm) values[ALGORITHM].number;
  record->wrapping_spec = (CmkWrappingKeySpec) values[WRAPPING_SPEC].number;
  record->expires_at = values[EXPIRES_AT].number;
  record->failures = (guint) values[FAILURES].number;
  record->sealed_key = cmk_value_dup_bytes (&values[SEALED_KEY]);
  record->envelope = cmk_value_dup_bytes (&values[ENVELOPE]);
  return record;
}

CmkImportSetRecord *
cmk_store_get_import_set (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM import_sets WHERE id = ?1", error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return NULL;
  return read_record (store, statement, error);
}

gboolean
cmk_store_count_import_sets (CmkStore *store, const CmkUuid *key_id, gint64 owner, gint64 now, gint64 latest,
                             guint *ret_of_key, guint *ret_of_owner, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (
      store,
      "SELECT (SELECT count (*) FROM import_sets WHERE key_id = ?1 AND expires_at > ?3 AND expires_at <= ?4), "
      "(SELECT count (*) FROM import_sets WHERE uid = ?2 AND expires_at > ?3 AND expires_at <= ?4)",
      error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, key_id->bytes, sizeof key_id->bytes, SQLITE_STATIC),
                        error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 2, owner), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 3, now), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 4, latest), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_of_key = (guint) sqlite3_column_int64 (statement, 0);
  *ret_of_owner = (guint) sqlite3_column_int64 (statement, 1);
  return TRUE;
}
