/* SPDX-License-Identifier: Apache-2.0
 *
 * The way to a bus. What comes on it passes daemon/bus/message-stream.h first, and no file descriptors come: cmkd does
 * not negotiate them, so the bus daemon tells who sends one. */
#pragma once

#include <gio/gio.h>

/* @address: of D-Bus, with one entry or more. Blocks until the bus has given us a name. */
GDBusConnection *cmk_connect (const char *address, GError **error);
