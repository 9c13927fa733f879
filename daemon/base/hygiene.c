/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hygiene.h"

#include "base/error.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The thread cache of glibc keeps freed blocks as they are, so it has to go for the perturbation to work. */
#define TUNABLES "glibc.malloc.tcache_count=0:glibc.malloc.perturb=165"
#define SLICE    "always-malloc"

void
cmk_hygiene_restart_with_wiping_heap (char **argv)
{
  if (g_strcmp0 (g_getenv ("GLIBC_TUNABLES"), TUNABLES) == 0 && g_strcmp0 (g_getenv ("G_SLICE"), SLICE) == 0)
    {
      /* Else the kernel goes by the path below, and in the journal and in lists of processes we are "exe". */
      prctl (PR_SET_NAME, "cmkd");
      return;
    }
  g_setenv ("GLIBC_TUNABLES", TUNABLES, TRUE);
  g_setenv ("G_SLICE", SLICE, TRUE);
  execv ("/proc/self/exe", argv);
  g_warning ("freed memory is not overwritten: cannot start over: %s", g_strerror (errno));
}

gboolean
cmk_hygiene_seal_process (GError **error)
{
  const struct rlimit no_core = { 0, 0 };
  if (prctl (PR_SET_DUMPABLE, 0) == 0 && setrlimit (RLIMIT_CORE, &no_core) == 0)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL, "cannot forbid core dumps: %s", g_strerror (errno));
  return FALSE;
}
