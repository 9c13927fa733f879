/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrapping as the verbs see it: files in, an exit code out; loads the module of wrap.h when it is first needed. */
#pragma once

#include <stdbool.h>

#include "wrap.h"

/* Read the key material @path, "-" for standard input; with @is_file a regular file and nothing else. See
 * CmkWrapModule.read_material. */
int cmk_wrapping_read_material (const char *path, bool is_file, CmkMaterial *ret_material);

/* Do @job. */
int cmk_wrapping_run (const CmkWrapJob *job, CmkWrapped *ret_wrapped);

/* Wipe and free; for __attribute__ ((cleanup)). */
void cmk_material_clear (CmkMaterial *material);
void cmk_wrapped_clear (CmkWrapped *wrapped);
