/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine around cmkd, and not cmkd itself, does to its secrets. Files are read below @root, which is "" but
 * in tests. */
#pragma once

#include <stdint.h>

#include "value.h"

/* Append to the list @list what is not protected here, a text for a person each. What cannot be found out is left
 * out. */
void cmk_surroundings_add (const char *root, CmkValue *list);

/* How many kernel keys @uid has and may have, as an owned text; NULL if that cannot be found out. */
char *cmk_surroundings_find_quota (const char *root, uint32_t uid);
