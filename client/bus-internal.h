/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the door to libdbus share. */
#pragma once

#include <dbus/dbus.h>

#include "bus.h"

struct CmkBus
{
  DBusConnection *connection;
  CmkBusKind kind;
  char *owner; /* unique name of the cmkd that was checked last; NULL: none was */
  uint32_t owner_uid;
  int timeout_ms;
  bool is_aside;
  bool asks_nobody; /* for a password */
  bool is_patient;
};

struct CmkCall
{
  DBusMessage *message;
  DBusMessageIter arguments;
  DBusMessageIter options;
  bool has_options;
  bool is_secret;
  bool is_malformed; /* a text was not UTF-8 */
};

/* libdbus wipes nothing and hands out addresses inside the message, so its copies of a secret are wiped there. */
void cmk_bus_wipe_text (const char *text);

/* Have @call ready to be sent once more. */
void cmk_call_renew (CmkCall *call);

/* What @iter stands at. Nesting is bounded by what libdbus lets into a message. A value that has no meaning outside of
 * its message (a file descriptor) stays CMK_VALUE_NONE. With @is_secret texts are locked, and wiped in the message. */
void cmk_bus_take_value (DBusMessageIter *iter, bool is_secret, CmkValue *ret_value);

/* The D-Bus address of the system bus of @host, "machine" or "user@machine"; an owned text. */
int cmk_bus_host_address (const char *host, char **ret_address);

/* Send @message and wait; NULL with @error. */
DBusMessage *cmk_bus_send_and_wait (CmkBus *bus, DBusMessage *message, DBusError *error);

/* Say what @error is, unless it was asked on the side, clear it, and return the exit code. */
int cmk_bus_fail_from (CmkBus *bus, DBusError *error);

/* Before anything is sent to cmkd: have it started if need be, and refuse whoever owns its name and may not. */
int cmk_bus_check_owner (CmkBus *bus);

/* The same for the unique name of who has answered, which may have become the owner only then. */
int cmk_bus_check_sender (CmkBus *bus, const char *name);

/* The same for a new owner whose signals are waited for. It may have gone again already, when nobody can tell any more
 * who it was: what it signalled is dropped. */
int cmk_bus_follow_owner (CmkBus *bus, const char *name);

/* Whether the call that was answered with @error never reached the owner that was checked, as it has gone; then it is
 * forgotten. */
bool cmk_bus_has_gone (CmkBus *bus, const DBusError *error);

void cmk_bus_forget_owner (CmkBus *bus);
