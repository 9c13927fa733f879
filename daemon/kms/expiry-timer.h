/* SPDX-License-Identifier: Apache-2.0
 *
 * A main loop timer for what time brings. It counts CLOCK_BOOTTIME, as the confirmed time does (base/clock.h), so
 * suspend counts; and a wall clock that was set is noticed at once. */
#pragma once

#include <glib.h>

typedef struct _CmkExpiryTimer CmkExpiryTimer;

/* @due is called on the main loop, once for each setting, and whenever the clock was set, since that may change what
 * is due. */
CmkExpiryTimer *cmk_expiry_timer_new (void (*due) (gpointer), gpointer user_data,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_expiry_timer_free (CmkExpiryTimer *timer);

/* In so many seconds; negative: not at all. 0 (a failed attempt at what is overdue) means: again in a minute. Any
 * thread. */
void cmk_expiry_timer_set (CmkExpiryTimer *timer, gint64 seconds);
