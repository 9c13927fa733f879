/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that appears under its name only when all of it is there, on the disk and good: until then it has no name, and
 * is gone when something fails or somebody presses Ctrl-C. A stream, "-", a device or a pipe of our own, takes what is
 * written at once; what else is there is refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct CmkOutputFile CmkOutputFile;

/* There can be one at a time. A file that is there already stays and is an error unless @may_replace. */
int cmk_output_file_open (const char *path, bool may_replace, CmkOutputFile **ret_file);

int cmk_output_file_write (CmkOutputFile *file, const void *data, size_t size);

/* All is written: give the file its name. */
int cmk_output_file_commit (CmkOutputFile *file);

/* Cleanup for an owned CmkOutputFile *, which may be NULL. What was not committed is removed. */
void cmk_output_file_closep (CmkOutputFile **file);
