/* SPDX-License-Identifier: Apache-2.0
 *
 * A main loop timer for a wall-clock moment. The kernel keeps it (timerfd on CLOCK_REALTIME), so that suspend and a
 * clock that was set are noticed at once. */
#pragma once

#include <glib.h>

typedef struct _CmkExpiryTimer CmkExpiryTimer;

/* @due is called on the main loop at or after the moment that was set, once for each setting; and whenever the clock
 * was set, since the moment may have come with it. */
CmkExpiryTimer *cmk_expiry_timer_new (void (*due) (gpointer), gpointer user_data,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_expiry_timer_free (CmkExpiryTimer *timer);

/* The next moment in Unix seconds; 0 = none. A moment that has passed (a failed attempt, -1) means: again in a
 * minute. Any thread. */
void cmk_expiry_timer_set (CmkExpiryTimer *timer, gint64 when);
