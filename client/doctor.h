/* SPDX-License-Identifier: Apache-2.0
 *
 * What `cmkctl status` makes of the facts: what needs attention, what expires, what is not protected here. */
#pragma once

#include "value.h"

/* Add to @status, the answers of the daemon, the lists Attention and NotProtected, texts for a person, and Expiring, those of
 * @keys (a list; may be CMK_VALUE_NONE) whose material expires, or that are deleted, within 30 days of @now. @is_private: it
 * is the user's own instance; @is_here: it runs on this machine. */
void cmk_doctor_examine (CmkValue *status, const CmkValue *keys, bool is_private, bool is_here, int64_t now);

/* Print what it found below the facts. */
void cmk_doctor_print (const CmkValue *status);

/* Does anything need attention? */
bool cmk_doctor_is_worried (const CmkValue *status);
