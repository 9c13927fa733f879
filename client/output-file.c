/* SPDX-License-Identifier: Apache-2.0 */
#include "output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "exit-code.h"
#include "interruption.h"
#include "output.h"

#define TEMPORARY_NAME ".cmkctl-XXXXXX"
#define MOST_NAMES     100
#define OPEN_FILES     "/proc/self/fd/"

#define OPEN_FILE_CHARS (sizeof OPEN_FILES + 3 * sizeof (int))

struct CmkOutputFile
{
  const char *path;
  int fd;
  bool is_stream;
  bool may_replace;
};

/* Of the file that has a name before it is complete, which is where the file system has none without a name. mkostemp()
 * writes it here before it makes the file, so a signal finds it. Empty if there is none. */
static char temporary[PATH_MAX];

static void
remove_temporary (void)
{
  if (temporary[0] != '\0')
    unlink (temporary);
  temporary[0] = '\0';
}

/* How much of @path is the directory that it is in. */
static int
directory_chars (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL ? (int) (slash - path) + 1 : 0;
}

/* @name in the directory of @path. */
static bool
name_beside (const char *path, const char *name, char *ret_name)
{
  int length = snprintf (ret_name, PATH_MAX, "%.*s%s", directory_chars (path), path, name);

  if (length > 0 && length < PATH_MAX)
    return true;
  *ret_name = '\0';
  errno = ENAMETOOLONG;
  return false;
}

static bool
is_ours (const struct stat *status)
{
  if (S_ISFIFO (status->st_mode))
    return status->st_uid == geteuid ();
  if (S_ISCHR (status->st_mode))
    return status->st_uid == geteuid () || status->st_uid == 0;
  return S_ISDIR (status->st_mode); /* opening it says why not */
}

/* What somebody else has put there in place of a file would get all of it: only a pipe of our own, or a device of the
 * system's or our own, is opened. Looked at before it is opened, since that may wait for who reads. */
static int
open_stream (CmkOutputFile *file)
{
  char name[OPEN_FILE_CHARS];
  struct stat status;
  int found;

  file->is_stream = true;
  if (strcmp (file->path, "-") == 0)
    {
      file->fd = STDOUT_FILENO;
      return CMK_EXIT_DONE;
    }
  found = open (file->path, O_PATH | O_CLOEXEC);
  if (found < 0)
    return cmk_output_fail_to_write (file->path);
  if (fstat (found, &status) < 0 || !is_ours (&status))
    {
      close (found);
      return cmk_fail (CMK_EXIT_REFUSED,
                       "'%s' is no file, and no pipe of yours: choose another name, or - for standard "
                       "output",
                       file->path);
    }
  snprintf (name, sizeof name, OPEN_FILES "%d", found);
  file->fd = open (name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
  close (found);
  return file->fd >= 0 ? CMK_EXIT_DONE : cmk_output_fail_to_write (file->path);
}

/* Without a name until it is complete, so that nothing is left of it however we end. Not every file system can do
 * that. */
static int
open_temporary (CmkOutputFile *file)
{
  char directory[PATH_MAX];

  if (name_beside (file->path, ".", directory))
    file->fd = open (directory, O_WRONLY | O_TMPFILE | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file->fd >= 0)
    return CMK_EXIT_DONE;

  if (!name_beside (file->path, TEMPORARY_NAME, temporary))
    return cmk_output_fail_to_write (file->path);
  cmk_interruption_add (remove_temporary);
  file->fd = mkostemp (temporary, O_CLOEXEC); /* mode 0600 */
  if (file->fd >= 0)
    return CMK_EXIT_DONE;
  temporary[0] = '\0';
  return cmk_output_fail_to_write (file->path);
}

static int
fail_to_replace (const char *path)
{
  return cmk_fail (CMK_EXIT_REFUSED, "'%s' is there already: choose another name, or replace it with --force", path);
}

int
cmk_output_file_open (const char *path, bool may_replace, CmkOutputFile **ret_file)
{
  CmkOutputFile *file = cmk_allocate (sizeof *file);
  struct stat status;
  bool is_there = strcmp (path, "-") == 0 || stat (path, &status) == 0;

  *file = (CmkOutputFile) { .path = path, .fd = -1, .may_replace = may_replace };
  *ret_file = file;
  if (!is_there)
    return open_temporary (file);
  if (strcmp (path, "-") == 0 || !S_ISREG (status.st_mode))
    return open_stream (file);
  return may_replace ? open_temporary (file) : fail_to_replace (path);
}

int
cmk_output_file_write (CmkOutputFile *file, const void *data, size_t size)
{
  return cmk_output_write_all (file->fd, data, size) ? CMK_EXIT_DONE : cmk_output_fail_to_write (file->path);
}

/* Give the open file without a name the name @path; it replaces nothing. */
static bool
link_file (int fd, const char *path)
{
  char name[OPEN_FILE_CHARS];

  snprintf (name, sizeof name, OPEN_FILES "%d", fd);
  return linkat (AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

/* A link cannot replace: that is for the name of a moment. */
static bool
link_temporary (const CmkOutputFile *file)
{
  char name[sizeof ".cmkctl-" + 16];

  cmk_interruption_add (remove_temporary);
  for (int i = 0; i < MOST_NAMES; i++)
    {
      snprintf (name, sizeof name, ".cmkctl-%d-%d", (int) getpid (), i);
      if (!name_beside (file->path, name, temporary))
        return false;
      if (link_file (file->fd, temporary))
        return true;
      temporary[0] = '\0'; /* it is not ours */
      if (errno != EEXIST)
        return false;
    }
  return false;
}

/* Some file systems cannot refuse to replace: there what was no file when we began is taken for none still. */
static bool
give_name (const CmkOutputFile *file)
{
  if (temporary[0] == '\0' && !file->may_replace)
    return link_file (file->fd, file->path);
  if (temporary[0] == '\0' && !link_temporary (file))
    return false;
  if (!file->may_replace && renameat2 (AT_FDCWD, temporary, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
    return true;
  return (file->may_replace || errno == EINVAL) && rename (temporary, file->path) == 0;
}

/* The new name must survive a power failure as well. Not every file system can be asked for that. */
static void
sync_directory (const char *path)
{
  char directory[PATH_MAX];
  int fd = name_beside (path, ".", directory) ? open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

  if (fd < 0)
    return;
  (void) fsync (fd);
  close (fd);
}

int
cmk_output_file_commit (CmkOutputFile *file)
{
  if (file->is_stream)
    return CMK_EXIT_DONE;

  /* Some file systems report only here that there was no room. */
  if (fsync (file->fd) < 0)
    return cmk_output_fail_to_write (file->path);
  if (!give_name (file))
    return errno == EEXIST ? fail_to_replace (file->path) : cmk_output_fail_to_write (file->path);
  temporary[0] = '\0';
  sync_directory (file->path);
  return CMK_EXIT_DONE;
}

void
cmk_output_file_closep (CmkOutputFile **file)
{
  if (*file == NULL)
    return;
  if ((*file)->fd > STDERR_FILENO)
    close ((*file)->fd);
  remove_temporary ();
  free (*file);
}
