/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/connect.h"

#include "bus/message-stream.h"

#include <string.h>
#include <unistd.h>

/* Of what a bus answers when we say who we are: "OK" and 32 digits, or "REJECTED" and what else there is. */
#define MAX_LINE_BYTES 256

/* Into @line, without its end. The bus says nothing before it is asked again, so there is nothing behind it. */
static gboolean
read_line (GInputStream *input, char line[static MAX_LINE_BYTES + 1], GError **error)
{
  gsize length = 0;
  while (length < MAX_LINE_BYTES)
    {
      gssize size = g_input_stream_read (input, line + length, MAX_LINE_BYTES - length, NULL, error);
      if (size < 0)
        return FALSE;
      if (size == 0)
        break;
      length += (gsize) size;
      line[length] = '\0';
      if (!g_str_has_suffix (line, "\r\n"))
        continue;
      line[length - 2] = '\0';
      return TRUE;
    }
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       "the bus has not answered as a D-Bus server does: see whether the address is that of a bus");
  return FALSE;
}

/* By EXTERNAL: the kernel tells the bus who we are. */
static gboolean
authenticate (GIOStream *socket, GError **error)
{
  g_autofree char *uid = g_strdup_printf ("%u", geteuid ());
  g_autoptr (GString) request = g_string_new ("AUTH EXTERNAL ");
  for (const char *digit = uid; *digit != '\0'; digit++)
    g_string_append_printf (request, "%02x", *digit);
  g_string_append (request, "\r\n");
  static const char begin[] = "BEGIN\r\n";
  GOutputStream *output = g_io_stream_get_output_stream (socket);
  char line[MAX_LINE_BYTES + 1];
  if (!g_output_stream_write_all (output, "", 1, NULL, NULL, error) ||
      !g_output_stream_write_all (output, request->str, request->len, NULL, NULL, error) ||
      !read_line (g_io_stream_get_input_stream (socket), line, error))
    return FALSE;
  if (g_str_has_prefix (line, "OK "))
    return g_output_stream_write_all (output, begin, strlen (begin), NULL, NULL, error);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
               "the bus does not let uid %s in: see what its configuration allows", uid);
  return FALSE;
}

GDBusConnection *
cmk_connect (const char *address, GError **error)
{
  g_autoptr (GIOStream) socket = g_dbus_address_get_stream_sync (address, NULL, NULL, error);
  if (socket == NULL || !authenticate (socket, error))
    return NULL;
  g_autoptr (GIOStream) messages = cmk_message_stream_new (socket);
  return g_dbus_connection_new_sync (messages, NULL, G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, error);
}
