/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of the benchmark: a GDBus server that does nothing, on the bus where cmkd serves.
 *
 *     echo-server ADDRESS */
#include "echo.h"

#include <gio/gio.h>
#include <stdlib.h>

static const char introspection[] = "<node><interface name='" ECHO_NAME "'>"
                                    "<method name='Empty'/>"
                                    "<method name='EchoBytes'><arg type='ay'/><arg type='ay' direction='out'/></method>"
                                    "<method name='EchoText'><arg type='s'/><arg type='s' direction='out'/></method>"
                                    "<method name='EchoEncrypt'><arg type='s'/><arg type='s'/><arg type='a{sv}'/>"
                                    "<arg type='a{sv}' direction='out'/></method>"
                                    "</interface></node>";

/* The answer of Encrypt: the same fields, as long. */
static GVariant *
answer_as_encrypt (GVariant *arguments)
{
  const char *key, *plaintext;
  g_variant_get (arguments, "(&s&s@a{sv})", &key, &plaintext, NULL);
  GVariantDict answer;
  g_variant_dict_init (&answer, NULL);
  g_variant_dict_insert (&answer, "KeyId", "s", key);
  g_variant_dict_insert (&answer, "CiphertextBlob", "s", plaintext);
  g_variant_dict_insert (&answer, "RequestId", "s", key);
  return g_variant_new ("(@a{sv})", g_variant_dict_end (&answer));
}

static void
on_call (G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *sender, G_GNUC_UNUSED const char *path,
         G_GNUC_UNUSED const char *interface, const char *method, GVariant *arguments,
         GDBusMethodInvocation *invocation, G_GNUC_UNUSED gpointer data)
{
  gboolean as_encrypt = g_str_equal (method, "EchoEncrypt");
  g_dbus_method_invocation_return_value (invocation, as_encrypt ? answer_as_encrypt (arguments) : arguments);
}

static void
on_name_lost (G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *name, G_GNUC_UNUSED gpointer data)
{
  g_error ("the name " ECHO_NAME " is taken");
}

int
main (int argc, char **argv)
{
  if (argc != 2)
    return 2;
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusConnection) bus = g_dbus_connection_new_for_address_sync (
      argv[1], G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
      NULL, &error);
  if (bus == NULL)
    g_error ("%s", error->message);
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (introspection, &error);
  g_assert_no_error (error);
  const GDBusInterfaceVTable functions = { .method_call = on_call };
  if (g_dbus_connection_register_object (bus, ECHO_PATH, node->interfaces[0], &functions, NULL, NULL, &error) == 0)
    g_error ("%s", error->message);
  g_bus_own_name_on_connection (bus, ECHO_NAME, G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE, NULL, on_name_lost, NULL, NULL);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_main_loop_run (loop);
  return EXIT_SUCCESS;
}
