/* SPDX-License-Identifier: Apache-2.0
 *
 * What must be asked of the daemon before something else can be: the id of a key, or its spec, where an algorithm
 * depends on it. */
#pragma once

#include "arguments.h"
#include "spec.h"

/* The id of the key or alias @key, an owned text. */
int cmk_describe_id (CmkBus *bus, const char *key, char **ret_id);

/* The spec of the key or alias @key, to choose an algorithm by; what is said otherwise is that it can be named. */
int cmk_describe_spec (CmkBus *bus, const char *key, const CmkSpec **ret_spec);

/* The same, NULL and nothing said if it is not to be had. */
const CmkSpec *cmk_describe_spec_if_seen (CmkBus *bus, const char *key);

/* The argument of --algorithm, or what a key such as @key is used by for @use. What is handed out is good as long as
 * @arguments. */
int cmk_describe_algorithm (const CmkArguments *arguments, CmkBus *bus, const char *key, CmkUse use,
                            const char **ret_algorithm);
