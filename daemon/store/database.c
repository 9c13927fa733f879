/* SPDX-License-Identifier: Apache-2.0 */
#include "store/database.h"

#include "base/error.h"
#include "store/log.h"
#include "store/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NEW_FILE CMK_DATABASE_FILE ".new"

/* The longest value is a description: 8,192 characters of at most 4 bytes. What is longer was not written by us. */
#define MAX_VALUE_BYTES (256 * 1024)

/* @system_code is errno: sqlite3_system_errno(), made for this, is not set by a commit that fails. */
static CmkError
code_from_result (int result, int system_code)
{
  switch (result & 0xff)
    {
    case SQLITE_FULL:
      return CMK_ERROR_STORAGE_FULL;
    case SQLITE_IOERR:
      return system_code == ENOSPC || system_code == EDQUOT || system_code == EFBIG ? CMK_ERROR_STORAGE_FULL
                                                                                    : CMK_ERROR_STORAGE_FAILURE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_TOOBIG:
      return CMK_ERROR_STATE_CORRUPTED;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
      return CMK_ERROR_INTERNAL;
    default:
      return CMK_ERROR_STORAGE_FAILURE;
    }
}

static const char *
advice (CmkError code)
{
  switch (code)
    {
    case CMK_ERROR_STORAGE_FULL:
      return "free space there, then try again";
    case CMK_ERROR_STATE_CORRUPTED:
      return "restore the directory from a backup";
    case CMK_ERROR_STORAGE_FAILURE:
      return "check the disk, and that no other program has the file open";
    default:
      return "this is a bug in cmkd, please report it";
    }
}

static void
fail_result (CmkStore *store, int result, GError **error)
{
  int system_code = errno;
  if (result == SQLITE_FULL || result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC ||
      result == SQLITE_IOERR_WRITE || result == SQLITE_IOERR_TRUNCATE)
    store->log_is_suspect = TRUE;
  CmkError code = code_from_result (result, system_code);
  g_set_error (error, CMK_ERROR, code, "the state in %s: %s (%d): %s", store->directory, sqlite3_errstr (result),
               result,
               system_code == EROFS ? "its file system is mounted read-only: mount it for writing, then try again"
                                    : advice (code));
}

gboolean
cmk_store_check (CmkStore *store, int result, GError **error)
{
  if (result != SQLITE_OK)
    fail_result (store, result, error);
  return result == SQLITE_OK;
}

gboolean
cmk_store_execute (CmkStore *store, const char *sql, GError **error)
{
  errno = 0;
  return cmk_store_check (store, sqlite3_exec (store->database, sql, NULL, NULL, NULL), error);
}

void
cmk_statement_release (sqlite3_stmt *statement)
{
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
}

static void
finalize_statement (gpointer statement)
{
  sqlite3_finalize (statement);
}

sqlite3_stmt *
cmk_store_prepare (CmkStore *store, const char *sql, GError **error)
{
  if (store->database == NULL && !cmk_log_recover (store, error))
    return NULL;
  sqlite3_stmt *statement = g_hash_table_lookup (store->statements, sql);
  if (statement == NULL)
    {
      if (!cmk_store_check (
              store, sqlite3_prepare_v3 (store->database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), error))
        return NULL;
      g_hash_table_insert (store->statements, (gpointer) sql, statement);
    }
  return statement;
}

sqlite3_stmt *
cmk_store_prepare_change (CmkStore *store, const char *sql, GError **error)
{
  return cmk_store_check_transaction (store, error) ? cmk_store_prepare (store, sql, error) : NULL;
}

/* What of a failed statement was done is undone, but has been counted: the transaction is lost. */
static void
fail_step (CmkStore *store, int result, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  fail_result (store, result, &local_error);
  if (store->transaction != NULL && store->transaction->error == NULL)
    store->transaction->error = g_error_copy (local_error);
  g_propagate_error (error, g_steal_pointer (&local_error));
}

int
cmk_store_step (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  errno = 0;
  int result = sqlite3_step (statement);
  if (result != SQLITE_ROW && result != SQLITE_DONE)
    fail_step (store, result, error);
  return result;
}

gboolean
cmk_store_run (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  return cmk_store_step (store, statement, error) == SQLITE_DONE;
}

