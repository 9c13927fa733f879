/* SPDX-License-Identifier: Apache-2.0
 *
 * The signals of cmkd. */
#include <string.h>

#include "buffer.h"
#include "bus-errors.h"
#include "bus-internal.h"
#include "cmkd.h"
#include "exit-code.h"

typedef struct
{
  const char *name;
  const char *signature;
  const char *arguments[3];
} KeySignal;

static const KeySignal key_signals[] = {
  { "KeyChanged", "sss", { "KeyId", "KeyState", "Reason" } },
  { "KeyMaterialExpiring", "sx", { "KeyId", "MaterialExpireTime" } },
};

/* An idle cmkd stops and is started again: follow its name from owner to owner. */
static int
note_owner (CmkBus *bus, DBusMessage *message)
{
  const char *name, *old_owner, *new_owner;

  if (!dbus_message_get_args (message, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_STRING, &old_owner, DBUS_TYPE_STRING,
                              &new_owner, DBUS_TYPE_INVALID) ||
      strcmp (name, CMKD_BUS_NAME) != 0)
    return CMK_EXIT_DONE;
  cmk_bus_forget_owner (bus);
  return *new_owner != '\0' ? cmk_bus_follow_owner (bus, new_owner) : CMK_EXIT_DONE;
}

/* The signal of cmkd that @message is, or NULL; as long as nobody is known to be cmkd, none is. A match rule does not
 * stop a signal that somebody else addresses to us alone, so who sent it is looked at here. */
static const KeySignal *
find_signal (DBusMessage *message, const char *owner)
{
  if (owner == NULL || !dbus_message_has_sender (message, owner) || !dbus_message_has_path (message, CMKD_OBJECT_PATH))
    return NULL;
  for (size_t i = 0; i < sizeof key_signals / sizeof *key_signals; i++)
    if (dbus_message_is_signal (message, CMKD_INTERFACE_KEYS, key_signals[i].name) &&
        dbus_message_has_signature (message, key_signals[i].signature))
      return &key_signals[i];
  return NULL;
}

static int
handle_message (CmkBus *bus, DBusMessage *message, int (*on_signal) (const CmkValue *))
{
  _cleanup_ (cmk_value_clear) CmkValue map = { .kind = CMK_VALUE_MAP };
  const KeySignal *found;
  DBusMessageIter iter;

  if (dbus_message_has_sender (message, DBUS_SERVICE_DBUS) &&
      dbus_message_is_signal (message, DBUS_INTERFACE_DBUS, "NameOwnerChanged"))
    return note_owner (bus, message);
  found = find_signal (message, bus->owner);
  if (found == NULL)
    return CMK_EXIT_DONE;

  cmk_value_append_text (&map, "Signal", found->name);
  dbus_message_iter_init (message, &iter);
  for (size_t i = 0; found->signature[i] != '\0'; i++, dbus_message_iter_next (&iter))
    cmk_bus_take_value (&iter, false, cmk_value_append (&map, found->arguments[i]));
  return on_signal (&map);
}

int
cmk_bus_monitor (CmkBus *bus, void (*on_ready) (void), int (*on_signal) (const CmkValue *))
{
  static const char keys_rule[] =
      "type='signal',sender='" CMKD_BUS_NAME "',path='" CMKD_OBJECT_PATH "',interface='" CMKD_INTERFACE_KEYS "'";
  static const char owner_rule[] = "type='signal',sender='" DBUS_SERVICE_DBUS "',interface='" DBUS_INTERFACE_DBUS
                                   "',member='NameOwnerChanged',arg0='" CMKD_BUS_NAME "'";
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *message;
  int code;

  dbus_bus_add_match (bus->connection, keys_rule, &error);
  if (!dbus_error_is_set (&error))
    dbus_bus_add_match (bus->connection, owner_rule, &error);
  if (dbus_error_is_set (&error))
    return cmk_bus_fail_from (bus, &error);

  code = cmk_bus_check_owner (bus);
  if (code != CMK_EXIT_DONE)
    return code;

  on_ready ();
  do
    while ((message = dbus_connection_pop_message (bus->connection)) != NULL)
      {
        code = handle_message (bus, message, on_signal);
        dbus_message_unref (message);
        if (code != CMK_EXIT_DONE)
          return code;
      }
  while (dbus_connection_read_write (bus->connection, -1));

  return cmk_bus_fail (DBUS_ERROR_DISCONNECTED, NULL);
}
