/* SPDX-License-Identifier: Apache-2.0
 *
 *     deny-keyctl ERRNO COMMAND [ARGUMENT...]
 *
 * Runs the command where the system calls of the kernel keyring fail with that number: EPERM is what the seccomp
 * profile of a container answers, ENOSYS a kernel built without keys. */
#include "../unit/deny-syscall.h"

#include <stdlib.h>
#include <unistd.h>

int
main (int argc, char **argv)
{
  if (argc < 3)
    return EXIT_FAILURE;
  const long calls[] = { SYS_add_key, SYS_request_key, SYS_keyctl };
  for (gsize i = 0; i < G_N_ELEMENTS (calls); i++)
    deny_syscall (calls[i], atoi (argv[1]));
  execvp (argv[2], argv + 2);
  return EXIT_FAILURE;
}
