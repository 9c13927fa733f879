/* SPDX-License-Identifier: Apache-2.0
 *
 * The log is only ever emptied as a whole, so it holds the frames of what has been committed since, from its start.
 *
 * A commit whose frames were written but could not be flushed was refused to the caller; it must not come back from the
 * log after a crash. And the kernel takes pages whose write-back failed for clean, so that the next flush would succeed
 * without them: nothing must be built on those. Hence the log is cut to the frames that were acknowledged. */
#include "store/log.h"

#include "base/error.h"
#include "store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOG_FILE CMK_DATABASE_FILE "-wal"

/* https://www.sqlite.org/fileformat.html, section 4.1. */
#define HEADER_BYTES       32
#define HEADER_PAGE_SIZE   8
#define FRAME_HEADER_BYTES 24

/* When a log is written back though nothing presses: 1 MiB, which the reserve has room for. */
#define LONG_LOG_FRAMES 256

/* SQLite would write back by itself where there is no such hook. */
static int
note_commit (void *user_data, sqlite3 *database G_GNUC_UNUSED, const char *schema G_GNUC_UNUSED, int n_frames)
{
  ((CmkStore *) user_data)->n_log_frames = n_frames;
  return SQLITE_OK;
}

gboolean
cmk_log_start (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "PRAGMA journal_mode = WAL", error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  sqlite3_wal_hook (store->database, note_commit, store);
  if (g_strcmp0 ((const char *) sqlite3_column_text (statement, 0), "wal") == 0)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE,
               "the file system of %s does not carry a write-ahead log: use a local one", store->directory);
  return FALSE;
}

gboolean
cmk_log_keep_at_close (CmkStore *store, gboolean keep, GError **error)
{
  return cmk_store_check (store, sqlite3_db_config (store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL),
                          error);
}

gboolean
cmk_log_empty (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "PRAGMA wal_checkpoint (TRUNCATE)", error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  if (sqlite3_column_int (statement, 0) != 0)
    return cmk_store_check (store, SQLITE_BUSY, error);
  store->n_log_frames = 0;
  store->log_holds_erased = FALSE;
  return TRUE;
}

void
cmk_log_keep_short (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  if (store->log_is_suspect || (!store->log_holds_erased && store->n_log_frames < LONG_LOG_FRAMES))
    return;
  if (!cmk_log_empty (store, &error))
    g_warning ("what was changed stays in the write-ahead log for now, and what was deleted too: %s", error->message);
}

/* --- after a failure --- */

static gboolean
pread_all (int fd, guint8 *bytes, gsize size, off_t offset)
{
  return TEMP_FAILURE_RETRY (pread (fd, bytes, size, offset)) == (gssize) size;
}

/* Where the acknowledged frames end; -1 if that cannot be found out. */
static off_t
find_end (CmkStore *store, int fd)
{
  guint32 page_size;
  guint8 header[HEADER_BYTES];
  if (store->n_log_frames == 0)
    return 0;
  if (!pread_all (fd, header, sizeof header, 0))
    return -1;
  memcpy (&page_size, header + HEADER_PAGE_SIZE, sizeof page_size);
  return HEADER_BYTES + (off_t) store->n_log_frames * (FRAME_HEADER_BYTES + (off_t) GUINT32_FROM_BE (page_size));
}

static gboolean
cut_log (CmkStore *store, int fd)
{
  static const guint8 zeroes[FRAME_HEADER_BYTES];
  off_t end = find_end (store, fd), size = lseek (fd, 0, SEEK_END);
  return end >= 0 && size >= 0 &&
         (size <= end || TEMP_FAILURE_RETRY (ftruncate (fd, end)) == 0 ||
          TEMP_FAILURE_RETRY (pwrite (fd, zeroes, sizeof zeroes, end)) == (gssize) sizeof zeroes) &&
         TEMP_FAILURE_RETRY (fsync (fd)) == 0;
}

static gboolean
cut_log_file (CmkStore *store, GError **error)
{
  int fd = openat (store->directory_fd, LOG_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  gboolean is_cut = fd >= 0 ? cut_log (store, fd) : errno == ENOENT;
  int code = errno;
  if (fd >= 0)
    close (fd);
  if (!is_cut)
    g_set_error (error, CMK_ERROR,
                 code == ENOSPC || code == EDQUOT ? CMK_ERROR_STORAGE_FULL : CMK_ERROR_STORAGE_FAILURE,
                 "the disk under %s lost a write (%s), so nothing more is written: check it, then try again",
                 store->directory, g_strerror (code));
  return is_cut;
}

static gboolean
disconnect (CmkStore *store, GError **error)
{
  return (store->database == NULL || cmk_log_keep_at_close (store, TRUE, error)) && cmk_store_disconnect (store, error);
}

gboolean
cmk_log_recover (CmkStore *store, GError **error)
{
  /* Should this fail, the connection still reads what was acknowledged: its own index of the log knows of nothing
   * else. */
  if (!cut_log_file (store, error))
    return FALSE;
  /* What it thinks of the log and what the log is agree from here on. */
  store->log_is_suspect = FALSE;
  if (disconnect (store, error) && cmk_store_connect (store, CMK_DATABASE_FILE, error) && cmk_log_start (store, error))
    return TRUE;
  g_autoptr (GError) ignored = NULL;
  if (!disconnect (store, &ignored))
    g_warning ("%s", ignored->message);
  return FALSE;
}
