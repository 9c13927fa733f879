/* SPDX-License-Identifier: Apache-2.0
 *
 * The name of the account behind a uid. Main loop; the password database, which may be at the other end of a network, is
 * asked on a thread of its own. */
#pragma once

#include <gio/gio.h>

void cmk_account_look_up (guint32 uid, GCancellable *cancellable, GAsyncReadyCallback done, gpointer user_data);

/* "" if the system knows none; NULL with CMK_ERROR_ACCESS_DENIED if it does not say. */
char *cmk_account_look_up_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
