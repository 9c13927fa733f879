/* SPDX-License-Identifier: Apache-2.0
 *
 * The state directory and the file in it are looked at before SQLite is: whoever can put a link or a file of his own
 * there would otherwise choose what the daemon reads and overwrites. */
#include "store/database.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"

/* Of https://www.sqlite.org/fileformat.html, section 1.3. */
#define HEADER_BYTES          100
#define HEADER_MAGIC          "SQLite format 3"
#define HEADER_USER_VERSION   60
#define HEADER_APPLICATION_ID 68

static gboolean
fail_system (int code, const char *path, const char *what, GError **error)
{
  g_set_error (error, CMK_ERROR, code == ENOSPC || code == EDQUOT ? CMK_ERROR_STORAGE_FULL : CMK_ERROR_STORAGE_FAILURE,
               "cannot %s %s: %s", what, path, g_strerror (code));
  return FALSE;
}

/* Is what @fd refers to of @type, ours, and closed to everybody else? */
static gboolean
check_owner (int fd, const char *path, mode_t type, mode_t mode, GError **error)
{
  struct stat status;
  if (fstat (fd, &status) != 0)
    return fail_system (errno, path, "examine", error);
  if ((status.st_mode & S_IFMT) != type || (type == S_IFREG && status.st_nlink != 1))
    g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE, "%s is not a %s: move it out of the way", path,
                 type == S_IFDIR ? "directory" : "regular file with a single name");
  else if (status.st_uid != geteuid ())
    g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE,
                 "%s belongs to uid %u, but cmkd runs as uid %u: change its owner, or start cmkd as that user", path,
                 (guint) status.st_uid, (guint) geteuid ());
  else if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE,
                 "%s is open to other users (mode %04o): check what is in it, then run chmod %04o on it", path,
                 (guint) status.st_mode & 07777, (guint) mode);
  else
    return TRUE;
  return FALSE;
}

int
cmk_store_open_file (CmkStore *store, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (store->directory, name, NULL);
  int fd = openat (store->directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      fail_system (errno, path, "open", error);
      return -1;
    }
  if (check_owner (fd, path, S_IFREG, 0600, error))
    return fd;
  close (fd);
  return -1;
}

typedef struct
{
  int fd; /* a descriptor of the thread's own, for the wait may outlive the interest in it */
  GAsyncQueue *taken;
} LockWait;

static gpointer
take_lock (gpointer data)
{
  g_autofree LockWait *wait = data;
  (void) flock (wait->fd, LOCK_EX); /* whatever came of it, cmk_store_open() will see */
  close (wait->fd);
  g_async_queue_push (wait->taken, GINT_TO_POINTER (TRUE));
  g_async_queue_unref (wait->taken);
  return NULL;
}

/* On the lock itself, which is free as soon as its holder has ended, however that came: flock() has no timeout, so the
 * thread is left behind if nobody lets go. */
static void
wait_for_lock (int fd, guint seconds)
{
  g_autoptr (GAsyncQueue) taken = g_async_queue_new ();
  LockWait *wait = g_new (LockWait, 1);
  *wait = (LockWait) { .fd = fd, .taken = g_async_queue_ref (taken) };
  g_thread_unref (g_thread_new ("lock", take_lock, wait));
  g_async_queue_timeout_pop (taken, seconds * G_USEC_PER_SEC);
}

