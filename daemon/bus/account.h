/* SPDX-License-Identifier: Apache-2.0
 *
 * The name of the account behind a uid. Main loop; the password database, which may be at the other end of a network,
 * is asked on threads of their own: one for each uid that is asked about, and at a time one for each user who asks
 * about others, so that who makes it slow keeps nobody else waiting. */
#pragma once

#include <gio/gio.h>

/* For the user @asker. */
void cmk_account_look_up (guint32 asker, guint32 uid, GCancellable *cancellable, GAsyncReadyCallback done,
                          gpointer user_data);

/* cmkd is ending: nobody waits for more than a second from here on. */
void cmk_account_hurry (void);

/* Never "". NULL with CMK_ERROR_INVALID_PARAMETER if the system knows none, with CMK_ERROR_ACCESS_DENIED if it does not
 * say, or not in time, and with CMK_ERROR_THROTTLED if @asker has another one under way. */
char *cmk_account_look_up_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
