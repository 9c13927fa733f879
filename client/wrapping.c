/* SPDX-License-Identifier: Apache-2.0 */
#include "wrapping.h"

#include "exit-code.h"
#include "input.h"
#include "module.h"
#include "passphrase.h"

#define MODULE_FILE "cmkctl-wrap.so"

/* More than the PEM of any private key that can be imported. */
#define MAX_MATERIAL_BYTES 16384

static int
load_module (const CmkWrapModule **ret_module)
{
  const void *table = NULL;
  int code = cmk_module_load (MODULE_FILE, CMK_WRAP_MODULE_SYMBOL, &table);

  *ret_module = table;
  return code;
}

int
cmk_wrapping_read_material (const char *path, bool is_file, CmkMaterial *ret_material)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = { 0 };
  const CmkWrapModule *module = NULL;
  const char *problem;
  int code = is_file ? cmk_input_read_file (path, "key material", MAX_MATERIAL_BYTES, &data)
                     : cmk_input_read (path, "key material", MAX_MATERIAL_BYTES, &data);

  if (code == CMK_EXIT_DONE && data.size == 0)
    return cmk_fail (CMK_EXIT_REFUSED, "the key material '%s' is empty", path);
  if (code == CMK_EXIT_DONE)
    code = load_module (&module);
  if (code != CMK_EXIT_DONE)
    return code;
  problem = module->read_material (&data, cmk_passphrase_ask, path, ret_material);
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
