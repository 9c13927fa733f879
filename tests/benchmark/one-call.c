/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of a command-line client: one empty call with libdbus.
 *
 *     one-call ADDRESS */
#include <dbus/dbus.h>
#include <stdlib.h>

#include "echo.h"

int
main (int argc, char **argv)
{
  if (argc != 2)
    return 2;
  DBusConnection *bus = dbus_connection_open_private (argv[1], NULL);
  if (bus == NULL || !dbus_bus_register (bus, NULL))
    return EXIT_FAILURE;
  DBusMessage *message = dbus_message_new_method_call (ECHO_NAME, ECHO_PATH, ECHO_NAME, "Empty");
  DBusMessage *answer = dbus_connection_send_with_reply_and_block (bus, message, -1, NULL);
  if (answer == NULL)
    return EXIT_FAILURE;
  dbus_message_unref (answer);
  dbus_message_unref (message);
  dbus_connection_close (bus);
  dbus_connection_unref (bus);
  return EXIT_SUCCESS;
}
