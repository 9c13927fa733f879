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
                                    "<method name='EchoUse'><arg type='s'/><arg type='s'/><arg type='s'/>"
                                    "<arg type='s'/><arg type='a{sv}'/><arg type='u'/>"
                                    "<arg type='a{sv}' direction='out'/></method>"
                                    "</interface></node>";

static GVariant *
answer (const char *key, const char *name, const char *value)
{
  GVariantDict fields;
  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "KeyId", "s", key);
  g_variant_dict_insert (&fields, name, "s", value);
  g_variant_dict_insert (&fields, "RequestId", "s", key);
  return g_variant_new ("(@a{sv})", g_variant_dict_end (&fields));
}

/* The answer of Encrypt: the same fields, as long. */
static GVariant *
answer_as_encrypt (GVariant *arguments)
{
  const char *key, *plaintext;
  g_variant_get (arguments, "(&s&s@a{sv})", &key, &plaintext, NULL);
  return answer (key, "CiphertextBlob", plaintext);
}

/* The answer of any other use of a key: key, message, algorithm and what comes with them; the last argument is how
 * long a text it is to answer. */
static GVariant *
answer_as_use (GVariant *arguments)
{
  const char *key;
  guint32 size;
  g_variant_get_child (arguments, 0, "&s", &key);
  g_variant_get_child (arguments, 5, "u", &size);
  g_autofree char *text = g_strnfill (size, 'A');
  return answer (key, "Signature", text);
}

static void
on_call (G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *sender, G_GNUC_UNUSED const char *path,
         G_GNUC_UNUSED const char *interface, const char *method, GVariant *arguments,
         GDBusMethodInvocation *invocation, G_GNUC_UNUSED gpointer data)
{
  GVariant *value = g_str_equal (method, "EchoEncrypt") ? answer_as_encrypt (arguments)
                    : g_str_equal (method, "EchoUse")   ? answer_as_use (arguments)
                                                        : arguments;
  g_dbus_method_invocation_return_value (invocation, value);
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
