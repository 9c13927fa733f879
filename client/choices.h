/* SPDX-License-Identifier: Apache-2.0
 *
 * What may stand for a placeholder of the tables of verb.h, for completion. The daemon decides what it takes. */
#pragma once

#include "verb.h"

/* The values of the placeholder @placeholder of @verb, with spaces between; NULL if there is no list of them. */
const char *cmk_choices_find (const CmkVerb *verb, const char *placeholder);

/* The placeholders of what follows @verb if its first operand is @action, NULL if the verb has no such action. */
const char *cmk_choices_operands (const CmkVerb *verb, const char *action);
