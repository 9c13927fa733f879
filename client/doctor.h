/* SPDX-License-Identifier: Apache-2.0
 *
 * What `cmkctl status` makes of the facts: what needs attention, what expires, what is not protected here. */
#pragma once

#include "value.h"

typedef struct
{
  bool is_private;       /* it is the user's own instance */
  bool is_here;          /* it runs on this machine */
  bool is_polkit_broken; /* polkit is installed and does not start */
  const char *unlisted;  /* why the keys are not to be had; NULL: they are, or need not be */
  int64_t now;
} CmkDoctorFacts;

/* Add to @status, the answers of the daemon, the lists Attention and NotProtected, texts for a person, and Expiring,
 * those of
 * @keys (a list; may be CMK_VALUE_NONE) whose material expires, or that are deleted, within the next 30 days. */
void cmk_doctor_examine (CmkValue *status, const CmkValue *keys, const CmkDoctorFacts *facts);

/* Print what it found below the facts. */
void cmk_doctor_print (CmkValue *status, bool is_here);

/* Does anything need attention? */
bool cmk_doctor_is_worried (const CmkValue *status);
