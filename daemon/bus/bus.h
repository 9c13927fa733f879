/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon on its bus: exports the interfaces, owns the name when it can serve, and leaves it in good order. */
#pragma once

#include <gio/gio.h>

#include "bus/authority.h"
#include "kms/kms.h"

typedef struct _CmkBus CmkBus;

/* Why the daemon should end: NULL after cmk_bus_leave(), else what went wrong. */
typedef void (*CmkBusEndedFunc) (const GError *error, gpointer user_data);

/* What StateStatus of the service is from now on. */
typedef void (*CmkBusStatusFunc) (const char *state_status, gpointer user_data);

/* @authority outlives it; NULL: nobody but the bus itself says who may call, so who runs cmkd is its administrator, as
 * root always is. On the main loop @ended is called when there is no more to serve, and @status_changed when that
 * changes. */
CmkBus *cmk_bus_new (GDBusConnection *connection, CmkAuthority *authority, CmkBusEndedFunc ended,
                     CmkBusStatusFunc status_changed, gpointer user_data);
void cmk_bus_free (CmkBus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkBus, cmk_bus_free)

/* Serve @kms, then ask for the bus name: whoever sees the name can call at once. */
gboolean cmk_bus_serve (CmkBus *bus, CmkKms *kms, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Give the name back, answer every call that was sent to us until then, and end. Nobody is made to wait for a wrapping
 * key any more. */
void cmk_bus_leave (CmkBus *bus);

/* Do the same, though without any haste, when nobody has called for so many @milliseconds and nothing needs the daemon:
 * who comes at that moment is answered as at any other, and who comes after it has the bus start cmkd again. */
void cmk_bus_leave_when_idle (CmkBus *bus, guint milliseconds);

/* Is there a cmkd on the bus already? */
gboolean cmk_bus_is_served (GDBusConnection *connection);

/* What the kms tells, to be broadcast. The user data is the CmkBus. */
extern const CmkKmsEvents cmk_bus_events;
