/* SPDX-License-Identifier: Apache-2.0
 *
 * Notices that nobody has used the daemon for a while and that nothing needs it. Main loop. */
#pragma once

#include "bus/call.h"

typedef struct _CmkIdle CmkIdle;

/* @found is called, once, when @milliseconds have passed without a call under way, and the rules have no reason to
 * stay. */
CmkIdle *cmk_idle_watch (CmkCalls *calls, CmkKms *kms, guint milliseconds, void (*found) (gpointer),
                         gpointer user_data);
void cmk_idle_free (CmkIdle *idle);