gboolean
cmk_store_connect (CmkStore *store, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (store->directory, name, NULL);
  /* Opened on the main thread, used on the worker, hence the full mutex. */
  int result = sqlite3_open_v2 (path, &store->database,
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
  if (!cmk_store_check (store, result, error))
    return FALSE;
  sqlite3_limit (store->database, SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES);
  cmk_row_set_watch (store);
  return cmk_store_check (store, sqlite3_db_config (store->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL), error) &&
         cmk_store_check (store, sqlite3_db_config (store->database, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL), error) &&
         cmk_store_check (store, sqlite3_db_config (store->database, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL), error) &&
         /* The locking mode first: some of the others read the file, and the first reading decides how it is locked. */
         cmk_store_execute (store,
                            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                            "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL;"
                            "PRAGMA temp_store = MEMORY;",
                            error);
}

gboolean
cmk_store_disconnect (CmkStore *store, GError **error)
{
  g_hash_table_remove_all (store->statements);
  int result = sqlite3_close (store->database);
  store->database = NULL;
  return cmk_store_check (store, result, error);
}

/* Under another name until it is whole, so that a file called state.db always has its header and its tables. */
static gboolean
create_database (CmkStore *store, GError **error)
{
  unlinkat (store->directory_fd, NEW_FILE "-journal", 0);
  unlinkat (store->directory_fd, NEW_FILE, 0);
  int fd = openat (store->directory_fd, NEW_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      g_set_error (error, CMK_ERROR, errno == ENOSPC ? CMK_ERROR_STORAGE_FULL : CMK_ERROR_STORAGE_FAILURE,
                   "cannot make a database in %s: %s", store->directory, g_strerror (errno));
      return FALSE;
    }
  close (fd);
  if (!cmk_store_connect (store, NEW_FILE, error) || !cmk_store_write_schema (store, 0, error) ||
      !cmk_store_disconnect (store, error))
    return FALSE;
  if (renameat (store->directory_fd, NEW_FILE, store->directory_fd, CMK_DATABASE_FILE) == 0 &&
      fsync (store->directory_fd) == 0)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE, "cannot put the new database into place in %s: %s",
               store->directory, g_strerror (errno));
  return FALSE;
}

void
cmk_store_note_erasure (CmkStore *store)
{
  store->log_holds_erased = TRUE;
}

/* Write back what a crash has left in the log. No MAC can be checked yet, so should it be an older one that was put
 * there, then older pages get into the database, and the anchor does not fit them or the TPM. Whoever can put it there
 * can write the database as well. */
static gboolean
settle_log (CmkStore *store, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (cmk_log_empty (store, &local_error))
    return TRUE;
  if (local_error->code != CMK_ERROR_STORAGE_FULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  cmk_reserve_release (store);
  return cmk_log_empty (store, error);
}

CmkStore *
cmk_store_open (const char *directory, GError **error)
{
  g_autoptr (CmkStore) store = g_new0 (CmkStore, 1);
  /* Without the trailing slash that would make O_NOFOLLOW follow. */
  store->directory = g_canonicalize_filename (directory, NULL);
  store->directory_fd = -1;
  store->lock_fd = -1;
  store->reserve_fd = -1;
  store->statements = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, finalize_statement);
  store->owners_of_intact_aliases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);

  gboolean exists = FALSE;
  if (!cmk_store_claim_directory (store, error) || !cmk_store_inspect_file (store, &exists, error))
    return NULL;
  if (!exists && !create_database (store, error))
    return NULL;
  if (!cmk_store_connect (store, CMK_DATABASE_FILE, error) || !cmk_log_keep_at_close (store, TRUE, error) ||
      !cmk_log_start (store, error) || !cmk_store_bring_up_to_date (store, error) ||
      !cmk_reserve_claim (store, error) || !settle_log (store, error) || !cmk_log_keep_at_close (store, FALSE, error))
    return NULL;
  cmk_reserve_keep (store);
  return g_steal_pointer (&store);
}

void
cmk_store_close (CmkStore *store)
{
  if (store == NULL)
    return;
  g_hash_table_unref (store->statements);
  sqlite3_close (store->database);
  g_hash_table_unref (store->owners_of_intact_aliases);
  g_free (store->anchor);
  if (store->reserve_fd >= 0)
    close (store->reserve_fd);
  if (store->lock_fd >= 0)
    close (store->lock_fd);
  if (store->directory_fd >= 0)
    close (store->directory_fd);
  g_free (store->directory);
  g_free (store);
}

void
cmk_store_set_mac (CmkStore *store, CmkRowMac mac, gpointer user_data)
{
  g_return_if_fail (store->transaction == NULL);
  store->mac = mac;
  store->mac_data = user_data;
  store->reads_unverified = FALSE;
  store->rows = (CmkRowSum) { .is_known = FALSE };
  g_clear_pointer (&store->anchor, g_free);
  g_hash_table_remove_all (store->owners_of_intact_aliases);
}

void
cmk_store_read_unverified (CmkStore *store)
{
  cmk_store_set_mac (store, NULL, NULL);
  store->reads_unverified = TRUE;
}

GBytes *
cmk_store_get_meta (CmkStore *store, const char *name, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "SELECT value FROM meta WHERE name = ?1", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return NULL;
  if (sqlite3_column_type (statement, 0) != SQLITE_BLOB)
    {
      fail_result (store, SQLITE_CORRUPT, error);
      return NULL;
    }
  const void *value = sqlite3_column_blob (statement, 0);
  return g_bytes_new (value, (gsize) sqlite3_column_bytes (statement, 0));
}

gboolean
cmk_store_put_meta (CmkStore *store, const char *name, GBytes *value, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (
      store, "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      error);
  gsize size = 0;
  const void *data = g_bytes_get_data (value, &size);
  return statement != NULL &&
         cmk_store_check (store, sqlite3_bind_text (statement, 1, name, -1, SQLITE_STATIC), error) &&
         cmk_store_check (store, sqlite3_bind_blob64 (statement, 2, size > 0 ? data : "", size, SQLITE_STATIC),
                          error) &&
         cmk_store_run (store, statement, error);
}
