/* SPDX-License-Identifier: Apache-2.0
 *
 * What must be asked of the daemon before a call can be made: the spec of a key, where an algorithm depends on it. */
#pragma once

#include "arguments.h"
#include "spec.h"

/* The spec of the key or alias @key. */
int cmk_describe_spec (CmkBus *bus, const char *key, const CmkSpec **ret_spec);

/* The argument of --algorithm, or what a key such as @key is used by for @use. What is handed out is good as long as
 * @arguments. */
int cmk_describe_algorithm (const CmkArguments *arguments, CmkBus *bus, const char *key, CmkUse use,
                            const char **ret_algorithm);
