/* SPDX-License-Identifier: Apache-2.0
 *
 * What the service manager is told of this process, as sd_notify(3) does, over the socket in $NOTIFY_SOCKET. Without
 * one, as under anything but systemd, nothing is said. On the main loop only. */
#pragma once

#include <glib.h>

typedef struct _CmkNotify CmkNotify;

/* Never NULL. */
CmkNotify *cmk_notify_new (void);
void cmk_notify_free (CmkNotify *notify);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkNotify, cmk_notify_free)

/* We serve; @status is one line for `systemctl status`. From now on the watchdog of the unit, if it has one, is told
 * twice in its time that we live: by the main loop, so that one that hangs is found out. */
void cmk_notify_ready (CmkNotify *notify, const char *status);

/* Another such line. */
void cmk_notify_status (CmkNotify *notify, const char *status);

/* We are about to end, and need not be told to. The watchdog hears no more of us. */
void cmk_notify_stopping (CmkNotify *notify);
