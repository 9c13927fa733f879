/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into cmkd by the tests of disk faults: lets calls on the files of the state directory fail, come short or
 * wait. $CMKD_DISK_FAULTS is a file with the Faults below, which the test writes while the daemon runs;
 * $CMKD_DISK_FAULTS_DIRECTORY is the state directory. */
#undef _FILE_OFFSET_BITS /* pwrite() and pwrite64() must stay two */
#undef _FORTIFY_SOURCE   /* nor may pread() be an inline function */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum
{
  WRITE = 1, /* and what else may take room: ftruncate, making a file */
  SYNC = 2,
  READ = 4,
  REMOVE = 8,
};

/* In host order. All 0 = no faults. */
typedef struct
{
  _Atomic int64_t kinds;   /* which calls: a sum of the above */
  _Atomic int64_t skip;    /* so many go well first */
  _Atomic int64_t fail;    /* then so many fail, */
  _Atomic int64_t code;    /* with this errno; 0 = they do half of what they should */
  _Atomic int64_t failed;  /* how many did */
  _Atomic int64_t hold;    /* as long as it is not 0, calls of these kinds wait */
  _Atomic int64_t waiting; /* how many wait now */
} Faults;

static Faults no_faults;
static Faults *faults = &no_faults;
static char directory[PATH_MAX];

__attribute__ ((constructor)) static void
map_faults (void)
{
  const char *path = getenv ("CMKD_DISK_FAULTS");
  const char *below = getenv ("CMKD_DISK_FAULTS_DIRECTORY");
  int fd = path != NULL && below != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  void *map = mmap (NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  snprintf (directory, sizeof directory, "%s", below);
  if (map != MAP_FAILED)
    faults = map;
}

static int
is_inside (int fd, const char *path)
{
  char link[32], target[PATH_MAX];
  if (path == NULL || path[0] != '/')
    {
      snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
      ssize_t length = readlink (link, target, sizeof target - 1);
      target[length < 0 ? 0 : length] = '\0';
      path = target;
    }
  size_t length = strlen (directory);
  return strncmp (path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void
wait_for_release (void)
{
  const struct timespec moment = { .tv_nsec = 1000000 };
  if (faults->hold == 0)
    return;
  faults->waiting++;
  while (faults->hold != 0)
    nanosleep (&moment, NULL);
  faults->waiting--;
}

/* Does this call fail? If so errno is set, to 0 if it is to do half. */
static int
fails (int64_t kind, int fd, const char *path)
{
  if ((faults->kinds & kind) == 0 || !is_inside (fd, path))
    return 0;
  wait_for_release ();
  if (faults->skip > 0)
    {
      faults->skip--;
      return 0;
    }
  if (faults->fail <= 0)
    return 0;
  faults->fail--;
  faults->failed++;
  errno = (int) faults->code;
  return 1;
}

#define TRANSFER(name, kind, number, type, offset_type)                                                                \
  ssize_t name (int fd, type data, size_t size, offset_type offset)                                                    \
  {                                                                                                                    \
    if (!fails (kind, fd, NULL))                                                                                       \
      return syscall (number, fd, data, size, offset);                                                                 \
    return errno != 0 ? -1 : syscall (number, fd, data, size > 1 ? size / 2 : size, offset);                           \
  }

TRANSFER (pwrite, WRITE, SYS_pwrite64, const void *, off_t)
TRANSFER (pwrite64, WRITE, SYS_pwrite64, const void *, off64_t)
TRANSFER (pread, READ, SYS_pread64, void *, off_t)
TRANSFER (pread64, READ, SYS_pread64, void *, off64_t)

ssize_t
write (int fd, const void *data, size_t size)
{
  if (!fails (WRITE, fd, NULL))
    return syscall (SYS_write, fd, data, size);
  return errno != 0 ? -1 : syscall (SYS_write, fd, data, size > 1 ? size / 2 : size);
}

/* These have no half. */
#define WHOLE(declaration, kind, fd, path, call)                                                                       \
  int declaration { return fails (kind, fd, path) && errno != 0 ? -1 : (int) call; }

WHOLE (fsync (int fd), SYNC, fd, NULL, syscall (SYS_fsync, fd))
WHOLE (fdatasync (int fd), SYNC, fd, NULL, syscall (SYS_fdatasync, fd))
WHOLE (ftruncate (int fd, off_t size), WRITE, fd, NULL, syscall (SYS_ftruncate, fd, size))
WHOLE (ftruncate64 (int fd, off64_t size), WRITE, fd, NULL, syscall (SYS_ftruncate, fd, size))
WHOLE (unlink (const char *path), REMOVE, AT_FDCWD, path, syscall (SYS_unlinkat, AT_FDCWD, path, 0))
WHOLE (unlinkat (int fd, const char *path, int flags), REMOVE, fd, path, syscall (SYS_unlinkat, fd, path, flags))

static int
open_file (int fd, const char *path, int flags, va_list arguments)
{
  mode_t mode = (flags & O_CREAT) != 0 ? va_arg (arguments, mode_t) : 0;
  if ((flags & O_CREAT) != 0 && fails (WRITE, fd, path) && errno != 0)
    return -1;
  return (int) syscall (SYS_openat, fd, path, flags, mode);
}

#define OPEN(declaration, fd)                                                                                          \
  int declaration                                                                                                      \
  {                                                                                                                    \
    va_list arguments;                                                                                                 \
    va_start (arguments, flags);                                                                                       \
    int result = open_file (fd, path, flags, arguments);                                                               \
    va_end (arguments);                                                                                                \
    return result;                                                                                                     \
  }

OPEN (open (const char *path, int flags, ...), AT_FDCWD)
OPEN (open64 (const char *path, int flags, ...), AT_FDCWD)
OPEN (openat (int fd, const char *path, int flags, ...), fd)
OPEN (openat64 (int fd, const char *path, int flags, ...), fd)
