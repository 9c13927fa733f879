/* SPDX-License-Identifier: Apache-2.0
 *
 * Who owns cmkd's name. On a bus whose policy lets anybody own it, or that was tampered with, somebody else may be
 * there, or wait in the queue for an idle cmkd to end: secrets go to nobody but the user that cmkd runs as. */
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "bus-internal.h"
#include "cmkd.h"
#include "exit-code.h"

#define CMKD_ACCOUNT "cmkd"

/* An idle cmkd may end as soon as it was started. */
#define MOST_STARTS 10

static DBusMessage *
ask_bus (CmkBus *bus, const char *method, const char *name, DBusError *error)
{
  static const uint32_t flags = 0;
  DBusMessage *reply;
  DBusMessage *call = dbus_message_new_method_call (DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, method);

  cmk_require_memory (call != NULL && dbus_message_append_args (call, DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID));
  if (strcmp (method, "StartServiceByName") == 0)
    cmk_require_memory (dbus_message_append_args (call, DBUS_TYPE_UINT32, &flags, DBUS_TYPE_INVALID));
  reply = cmk_bus_send_and_wait (bus, call, error);
  dbus_message_unref (call);
  return reply;
}

static bool
is_trusted (CmkBusKind kind, uid_t uid)
{
  const struct passwd *account;

  switch (kind)
    {
    case CMK_BUS_SYSTEM:
      account = uid != 0 ? getpwnam (CMKD_ACCOUNT) : NULL;
      return uid == 0 || (account != NULL && account->pw_uid == uid);
    case CMK_BUS_SESSION:
      return uid == 0 || uid == getuid ();
    case CMK_BUS_ADDRESS:
      return true; /* whoever names a bus by its address knows who is there */
    case CMK_BUS_HOST:
      return true; /* uids there are not those here */
    }
  return false;
}

void
cmk_bus_forget_owner (CmkBus *bus)
{
  cmk_freep (&bus->owner);
  bus->owner = NULL;
}

/* With @may_have_gone a name that nobody has any more is no error, and nobody the owner then. */
static int
check (CmkBus *bus, const char *name, bool may_have_gone)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *reply;
  uint32_t uid = UINT32_MAX;

  if (bus->owner != NULL && strcmp (bus->owner, name) == 0)
    return CMK_EXIT_DONE;
  reply = ask_bus (bus, "GetConnectionUnixUser", name, &error);
  if (reply != NULL)
    {
      (void) dbus_message_get_args (reply, &error, DBUS_TYPE_UINT32, &uid, DBUS_TYPE_INVALID);
      dbus_message_unref (reply);
    }
  if (dbus_error_is_set (&error))
    {
      if (!may_have_gone || !dbus_error_has_name (&error, DBUS_ERROR_NAME_HAS_NO_OWNER))
        return cmk_bus_fail_from (bus, &error);
      dbus_error_free (&error);
      return CMK_EXIT_DONE;
    }
  if (!is_trusted (bus->kind, uid))
    return cmk_fail (CMK_EXIT_REFUSED,
                     "a process of uid %u has taken the name of cmkd on this bus, and is not to be trusted with keys: "
                     "find it with `busctl status " CMKD_BUS_NAME "`",
                     uid);
  cmk_bus_forget_owner (bus);
  bus->owner = cmk_duplicate (name);
  bus->owner_uid = uid;
  return CMK_EXIT_DONE;
}

int
cmk_bus_check_sender (CmkBus *bus, const char *name)
{
  return check (bus, name, false);
}

int
cmk_bus_follow_owner (CmkBus *bus, const char *name)
{
  return check (bus, name, true);
}

bool
cmk_bus_has_gone (CmkBus *bus, const DBusError *error)
{
  /* A policy lets messages through to whoever has the name of cmkd, which it gives back before it goes. */
  static const char *const signs[] = { DBUS_ERROR_SERVICE_UNKNOWN, DBUS_ERROR_NAME_HAS_NO_OWNER,
                                       DBUS_ERROR_ACCESS_DENIED };

  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
    if (dbus_error_has_name (error, signs[i]))
      {
        cmk_bus_forget_owner (bus);
        return true;
      }
  return false;
}

bool
cmk_bus_is_broken (CmkBus *bus, const char *name)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *reply = ask_bus (bus, "StartServiceByName", name, &error);
  bool is_broken = reply == NULL && !dbus_error_has_name (&error, DBUS_ERROR_SERVICE_UNKNOWN);

  if (reply != NULL)
    dbus_message_unref (reply);
  dbus_error_free (&error);
  return is_broken;
}

int
cmk_bus_check_owner (CmkBus *bus)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *reply;
  const char *owner;
  int code;

  if (bus->owner != NULL)
    return CMK_EXIT_DONE;
  reply = ask_bus (bus, "GetNameOwner", CMKD_BUS_NAME, &error);
  for (int i = 0; i < MOST_STARTS && dbus_error_has_name (&error, DBUS_ERROR_NAME_HAS_NO_OWNER); i++)
    {
      dbus_error_free (&error);
      reply = ask_bus (bus, "StartServiceByName", CMKD_BUS_NAME, &error);
      if (reply == NULL)
        break;
      dbus_message_unref (reply);
      reply = ask_bus (bus, "GetNameOwner", CMKD_BUS_NAME, &error);
    }
  if (reply == NULL)
    return cmk_bus_fail_from (bus, &error);

  code = dbus_message_get_args (reply, &error, DBUS_TYPE_STRING, &owner, DBUS_TYPE_INVALID)
             ? cmk_bus_check_sender (bus, owner)
             : cmk_bus_fail_from (bus, &error);
  dbus_message_unref (reply);
  return code;
}
