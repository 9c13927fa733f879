/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "arguments.h"

/* The tag of the keys it makes: the id of the directory, a slash and the name of the file. */
#define CMK_IMPORT_FILE_TAG "imported-from"

/* `cmkctl import --from`: a key of its own for each file of key material in a directory. */
int cmk_import_many (const CmkArguments *arguments);
