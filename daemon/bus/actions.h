/* SPDX-License-Identifier: Apache-2.0
 *
 * Which intent each method of the contract is, for the administrator's policy, and which operation, for grants. The one
 * place where that is decided: a method that is not in it is refused to everybody, and a test walks the XML. */
#pragma once

#include "kms/access.h"

typedef struct
{
  const char *method;
  CmkAction action;
  CmkOperation operation;
  gboolean may_reach_others; /* see CmkAccess */
} CmkMethodRule;

/* NULL if there is none. */
const CmkMethodRule *cmk_actions_find (const char *method);

/* The action's name to polkit; NULL for CMK_ACTION_NONE. */
const char *cmk_actions_name (CmkAction action);
