/* SPDX-License-Identifier: Apache-2.0
 *
 * What is let in. Every call is weighed on the thread of GDBus, before it queues for the main loop: what is too long or
 * more than its share is answered there and costs the main loop nothing. So what calls under way can make cmkd hold has
 * a maximum, and no user can have all of it. docs/limits.md has the numbers.
 *
 * What is refused is told to the log in sums, once a second for each user: a flood of calls is none of messages. */
#pragma once

#include <gio/gio.h>

typedef struct _CmkAdmission CmkAdmission;

/* Begins with what arrives next on @connection. Main loop. */
CmkAdmission *cmk_admission_new (GDBusConnection *connection);
void cmk_admission_free (CmkAdmission *admission);

/* @sender is @uid, as the bus daemon says: until it is known, a sender shares what all unknown ones may have together.
 * Returns how many calls of @uid are under way, that of @sender which is being looked at included. To be said at each
 * call, for what is known is forgotten when there is too much of it. Any thread. */
guint cmk_admission_learn (CmkAdmission *admission, const char *sender, guint32 uid);
