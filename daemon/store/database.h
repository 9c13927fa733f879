/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: the connection, its kept statements and the one door from SQLite's results to GError. */
#pragma once

#include <sqlite3.h>

#include "store/row-set.h"
#include "store/store.h"

#define CMK_DATABASE_FILE   "state.db"
#define CMK_DATABASE_FORMAT 5
/* "CMKD": tells file(1), and us, whose database this is. */
#define CMK_DATABASE_APPLICATION_ID 0x434d4b44

struct _CmkStore
{
  char *directory;
  int directory_fd;
  int lock_fd;            /* flock()ed for life: the directory is ours alone */
  sqlite3 *database;      /* NULL after a failure, until it can be opened again */
  GHashTable *statements; /* SQL text, static, to sqlite3_stmt */
  int reserve_fd;
  gboolean reserve_is_held;
  gboolean removal_lacked_room; /* the last one, though there seemed to be enough */
  int n_log_frames;             /* of the write-ahead log, that have been acknowledged */
  gboolean log_is_suspect;      /* it may hold a change that was refused, or lack one that was not */
  gboolean log_holds_erased;    /* what a change has removed may still stand in it */
  CmkRowMac mac;
  gpointer mac_data;
  gboolean reads_unverified; /* there is no MAC: nothing is written */

  /* Of what is committed. */
  CmkRowSum rows;
  CmkStoreAnchor *anchor; /* NULL: none, or not loaded */

  GHashTable *owners_of_intact_aliases; /* gint64: of whose aliases every row has been read and is ours */

  CmkStoreTransaction *transaction; /* the one that is open, or NULL */
};

struct _CmkStoreTransaction
{
  CmkStore *store; /* NULL once it has been committed or rolled back */

  /* What the store's will be. */
  CmkRowSum rows;
  CmkStoreAnchor *anchor; /* NULL: as it is */

  gboolean is_removal;
  gboolean has_changes; /* of rows that carry a MAC */
  GArray *erasures;     /* gint64: slots of records that it takes out */
  GError *error;        /* what failed in it, so it must not be committed */
};

/* A statement that goes out of scope is reset and kept for the next time. */
void cmk_statement_release (sqlite3_stmt *statement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (sqlite3_stmt, cmk_statement_release)

/* directory.c: take the directory for this process alone, making it where it is missing. */
gboolean cmk_store_claim_directory (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* directory.c: open, or make, a file beside the database. -1 unless it is ours and closed to everybody else. */
int cmk_store_open_file (CmkStore *store, const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Open the file @name with all that is set for a connection; let go of it, and of the statements. */
gboolean cmk_store_connect (CmkStore *store, const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_disconnect (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* directory.c: is there a database, and is it one that this cmkd may open? Reads the file header and nothing else, so
 * a refused file is left as it was. */
gboolean cmk_store_inspect_file (CmkStore *store, gboolean *ret_exists, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* directory.c: is the version that a database says it has newer than ours? Then it is an error. */
gboolean cmk_store_check_format (CmkStore *store, guint32 format, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* schema.c: add, in one transaction, what versions after @format have brought (0: everything). */
gboolean cmk_store_write_schema (CmkStore *store, guint32 format, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* schema.c: is what the open database holds exactly what its version had, to the letter? Then make it of our version.
 * Else nothing is changed. */
gboolean cmk_store_bring_up_to_date (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A change removes something: after its commit the log is written back and emptied, so that what was removed is
 * nowhere in the directory. If that fails it is tried again with every later commit, and at the next start. */
void cmk_store_note_erasure (CmkStore *store);

/* Once, for SQL that answers no rows. */
gboolean cmk_store_execute (CmkStore *store, const char *sql, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @sql must be static: it names the statement from now on. Owned by the store. */
sqlite3_stmt *cmk_store_prepare (CmkStore *store, const char *sql, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for what changes rows that carry a MAC: never outside of a transaction. */
sqlite3_stmt *cmk_store_prepare_change (CmkStore *store, const char *sql, GError **error);

/* Is the open transaction whole so far? */
gboolean cmk_store_check_transaction (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SQLITE_ROW, SQLITE_DONE, or anything else with @error set. */
int cmk_store_step (CmkStore *store, sqlite3_stmt *statement, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For statements that answer no rows. */
gboolean cmk_store_run (CmkStore *store, sqlite3_stmt *statement, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE if @result is SQLITE_OK, else the error of the contract. */
gboolean cmk_store_check (CmkStore *store, int result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
