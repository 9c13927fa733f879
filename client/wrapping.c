/* SPDX-License-Identifier: Apache-2.0 */
#include "wrapping.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "exit-code.h"
#include "input.h"

#define MODULE_FILE "cmkctl-wrap.so"

/* More than the PEM of any private key that can be imported. */
#define MAX_MATERIAL_BYTES 16384

/* The module beside the program, as in a build tree, else where it is installed. By its path: a run path would have the
 * dynamic linker look there for every library of every call. It stays loaded. */
static void *
open_module (void)
{
  char path[PATH_MAX + sizeof MODULE_FILE];
  ssize_t length = readlink ("/proc/self/exe", path, PATH_MAX);
  char *slash = length > 0 ? memrchr (path, '/', (size_t) length) : NULL;

  if (slash != NULL)
    {
      memcpy (slash + 1, MODULE_FILE, sizeof MODULE_FILE);
      if (access (path, R_OK) == 0)
        return dlopen (path, RTLD_NOW | RTLD_LOCAL);
    }
  return dlopen (CMK_WRAP_DIRECTORY "/" MODULE_FILE, RTLD_NOW | RTLD_LOCAL);
}

static int
load_module (const CmkWrapModule **ret_module)
{
  static const CmkWrapModule *loaded;
  void *module = loaded == NULL ? open_module () : NULL;

  if (module != NULL)
    loaded = dlsym (module, CMK_WRAP_MODULE_SYMBOL);
  if (loaded == NULL)
    return cmk_fail (CMK_EXIT_REFUSED, "cannot load what wraps (%s): is cmkctl installed completely?", dlerror ());
  *ret_module = loaded;
  return CMK_EXIT_DONE;
}

int
cmk_wrapping_read_material (const char *path, CmkMaterial *ret_material)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = { 0 };
  const CmkWrapModule *module = NULL;
  const char *problem;
  int code = cmk_input_read (path, "key material", MAX_MATERIAL_BYTES, &data);

  if (code == CMK_EXIT_DONE && data.size == 0)
    return cmk_fail (CMK_EXIT_REFUSED, "the key material '%s' is empty", path);
  if (code == CMK_EXIT_DONE)
    code = load_module (&module);
  if (code != CMK_EXIT_DONE)
    return code;
  problem = module->read_material (&data, ret_material);
  return problem == NULL ? CMK_EXIT_DONE : cmk_fail (CMK_EXIT_REFUSED, "%s", problem);
}

int
cmk_wrapping_run (const CmkWrapJob *job, CmkWrapped *ret_wrapped)
{
  const CmkWrapModule *module = NULL;
  const char *problem;
  int code = load_module (&module);

  if (code != CMK_EXIT_DONE)
    return code;
  problem = module->wrap (job, ret_wrapped);
  return problem == NULL ? CMK_EXIT_DONE : cmk_fail (CMK_EXIT_REFUSED, "%s", problem);
}

void
cmk_material_clear (CmkMaterial *material)
{
  cmk_buffer_clear (&material->data);
}

void
cmk_wrapped_clear (CmkWrapped *wrapped)
{
  cmk_buffer_clear (&wrapped->material);
  cmk_buffer_clear (&wrapped->private_key);
}
