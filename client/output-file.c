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

struct CmkOutputFile
{
  const char *path;
  int fd;
  bool is_stream;
  bool may_replace;
};

/* Empty if there is none. mkostemp() writes the name here before it makes the file, so a signal finds every file. */
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

static int
open_stream (CmkOutputFile *file)
{
  file->is_stream = true;
  file->fd = strcmp (file->path, "-") == 0 ? STDOUT_FILENO : open (file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
  return file->fd >= 0 ? CMK_EXIT_DONE : cmk_output_fail_to_write (file->path);
}

static int
open_temporary (CmkOutputFile *file)
{
  int length =
      snprintf (temporary, sizeof temporary, "%.*s%s", directory_chars (file->path), file->path, TEMPORARY_NAME);

  if ((size_t) length >= sizeof temporary)
    {
      temporary[0] = '\0';
      errno = ENAMETOOLONG;
      return cmk_output_fail_to_write (file->path);
    }
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

/* Some file systems cannot refuse to replace: there what was no file when we began is taken for none still. */
static bool
give_name (const CmkOutputFile *file)
{
  if (!file->may_replace && renameat2 (AT_FDCWD, temporary, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
    return true;
  return (file->may_replace || errno == EINVAL) && rename (temporary, file->path) == 0;
}

/* The new name must survive a power failure as well. Not every file system can be asked for that. */
static void
sync_directory (const char *path)
{
  int chars = directory_chars (path);
  char directory[PATH_MAX];
  int fd;

  snprintf (directory, sizeof directory, "%.*s", chars > 0 ? chars : 1, chars > 0 ? path : ".");
  fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return;
  (void) fsync (fd);
  close (fd);
}

int
cmk_output_file_commit (CmkOutputFile *file)
{
  int fd = file->fd;

  if (file->is_stream)
    return CMK_EXIT_DONE;

  /* Some file systems report only here that there was no room. */
  file->fd = -1;
  if (fsync (fd) < 0)
    {
      close (fd);
      return cmk_output_fail_to_write (file->path);
    }
  if (close (fd) < 0)
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
