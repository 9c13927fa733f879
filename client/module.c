/* SPDX-License-Identifier: Apache-2.0 */
#include "module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exit-code.h"

#define MAX_FILE_CHARS 64

/* The module beside the program, as in a build tree, else where it is installed. By its path: a run path would have the
 * dynamic linker look there for every library of every call. */
static void *
open_module (const char *file)
{
  char path[PATH_MAX + MAX_FILE_CHARS];
  ssize_t length = readlink ("/proc/self/exe", path, PATH_MAX);
  char *slash = length > 0 ? memrchr (path, '/', (size_t) length) : NULL;

  if (slash != NULL)
    {
      snprintf (slash + 1, MAX_FILE_CHARS, "%s", file);
      if (access (path, R_OK) == 0)
        return dlopen (path, RTLD_NOW | RTLD_LOCAL);
    }
  snprintf (path, sizeof path, "%s/%s", CMK_MODULE_DIRECTORY, file);
  return dlopen (path, RTLD_NOW | RTLD_LOCAL);
}

int
cmk_module_load (const char *file, const char *symbol, const void **ret_table)
{
  void *module = open_module (file);

  *ret_table = module != NULL ? dlsym (module, symbol) : NULL;
  if (*ret_table == NULL)
    return cmk_fail (CMK_EXIT_REFUSED, "cannot load %s (%s): is cmkctl installed completely?", file, dlerror ());
  return CMK_EXIT_DONE;
}
