/* SPDX-License-Identifier: Apache-2.0
 *
 * What program calls, as far as it can be told from a pid, for the journal alone. Never for a decision: the process
 * may have ended, and another have its pid, before anybody looks; and who passes a connection on remains its maker.
 * Main loop. */
#pragma once

#include <gio/gio.h>

typedef struct
{
  char *unit;       /* "ssh.service"; NULL: not known */
  char *executable; /* "/usr/bin/cmkctl"; NULL: not known, as of any other user's process */
} CmkProcess;

void cmk_process_clear (CmkProcess *process);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkProcess, cmk_process_clear)

typedef void (*CmkProcessFunc) (const CmkProcess *process, gpointer user_data);

/* Look @pid up: by the systemd that is on the bus of @connection, or in /proc. @found is called in any case, later, and
 * soon whatever systemd does; but not any more once @cancellable is cancelled. */
void cmk_process_look_up (GDBusConnection *connection, guint32 pid, GCancellable *cancellable, CmkProcessFunc found,
                          gpointer user_data);
