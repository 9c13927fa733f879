/* SPDX-License-Identifier: Apache-2.0 */
#include "memory-search.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static gboolean
is_between (int memory, guint64 start, guint64 end, const CmkSecret *secret)
{
  static guint8 chunk[1024 * 1024];
  for (guint64 at = start; at < end; at += sizeof chunk - 15)
    {
      gssize size = pread (memory, chunk, MIN (sizeof chunk, end - at), (off_t) at);
      if (size > 0 && memmem (chunk, (gsize) size, cmk_secret_peek (secret), 16) != NULL)
        return TRUE;
    }
  return FALSE;
}

gboolean
is_in_memory (const CmkSecret *secret)
{
  static char line[8192]; /* nothing of this is to overwrite what is looked for on the heap */
  FILE *maps = fopen ("/proc/self/smaps", "re");
  g_assert_nonnull (maps);
  int memory = open ("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (memory, >=, 0);
  unsigned long long start = 0, end = 0, first, last;
  char access[5] = "", first_access[5];
  gboolean found = FALSE;
  while (!found && fgets (line, sizeof line, maps) != NULL)
    {
      /* The first line of a mapping; others may begin with hexadecimal digits, too. */
      if (sscanf (line, "%llx-%llx %4s", &first, &last, first_access) == 3)
        {
          start = first;
          end = last;
          memcpy (access, first_access, sizeof access);
        }
      /* The last; "dd" is "do not dump". */
      else if (g_str_has_prefix (line, "VmFlags:") && strstr (line, " dd") == NULL)
        found = g_str_has_prefix (access, "rw") && is_between (memory, start, end, secret);
    }
  close (memory);
  fclose (maps);
  return found;
}
