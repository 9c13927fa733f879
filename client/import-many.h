/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "arguments.h"

/* `cmkctl import --from`: a key of its own for each file of key material in a directory. */
int cmk_import_many (const CmkArguments *arguments);
