/* SPDX-License-Identifier: Apache-2.0
 *
 * Users and groups, which are numbers on the bus; people have names for them. */
#pragma once

#include "value.h"

/* The number of the user or group @name of this machine, or that @name is. A name is looked for first, as chown does:
 * there are names of digits. */
bool cmk_grantee_find (const char *name, bool is_user, uint32_t *ret_number);

/* To whom @grant was given: "user news", or "user 4242" if the number has no name here; an owned text. */
char *cmk_grantee_describe (const CmkValue *grant);
