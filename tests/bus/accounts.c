/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into cmkd by the tests of accounts: a password database that does not answer. Who a uid is is not said for
 * as long as $CMKD_ACCOUNTS has a FIFO of that number which nobody has opened, and closed again. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*Function) (uid_t, struct passwd *, char *, size_t, struct passwd **);

int
getpwuid_r (uid_t uid, struct passwd *entry, char *buffer, size_t size, struct passwd **ret_found)
{
  char path[4096];
  snprintf (path, sizeof path, "%s/%u", getenv ("CMKD_ACCOUNTS"), (unsigned) uid);
  int opened = open (path, O_RDONLY | O_CLOEXEC);
  char byte;
  while (opened >= 0 && read (opened, &byte, 1) > 0)
    continue;
  if (opened >= 0)
    close (opened);
  Function next;
  *(void **) &next = dlsym (RTLD_NEXT, "getpwuid_r"); /* as POSIX has it, for ISO C has no cast for it */
  return next (uid, entry, buffer, size, ret_found);
}