void
cmk_store_await_release (const char *directory, guint seconds)
{
  g_autofree char *path = g_build_filename (directory, LOCK_FILE, NULL);
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return;
  if (flock (fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
    {
      close (fd);
      return;
    }
  g_message ("another cmkd still uses %s: waiting for it to end", directory);
  wait_for_lock (fd, seconds);
}

gboolean
cmk_store_claim_directory (CmkStore *store, GError **error)
{
  if (g_mkdir_with_parents (store->directory, 0700) != 0)
    return fail_system (errno, store->directory, "make the state directory", error);
  store->directory_fd = open (store->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (store->directory_fd < 0 && (errno == ENOTDIR || errno == ELOOP))
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE,
                   "the state directory %s is a symbolic link: name the directory itself", store->directory);
      return FALSE;
    }
  if (store->directory_fd < 0)
    return fail_system (errno, store->directory, "open the state directory", error);
  if (!check_owner (store->directory_fd, store->directory, S_IFDIR, 0700, error))
    return FALSE;

  store->lock_fd = cmk_store_open_file (store, LOCK_FILE, error);
  if (store->lock_fd < 0)
    return FALSE;
  if (flock (store->lock_fd, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (errno != EWOULDBLOCK)
    return fail_system (errno, store->directory, "lock", error);
  g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE,
               "another cmkd uses %s: stop it, or name another directory with --state-dir", store->directory);
  return FALSE;
}

static guint32
read_be32 (const guint8 *bytes)
{
  guint32 number;
  memcpy (&number, bytes, sizeof number);
  return GUINT32_FROM_BE (number);
}

gboolean
cmk_store_check_format (CmkStore *store, guint32 format, GError **error)
{
  if (format <= CMK_DATABASE_FORMAT)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
               "%s/%s is of format %u, and this cmkd knows no format after %d: install the newer cmkd again",
               store->directory, CMK_DATABASE_FILE, format, CMK_DATABASE_FORMAT);
  return FALSE;
}

static gboolean
check_header (CmkStore *store, const guint8 *header, gssize size, const char *path, GError **error)
{
  guint32 format = size == HEADER_BYTES ? read_be32 (header + HEADER_USER_VERSION) : 0;
  if (size == HEADER_BYTES && memcmp (header, HEADER_MAGIC, sizeof HEADER_MAGIC) == 0 &&
      read_be32 (header + HEADER_APPLICATION_ID) == CMK_DATABASE_APPLICATION_ID && format != 0)
    return cmk_store_check_format (store, format, error);
  g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
               "%s is not a state database of cmkd: restore it from a backup, or move it away to start with none",
               path);
  return FALSE;
}

/* A log without its database holds changes that were acknowledged, and a fresh database would swallow it. */
static gboolean
check_no_orphaned_log (CmkStore *store, GError **error)
{
  if (faccessat (store->directory_fd, CMK_DATABASE_FILE "-wal", F_OK, AT_SYMLINK_NOFOLLOW) != 0)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
               "%s has %s-wal but no %s: restore both from a backup, or move it away to start with none",
               store->directory, CMK_DATABASE_FILE, CMK_DATABASE_FILE);
  return FALSE;
}

/* SQLite takes over what it finds in a log. */
static gboolean
check_log (CmkStore *store, GError **error)
{
  g_autofree char *path = g_build_filename (store->directory, CMK_DATABASE_FILE "-wal", NULL);
  int fd = openat (store->directory_fd, CMK_DATABASE_FILE "-wal", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT || fail_system (errno, path, "open", error);
  gboolean fine = check_owner (fd, path, S_IFREG, 0600, error);
  close (fd);
  return fine;
}

gboolean
cmk_store_inspect_file (CmkStore *store, gboolean *ret_exists, GError **error)
{
  g_autofree char *path = g_build_filename (store->directory, CMK_DATABASE_FILE, NULL);
  int fd = openat (store->directory_fd, CMK_DATABASE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT)
    {
      *ret_exists = FALSE;
      return check_no_orphaned_log (store, error);
    }
  if (fd < 0)
    return fail_system (errno, path, "open", error);
  guint8 header[HEADER_BYTES];
  gboolean fine = check_owner (fd, path, S_IFREG, 0600, error);
  if (fine)
    {
      gssize size = pread (fd, header, sizeof header, 0);
      fine = size < 0 ? fail_system (errno, path, "read", error) : check_header (store, header, size, path, error);
    }
  /* Before SQLite opens the file: closing any descriptor of it drops this process's POSIX locks on it. */
  close (fd);
  *ret_exists = TRUE;
  return fine && check_log (store, error);
}

/* Rather by its names than by what is open, which belongs to another thread. */
guint64
cmk_store_size (const char *directory)
{
  static const char *const names[] = { CMK_DATABASE_FILE, CMK_DATABASE_FILE "-wal" };
  guint64 size = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (directory, names[i], NULL);
      struct stat status;
      if (stat (path, &status) == 0)
        size += (guint64) status.st_size;
    }
  return size;
}
