/* SPDX-License-Identifier: Apache-2.0
 *
 * What a bus sends. The bus daemon has looked at it, but it is what its users have sent. */
#include "fuzz.h"

#include "bus/message-head.h"
#include "bus/message-stream.h"

int
LLVMFuzzerInitialize (G_GNUC_UNUSED int *argc, G_GNUC_UNUSED char ***argv)
{
  fuzz_be_quiet ();
  return 0;
}

/* Returns how many bytes of @buffer have come: less than @size at the end. */
static gsize
read_exactly (GPollableInputStream *input, guint8 *buffer, gsize size)
{
  gsize came = 0;
  while (came < size)
    {
      g_autoptr (GError) error = NULL;
      gssize more = g_pollable_input_stream_read_nonblocking (input, buffer + came, size - came, NULL, &error);
      if (more == 0 || (more < 0 && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)))
        break;
      came += (gsize) MAX (more, 0);
      g_main_context_iteration (NULL, FALSE); /* it says when it has caught up */
    }
  return came;
}

/* GDBus gets what the bus has sent, if it can read it, or a call that was cut and says so. */
static void
check_message (const guint8 *data, gsize data_size, const guint8 *bytes, gsize size)
{
  g_autoptr (GDBusMessage) message =
      g_dbus_message_new_from_blob ((guchar *) bytes, size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
  if (memmem (data, data_size, bytes, size) != NULL)
    {
      g_assert_nonnull (message);
      return;
    }
  if (message == NULL)
    return; /* a header that no bus sends */
  g_assert_true (g_dbus_message_get_header (message, CMK_HEADER_FIELD_TOO_LONG) != NULL ||
                 g_dbus_message_get_header (message, CMK_HEADER_FIELD_UNREADABLE) != NULL ||
                 g_dbus_message_get_header (message, CMK_HEADER_FIELD_TOO_MANY) != NULL);
  g_assert_null (g_dbus_message_get_body (message));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GInputStream) from = g_memory_input_stream_new_from_data (data, (gssize) size, NULL);
  g_autoptr (GOutputStream) to = g_memory_output_stream_new_resizable ();
  g_autoptr (GIOStream) socket = g_simple_io_stream_new (from, to);
  g_autoptr (GIOStream) stream = cmk_message_stream_new (socket);
  GPollableInputStream *input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (stream));
  static guint8 bytes[CMK_MAX_MESSAGE_BYTES];
  while (read_exactly (input, bytes, 16) == 16)
    {
      gssize whole = g_dbus_message_bytes_needed (bytes, 16, NULL);
      g_assert_cmpint (whole, >=, 16);
      g_assert_cmpint (whole, <=, CMK_MAX_MESSAGE_BYTES);
      if (read_exactly (input, bytes + 16, (gsize) whole - 16) < (gsize) whole - 16)
        break;
      check_message (data, size, bytes, (gsize) whole);
    }
  return 0;
}
