/* SPDX-License-Identifier: Apache-2.0 */
#include "surroundings.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "buffer.h"

/* An owned text made of a line of a file, which is there to be changed; NULL if there is nothing in it. */
typedef char *(*Take) (const char *root, char *line, uint32_t uid);

/* What @take has found in the first line that it finds something in; NULL if there is none. */
static char *
find (const char *root, const char *path, Take take, uint32_t uid)
{
  _cleanup_ (cmk_freep) char *name = NULL;
  _cleanup_ (cmk_freep) char *line = NULL;
  char *found = NULL;
  size_t size = 0;
  FILE *file;

  cmk_require_memory (asprintf (&name, "%s%s", root, path) >= 0);
  file = fopen (name, "re");
  if (file == NULL)
    return NULL;
  while (found == NULL && getline (&line, &size, file) >= 0)
    {
      line[strcspn (line, "\n")] = '\0';
      found = take (root, line, uid);
    }
  fclose (file);
  return found;
}

static char *
take_all (const char *root, char *line, uint32_t uid)
{
  (void) root;
  (void) uid;
  return cmk_duplicate (line);
}

static char *
read_line (const char *root, const char *path)
{
  return find (root, path, take_all, 0);
}

/* Is all that is written to the block device @path of sysfs encrypted on the way by dm-crypt, here or further down? */
static bool
is_encrypted (const char *root, const char *path)
{
  _cleanup_ (cmk_freep) char *uuid_path = NULL;
  _cleanup_ (cmk_freep) char *slaves_path = NULL;
  _cleanup_ (cmk_freep) char *uuid = NULL;
  bool is_any = false, is_all = true;
  DIR *slaves;

  cmk_require_memory (asprintf (&uuid_path, "%s/dm/uuid", path) >= 0 &&
                      asprintf (&slaves_path, "%s%s/slaves", root, path) >= 0);
  uuid = read_line (root, uuid_path);
  if (uuid != NULL && strncmp (uuid, "CRYPT-", 6) == 0)
    return true;

  slaves = opendir (slaves_path);
  for (const struct dirent *entry = slaves != NULL ? readdir (slaves) : NULL; entry != NULL && is_all;
       entry = readdir (slaves))
    {
      _cleanup_ (cmk_freep) char *slave = NULL;

      if (entry->d_name[0] == '.')
        continue;
      cmk_require_memory (asprintf (&slave, "/sys/class/block/%s", entry->d_name) >= 0);
      is_any = true;
      is_all = is_encrypted (root, slave);
    }
  if (slaves != NULL)
    closedir (slaves);
  return is_any && is_all;
}

/* Does what goes to the swap space @name stay readable there? What is compressed in memory (zram) does not go
 * anywhere. */
static bool
is_swap_open (const char *root, const char *name)
{
  _cleanup_ (cmk_freep) char *path = NULL;
  const char *base = strrchr (name, '/');
  struct stat status;

  if (base != NULL && strncmp (name, "/dev/", 5) == 0)
    {
      cmk_require_memory (asprintf (&path, "/sys/class/block/%s", base + 1) >= 0);
      return strncmp (base, "/zram", 5) != 0 && !is_encrypted (root, path);
    }
  /* A file; some file systems have a device number that is none of a block device, and tell nothing. */
  if (stat (name, &status) < 0 || major (status.st_dev) == 0)
    return false;
  cmk_require_memory (asprintf (&path, "/sys/dev/block/%u:%u", major (status.st_dev), minor (status.st_dev)) >= 0);
  return !is_encrypted (root, path);
}

static char *
take_open_swap (const char *root, char *line, uint32_t uid)
{
  (void) uid;
  line[strcspn (line, " \t")] = '\0';
  return line[0] == '/' && is_swap_open (root, line) ? cmk_duplicate (line) : NULL;
}

static bool
can_hibernate (const char *root)
{
  _cleanup_ (cmk_freep) char *states = read_line (root, "/sys/power/state");
  _cleanup_ (cmk_freep) char *modes = read_line (root, "/sys/power/disk");

  return states != NULL && strstr (states, "disk") != NULL && modes != NULL && strstr (modes, "[disabled]") == NULL;
}

void
cmk_surroundings_add (const char *root, CmkValue *list)
{
  _cleanup_ (cmk_freep) char *swap = find (root, "/proc/swaps", take_open_swap, 0);
  _cleanup_ (cmk_freep) char *tpm = NULL;

  if (swap != NULL)
    cmk_value_append_printf (
        list,
        "swap on %s is not encrypted: cmkd's own secrets never go there, but what other programs have got from it, "
        "such "
        "as plaintexts, may",
        swap);
  if (swap != NULL && can_hibernate (root))
    cmk_value_append_printf (
        list,
        "this machine can hibernate to %s: that writes all memory there, with the key material in use, unencrypted",
        swap);
  cmk_require_memory (asprintf (&tpm, "%s/dev/tpmrm0", root) >= 0);
  if (geteuid () != 0 && access (tpm, R_OK | W_OK) == 0)
    cmk_value_append_printf (
        list,
        "your programs can use the TPM without cmkd, through %s (group tss?): with a copy of the state they could open "
        "what it has sealed",
        tpm);
}

static char *
take_quota (const char *root, char *line, uint32_t uid)
{
  unsigned owner, keys, most_keys, bytes, most_bytes;
  char *quota;

  (void) root;
  if (sscanf (line, "%u: %*u %*u/%*u %u/%u %u/%u", &owner, &keys, &most_keys, &bytes, &most_bytes) != 5 || owner != uid)
    return NULL;
  cmk_require_memory (asprintf (&quota, "%u of %u keys, %u of %u bytes", keys, most_keys, bytes, most_bytes) >= 0);
  return quota;
}

char *
cmk_surroundings_find_quota (const char *root, uint32_t uid)
{
  return find (root, "/proc/key-users", take_quota, uid);
}
