/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers that were saved by --json. They may come from a machine that is not trusted. */
#pragma once

#include "buffer.h"
#include "value.h"

/* Read @text, one JSON object (RFC 8259) of strings, numbers, booleans and nulls, each under a name of its own. Its
 * strings are the items of @ret_map, everything else is CMK_VALUE_NONE. False for anything else: strings that need an
 * escape, lists and objects inside are in no answer that this is for. */
bool cmk_answer_read (const CmkBuffer *text, CmkValue *ret_map);
