/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks are allocated to a file of no length, so it weighs nothing in a backup. Where the file system cannot do that
 * there is no reserve, and a removal may find the disk full. */
#include "store/reserve.h"

#include "base/error.h"
#include "store/database.h"
#include "store/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESERVE_FILE "state.reserve"

/* What the log of a removal takes, and what there is for a big one and for what waits in the log, which must have room
 * in the database. On a small disk that is less, down to as much as one needs at least. */
#define REMOVAL_BYTES (1024 * 1024)
#define RESERVE_BYTES (4 * REMOVAL_BYTES)
#define LEAST_BYTES   (REMOVAL_BYTES / 2)

/* FALSE only if there is no space: of any other trouble the commit will tell. */
static gboolean
allocate (int fd, off_t offset, off_t size)
{
  return TEMP_FAILURE_RETRY (fallocate (fd, FALLOC_FL_KEEP_SIZE, offset, size)) == 0 ||
         (errno != ENOSPC && errno != EDQUOT);
}

gboolean
cmk_reserve_claim (CmkStore *store, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  store->reserve_fd = cmk_store_open_file (store, RESERVE_FILE, &local_error);
  if (store->reserve_fd < 0 && local_error->code != CMK_ERROR_STORAGE_FULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  cmk_reserve_keep (store);
  return TRUE;
}

void
cmk_reserve_keep (CmkStore *store)
{
  if (store->reserve_fd < 0)
    store->reserve_fd = cmk_store_open_file (store, RESERVE_FILE, NULL);
  for (off_t size = RESERVE_BYTES; store->reserve_fd >= 0 && !store->reserve_is_held && size >= LEAST_BYTES; size /= 2)
    store->reserve_is_held = allocate (store->reserve_fd, 0, size);
}

void
cmk_reserve_release (CmkStore *store)
{
  store->reserve_is_held = FALSE;
  if (store->reserve_fd >= 0 && TEMP_FAILURE_RETRY (ftruncate (store->reserve_fd, 0)) != 0)
    g_warning ("the space that is kept for deletions in %s cannot be had: %s", store->directory, g_strerror (errno));
}

/* To the log itself, so that nobody else gets it in between. */
static gboolean
extend_log (CmkStore *store)
{
  int fd = openat (store->directory_fd, CMK_DATABASE_FILE "-wal", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return TRUE;
  struct stat status;
  gboolean extended = fstat (fd, &status) != 0 || allocate (fd, status.st_size, REMOVAL_BYTES);
  close (fd);
  return extended;
}

void
cmk_reserve_make_room (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  if (!store->removal_lacked_room && extend_log (store))
    return;
  store->removal_lacked_room = FALSE;
  cmk_reserve_release (store);
  if (!cmk_log_empty (store, &error))
    g_warning ("there is hardly room for a deletion: %s", error->message);
  extend_log (store);
}
