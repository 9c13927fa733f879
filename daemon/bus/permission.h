/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call stopped at for want of a permit, put to the administrator's policy; the answer goes into the call's
 * CmkAccess. Main loop; never waits. */
#pragma once

#include "bus/authority.h"
#include "bus/callers.h"

/* NULL: the call may run again, from its beginning. Else why it may not. */
typedef void (*CmkPermissionFunc) (const GError *refused, gpointer user_data);

/* @invocation, a call of @method (a static string), asks access->question. @decided is called once; at once, from
 * within, if the answer is known. A sender that has left while somebody was asked is refused: the call would take
 * effect for nobody. */
void cmk_permission_ask (CmkAuthority *authority, CmkCallers *callers, GDBusMethodInvocation *invocation,
                         const char *method, CmkAccess *access, CmkPermissionFunc decided, gpointer user_data);
