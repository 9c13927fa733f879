/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables, and how a database of an earlier version comes to have those of ours. An opened database must hold these,
 * to the letter, and nothing else: a trigger or a changed constraint would be somebody else's program in our
 * transactions. */
#include "store/database.h"

#include "base/error.h"

/* In the order they are made, hence by version: a new version is new lines at the end, and CMK_DATABASE_FORMAT. What
 * stands here has been written to people's disks and never changes. */
static const struct
{
  guint32 format; /* the version that brought it */
  const char *sql;
} schema[] = {
  { 1, "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT" },
  { 1, "CREATE TABLE keys (serial INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, "
       "owner_uid INTEGER NOT NULL, "
       "created_at INTEGER NOT NULL, spec INTEGER NOT NULL, usage INTEGER NOT NULL, origin INTEGER NOT NULL, "
       "protection_level INTEGER NOT NULL, state INTEGER NOT NULL, description TEXT NOT NULL, "
       "expires_at INTEGER NOT NULL, sealed_key BLOB, envelope BLOB, fingerprint BLOB, mac BLOB NOT NULL) STRICT" },
  { 1, "CREATE INDEX keys_by_owner ON keys (owner_uid)" },
  { 1, "CREATE INDEX keys_by_expiry ON keys (expires_at) WHERE expires_at > 0" },
  { 1, "CREATE TABLE import_sets (id BLOB PRIMARY KEY NOT NULL, "
       "key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "
       "uid INTEGER NOT NULL, algorithm INTEGER NOT NULL, wrapping_spec INTEGER NOT NULL, "
       "expires_at INTEGER NOT NULL, "
       "failures INTEGER NOT NULL, sealed_key BLOB NOT NULL, envelope BLOB NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 1, "CREATE INDEX import_sets_by_key ON import_sets (key_id, expires_at)" },
  { 1, "CREATE INDEX import_sets_by_uid ON import_sets (uid, expires_at)" },
  { 1, "CREATE INDEX import_sets_by_expiry ON import_sets (expires_at)" },
  { 2, "CREATE TABLE public_keys (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "
       "public_key BLOB NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 3, "CREATE TABLE deletions (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "
       "delete_at INTEGER NOT NULL, state_before INTEGER NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 3, "CREATE INDEX deletions_by_date ON deletions (delete_at)" },
  { 3, "CREATE TABLE aliases (serial INTEGER PRIMARY KEY AUTOINCREMENT, uid INTEGER NOT NULL, name TEXT NOT NULL, "
       "key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE, mac BLOB NOT NULL, UNIQUE (uid, name)) STRICT" },
  { 3, "CREATE INDEX aliases_by_uid ON aliases (uid)" },
  { 3, "CREATE INDEX aliases_by_key ON aliases (key_id)" },
  { 3, "CREATE TABLE tags (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "
       "tags BLOB NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 4, "CREATE TABLE facts (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 4, "CREATE TABLE anchor (number INTEGER PRIMARY KEY NOT NULL, stage BLOB NOT NULL, nv_handle INTEGER NOT NULL, "
       "is_behind INTEGER NOT NULL, steps INTEGER NOT NULL, rows_mac BLOB NOT NULL, "
       "mac BLOB NOT NULL) STRICT" },
  { 4, "CREATE TABLE erasure_pages (page INTEGER PRIMARY KEY NOT NULL, n_free INTEGER NOT NULL, "
       "content BLOB NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 4, "CREATE INDEX erasure_pages_by_room ON erasure_pages (n_free) WHERE n_free > 0" },
  { 4, "CREATE TABLE erasures (slot INTEGER PRIMARY KEY NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 5, "CREATE TABLE accounts (owner INTEGER PRIMARY KEY NOT NULL, uid INTEGER NOT NULL, name TEXT NOT NULL, "
       "mac BLOB NOT NULL) STRICT" },
  { 5, "CREATE TABLE grants (id BLOB PRIMARY KEY NOT NULL, "
       "key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE, key_serial INTEGER NOT NULL, "
       "grantee_kind INTEGER NOT NULL, grantee INTEGER NOT NULL, operations INTEGER NOT NULL, "
       "created_at INTEGER NOT NULL, mac BLOB NOT NULL) STRICT" },
  { 5, "CREATE INDEX grants_by_key ON grants (key_id)" },
  { 5, "CREATE INDEX grants_by_grantee ON grants (grantee_kind, grantee, key_serial)" },
};

gboolean
cmk_store_write_schema (CmkStore *store, guint32 format, GError **error)
{
  g_autofree char *identity = g_strdup_printf ("PRAGMA application_id = %d; PRAGMA user_version = %d;",
                                               CMK_DATABASE_APPLICATION_ID, CMK_DATABASE_FORMAT);
  if (!cmk_store_execute (store, "BEGIN IMMEDIATE", error) || !cmk_store_execute (store, identity, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (schema); i++)
    if (schema[i].format > format && !cmk_store_execute (store, schema[i].sql, error))
      return FALSE;
  /* Private keys were in another encoding, which is not read any more; their sets would have ended within a day. */
  if (format == 1 && !cmk_store_execute (store, "DELETE FROM import_sets", error))
    return FALSE;
  return cmk_store_execute (store, "COMMIT", error);
}

/* As SQLite sees it: after a crash the header of the file may be older than what stands in the log. */
static gboolean
read_format (CmkStore *store, guint32 *ret_format, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "PRAGMA user_version", error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_format = (guint32) sqlite3_column_int (statement, 0);
  return TRUE;
}

static gboolean
check_schema (CmkStore *store, guint32 format, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (
      store,
      "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY rowid",
      error);
  if (statement == NULL)
    return FALSE;
  gsize n_expected = 0, n_found = 0;
  while (n_expected < G_N_ELEMENTS (schema) && schema[n_expected].format <= format)
    n_expected++;
  int step;
  while ((step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      const char *sql = (const char *) sqlite3_column_text (statement, 0);
      if (n_found == n_expected || g_strcmp0 (sql, schema[n_found].sql) != 0)
        break;
      n_found++;
    }
  if (step == SQLITE_DONE && n_found == n_expected)
    return TRUE;
  if (step == SQLITE_ROW || step == SQLITE_DONE)
    g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                 "the tables in %s/%s are not those that cmkd made: restore it from a backup", store->directory,
                 CMK_DATABASE_FILE);
  return FALSE;
}

gboolean
cmk_store_bring_up_to_date (CmkStore *store, GError **error)
{
  guint32 format = 0;
  return read_format (store, &format, error) && cmk_store_check_format (store, format, error) &&
         check_schema (store, format, error) &&
         (format == CMK_DATABASE_FORMAT || cmk_store_write_schema (store, format, error));
}
