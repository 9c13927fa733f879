/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into cmkd by the crash tests: counts the system calls that change the state directory, and kills or stops
 * the process at the entry of one of them. $CMKD_POINTS is a file with the Points below, which the test writes while
 * the daemon runs; $CMKD_POINTS_DIRECTORY is the state directory.
 *
 * To a process that dies by SIGKILL the entry of a call is the end of all that went before it: what was written stays
 * written, synced or not. What a disk that loses its power keeps is another matter: then the test stops the process
 * there and looks at the disk. */
#undef _FILE_OFFSET_BITS /* pwrite() and pwrite64() must stay two */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* In host order. All 0 = count nothing. */
typedef struct
{
  _Atomic int64_t counted; /* since the test set it to 0 */
  int64_t kill_at;         /* this one; 0 = none */
  int64_t stop_at;         /* this one; -1 = every one */
  int64_t kill_at_answer;  /* when the next message to the bus is about to leave */
  char last[32];           /* what was counted last */
} Points;

static Points no_points;
static Points *points = &no_points;
static char directory[PATH_MAX];

__attribute__ ((constructor)) static void
map_points (void)
{
  const char *path = getenv ("CMKD_POINTS");
  const char *below = getenv ("CMKD_POINTS_DIRECTORY");
  int fd = path != NULL && below != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  void *map = mmap (NULL, sizeof *points, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  snprintf (directory, sizeof directory, "%s", below);
  if (map != MAP_FAILED)
    points = map;
}

static int
is_inside (const char *path)
{
  size_t length = strlen (directory);
  return strncmp (path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int
is_file_inside (int fd)
{
  char link[32], path[PATH_MAX];
  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink (link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = '\0';
  return is_inside (path);
}

static void
die (void)
{
  syscall (SYS_kill, getpid (), SIGKILL);
  pause ();
}

static void
pass (const char *call)
{
  snprintf (points->last, sizeof points->last, "%s", call);
  int64_t number = atomic_fetch_add (&points->counted, 1) + 1;
  if (number == points->kill_at)
    die ();
  if (number == points->stop_at || points->stop_at == -1)
    syscall (SYS_tgkill, getpid (), gettid (), SIGSTOP); /* the others stop soon after, this thread stops here */
}

static int
is_armed (void)
{
  return points->kill_at != 0 || points->stop_at != 0;
}

static void
pass_file (const char *call, int fd)
{
  if (is_armed () && is_file_inside (fd))
    pass (call);
}

static void
pass_path (const char *call, int fd, const char *path)
{
  if (is_armed () && (path[0] == '/' ? is_inside (path) : fd >= 0 && is_file_inside (fd)))
    pass (call);
}

ssize_t
write (int fd, const void *data, size_t size)
{
  pass_file ("write", fd);
  return syscall (SYS_write, fd, data, size);
}

ssize_t
pwrite (int fd, const void *data, size_t size, off_t offset)
{
  pass_file ("pwrite", fd);
  return syscall (SYS_pwrite64, fd, data, size, offset);
}

ssize_t
pwrite64 (int fd, const void *data, size_t size, off64_t offset)
{
  pass_file ("pwrite", fd);
  return syscall (SYS_pwrite64, fd, data, size, offset);
}

ssize_t
writev (int fd, const struct iovec *parts, int n_parts)
{
  pass_file ("writev", fd);
  return syscall (SYS_writev, fd, parts, n_parts);
}

ssize_t
pwritev (int fd, const struct iovec *parts, int n_parts, off_t offset)
{
  pass_file ("pwritev", fd);
  return syscall (SYS_pwritev, fd, parts, n_parts, offset, 0);
}

int
fsync (int fd)
{
  pass_file ("fsync", fd);
  return (int) syscall (SYS_fsync, fd);
}

int
fdatasync (int fd)
{
  pass_file ("fdatasync", fd);
  return (int) syscall (SYS_fdatasync, fd);
}

int
ftruncate (int fd, off_t size)
{
  pass_file ("ftruncate", fd);
  return (int) syscall (SYS_ftruncate, fd, size);
}

int
ftruncate64 (int fd, off64_t size)
{
  pass_file ("ftruncate", fd);
  return (int) syscall (SYS_ftruncate, fd, size);
}

int
fallocate (int fd, int mode, off_t offset, off_t size)
{
  pass_file ("fallocate", fd);
  return (int) syscall (SYS_fallocate, fd, mode, offset, size);
}

int
rename (const char *from, const char *to)
{
  pass_path ("rename", -1, to);
  return (int) syscall (SYS_rename, from, to);
}

int
renameat (int from_fd, const char *from, int to_fd, const char *to)
{
  pass_path ("renameat", to_fd, to);
  return (int) syscall (SYS_renameat, from_fd, from, to_fd, to);
}

int
unlink (const char *path)
{
  pass_path ("unlink", -1, path);
  return (int) syscall (SYS_unlink, path);
}

int
unlinkat (int fd, const char *path, int flags)
{
  pass_path ("unlinkat", fd, path);
  return (int) syscall (SYS_unlinkat, fd, path, flags);
}

static int
open_file (int fd, const char *path, int flags, va_list arguments)
{
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0)
    {
      mode = va_arg (arguments, mode_t);
      pass_path ("open", fd, path);
    }
  return (int) syscall (SYS_openat, fd, path, flags, mode);
}

#define OPEN(fd, path, flags)                                                                                          \
  va_list arguments;                                                                                                   \
  va_start (arguments, flags);                                                                                         \
  int result = open_file (fd, path, flags, arguments);                                                                 \
  va_end (arguments);                                                                                                  \
  return result;

int
open (const char *path, int flags, ...)
{
  OPEN (AT_FDCWD, path, flags)
}

int
open64 (const char *path, int flags, ...)
{
  OPEN (AT_FDCWD, path, flags)
}

int
openat (int fd, const char *path, int flags, ...)
{
  OPEN (fd, path, flags)
}

int
openat64 (int fd, const char *path, int flags, ...) { OPEN (fd, path, flags) }

ssize_t sendmsg (int fd, const struct msghdr *message, int flags)
{
  if (points->kill_at_answer != 0)
    die ();
  return syscall (SYS_sendmsg, fd, message, flags);
}
