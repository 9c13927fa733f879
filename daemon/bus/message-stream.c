/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/message-stream.h"

#include "bus/inbox.h"

#include <string.h>

/* The thread that reads sends the answers too: it has to come to that. */
#define MAX_READS  128
#define SKIP_BYTES (16 * 1024)

/* --- what comes --- */

typedef struct
{
  GFilterInputStream parent;

  guint8 prefix[CMK_MESSAGE_PREFIX_BYTES];
  gsize prefix_size;     /* that has come */
  CmkBusMessage *coming; /* NULL: its prefix is not there yet */
  gsize coming_size;
  gsize skipping;   /* before the next one */
  gboolean is_over; /* nothing comes any more */
  GError *failure;  /* why, if that was not the end of the stream */

  CmkInbox *inbox;

  CmkBusMessage *going; /* to GDBus; NULL: none */
  gsize gone_size;
} MessageInput;

typedef GFilterInputStreamClass MessageInputClass;

static void message_input_init_pollable (GPollableInputStreamInterface *interface);
static GType message_input_get_type (void);
G_DEFINE_TYPE_WITH_CODE (MessageInput, message_input, G_TYPE_FILTER_INPUT_STREAM,
                         G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, message_input_init_pollable))

static GPollableInputStream *
base_input (gpointer pollable)
{
  return G_POLLABLE_INPUT_STREAM (g_filter_input_stream_get_base_stream (pollable));
}

/* Of what is too long only the head of a call is of use. */
static gsize
size_of_use (const CmkMessageHead *head)
{
  if (head->size <= CMK_MAX_MESSAGE_BYTES)
    return head->size;
  return head->type == G_DBUS_MESSAGE_TYPE_METHOD_CALL && cmk_message_head_is_short (head) ? head->head_size : 0;
}

static void
finish_coming (MessageInput *input)
{
  CmkBusMessage *message = g_steal_pointer (&input->coming);
  input->prefix_size = 0;
  input->skipping = message->head.size - message->size;
  cmk_inbox_put (input->inbox, message);
}

static gboolean
begin_coming (MessageInput *input)
{
  CmkMessageHead head;
  if (!cmk_message_head_read (input->prefix, &head, &input->failure))
    return FALSE;
  gsize size = size_of_use (&head);
  if (size == 0)
    {
      input->prefix_size = 0;
      input->skipping = head.size - sizeof input->prefix;
      return TRUE;
    }
  input->coming = cmk_bus_message_new (&head, size);
  memcpy (input->coming->bytes, input->prefix, sizeof input->prefix);
  input->coming_size = sizeof input->prefix;
  return TRUE;
}

/* One piece of it, into @buffer: FALSE if there was none. */
static gboolean
read_piece (MessageInput *input, guint8 *buffer, gsize size, gsize *read)
{
  g_autoptr (GError) error = NULL;
  gssize piece = g_pollable_input_stream_read_nonblocking (base_input (input), buffer, size, NULL, &error);
  if (piece > 0)
    {
      *read = (gsize) piece;
      return TRUE;
    }
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return FALSE;
  input->is_over = TRUE;
  input->failure = g_steal_pointer (&error);
  return FALSE;
}

static gboolean
read_prefix (MessageInput *input)
{
  gsize read;
  if (!read_piece (input, input->prefix + input->prefix_size, sizeof input->prefix - input->prefix_size, &read))
    return FALSE;
  input->prefix_size += read;
  if (input->prefix_size < sizeof input->prefix)
    return TRUE;
  input->is_over = !begin_coming (input);
  return !input->is_over;
}

static gboolean
read_rest (MessageInput *input)
{
  gsize read;
  if (!read_piece (input, input->coming->bytes + input->coming_size, input->coming->size - input->coming_size, &read))
    return FALSE;
  input->coming_size += read;
  return TRUE;
}

static gboolean
skip (MessageInput *input)
{
  guint8 skipped[SKIP_BYTES];
  gsize read;
  if (!read_piece (input, skipped, MIN (input->skipping, sizeof skipped), &read))
    return FALSE;
  explicit_bzero (skipped, read);
  input->skipping -= read;
  return TRUE;
}

static gboolean
may_come (const MessageInput *input)
{
  return !input->is_over && !cmk_inbox_is_full (input->inbox);
}

/* What has come, to where it waits, or as much of it as is fair to do at once. */
static void
gather (MessageInput *input)
{
  gboolean has_come = TRUE;
  for (guint i = 0; i < MAX_READS && has_come && may_come (input); i++)
    {
      if (input->skipping > 0)
        has_come = skip (input);
      else if (input->coming == NULL)
        has_come = read_prefix (input);
      else
        has_come = read_rest (input);
      if (input->coming != NULL && input->coming_size == input->coming->size)
        finish_coming (input);
    }
}

/* --- to GDBus --- */

/* GDBus gives up the connection over a message that it cannot read, though the bus daemon may think it sound: it counts
 * the depth of types of which there is no value. */
static gboolean
is_readable_to_gdbus (CmkBusMessage *message)
{
  g_autoptr (GDBusMessage) read =
      g_dbus_message_new_from_blob (message->bytes, message->size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
  return read != NULL;
}

static gboolean
make_readable_to_gdbus (CmkBusMessage **message)
{
  return is_readable_to_gdbus (*message) ||
         (cmk_bus_message_cut_short (message, CMK_HEADER_FIELD_UNREADABLE) && is_readable_to_gdbus (*message));
}

static gboolean
begin_going (MessageInput *input)
{
  for (CmkBusMessage *message; (message = cmk_inbox_take (input->inbox)) != NULL;)
    {
      if (make_readable_to_gdbus (&message))
        {
          input->going = message;
          input->gone_size = 0;
          return TRUE;
        }
      cmk_bus_message_free (message);
      cmk_inbox_note_given (input->inbox);
    }
  return FALSE;
}

static gssize
explain_nothing (MessageInput *input, GError **error)
{
  if (!input->is_over || !cmk_inbox_is_empty (input->inbox))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "nothing is to be done yet");
      return -1;
    }
  if (input->failure == NULL)
    return 0;
  g_propagate_error (error, g_error_copy (input->failure));
  return -1;
}

static gssize
read_nonblocking (GPollableInputStream *pollable, void *buffer, gsize size, GError **error)
{
  MessageInput *input = (MessageInput *) pollable;
  if (input->going == NULL)
    {
      cmk_inbox_note_given (input->inbox); /* who asks for the next message has given the last one on */
      gather (input);
      if (!begin_going (input))
        return explain_nothing (input, error);
    }
  gsize given = MIN (size, input->going->size - input->gone_size);
  memcpy (buffer, input->going->bytes + input->gone_size, given);
  input->gone_size += given;
  if (input->gone_size == input->going->size)
    g_clear_pointer (&input->going, cmk_bus_message_free);
  return (gssize) given;
}

static gboolean
is_readable (GPollableInputStream *pollable)
{
  MessageInput *input = (MessageInput *) pollable;
  return input->going != NULL || cmk_inbox_is_ready (input->inbox) ||
         (may_come (input) && g_pollable_input_stream_is_readable (base_input (pollable)));
}

/* It is asked for after read_nonblocking() would have had to wait. */
static GSource *
create_input_source (GPollableInputStream *pollable, GCancellable *cancellable)
{
  const MessageInput *input = (const MessageInput *) pollable;
  g_autoptr (GSource) more =
      may_come (input) ? g_pollable_input_stream_create_source (base_input (pollable), NULL) : NULL;
  GSource *source = g_pollable_source_new_full (pollable, more, cancellable);
  if (!cmk_inbox_is_empty (input->inbox))
    {
      g_autoptr (GSource) turn = cmk_inbox_create_source (input->inbox);
      g_source_add_child_source (source, turn);
    }
  return source;
}

static void
message_input_init_pollable (GPollableInputStreamInterface *interface)
{
  interface->is_readable = is_readable;
  interface->create_source = create_input_source;
  interface->read_nonblocking = read_nonblocking;
}

static void
finalize_input (GObject *object)
{
  MessageInput *input = (MessageInput *) object;
  g_clear_pointer (&input->coming, cmk_bus_message_free);
  g_clear_pointer (&input->going, cmk_bus_message_free);
  cmk_inbox_free (input->inbox);
  g_clear_error (&input->failure);
  G_OBJECT_CLASS (message_input_parent_class)->finalize (object);
}

static void
message_input_class_init (MessageInputClass *class)
{
  G_OBJECT_CLASS (class)->finalize = finalize_input;
}

static void
message_input_init (MessageInput *input)
{
  input->inbox = cmk_inbox_new ();
}

/* --- what goes --- */

/* As it is. But a GSocketOutputStream GDBus takes for half of a GSocketConnection. */
typedef GFilterOutputStream MessageOutput;
typedef GFilterOutputStreamClass MessageOutputClass;

static void message_output_init_pollable (GPollableOutputStreamInterface *interface);
static GType message_output_get_type (void);
G_DEFINE_TYPE_WITH_CODE (MessageOutput, message_output, G_TYPE_FILTER_OUTPUT_STREAM,
                         G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_OUTPUT_STREAM, message_output_init_pollable))

static GPollableOutputStream *
base_output (gpointer pollable)
{
  return G_POLLABLE_OUTPUT_STREAM (g_filter_output_stream_get_base_stream (pollable));
}

static gssize
write_nonblocking (GPollableOutputStream *pollable, const void *buffer, gsize size, GError **error)
{
  return g_pollable_output_stream_write_nonblocking (base_output (pollable), buffer, size, NULL, error);
}

static gboolean
is_writable (GPollableOutputStream *pollable)
{
  return g_pollable_output_stream_is_writable (base_output (pollable));
}

static GSource *
create_output_source (GPollableOutputStream *pollable, GCancellable *cancellable)
{
  g_autoptr (GSource) base = g_pollable_output_stream_create_source (base_output (pollable), NULL);
  return g_pollable_source_new_full (pollable, base, cancellable);
}

static void
message_output_init_pollable (GPollableOutputStreamInterface *interface)
{
  interface->is_writable = is_writable;
  interface->create_source = create_output_source;
  interface->write_nonblocking = write_nonblocking;
}

static void
message_output_class_init (G_GNUC_UNUSED MessageOutputClass *class)
{
}

static void
message_output_init (G_GNUC_UNUSED MessageOutput *output)
{
}

/* --- both --- */

typedef struct
{
  GIOStream parent;
  GIOStream *socket;
  GInputStream *input;
  GOutputStream *output;
} MessageStream;

typedef GIOStreamClass MessageStreamClass;

static GType message_stream_get_type (void);
G_DEFINE_TYPE (MessageStream, message_stream, G_TYPE_IO_STREAM)

static GInputStream *
get_input_stream (GIOStream *stream)
{
  return ((MessageStream *) stream)->input;
}

static GOutputStream *
get_output_stream (GIOStream *stream)
{
  return ((MessageStream *) stream)->output;
}

static gboolean
close_socket (GIOStream *stream, GCancellable *cancellable, GError **error)
{
  return g_io_stream_close (((MessageStream *) stream)->socket, cancellable, error);
}

static void
finalize (GObject *object)
{
  MessageStream *stream = (MessageStream *) object;
  g_object_unref (stream->input);
  g_object_unref (stream->output);
  g_object_unref (stream->socket);
  G_OBJECT_CLASS (message_stream_parent_class)->finalize (object);
}

static void
message_stream_class_init (MessageStreamClass *class)
{
  G_OBJECT_CLASS (class)->finalize = finalize;
  class->get_input_stream = get_input_stream;
  class->get_output_stream = get_output_stream;
  class->close_fn = close_socket;
}

static void
message_stream_init (G_GNUC_UNUSED MessageStream *stream)
{
}

GIOStream *
cmk_message_stream_new (GIOStream *socket)
{
  MessageStream *stream = g_object_new (message_stream_get_type (), NULL);
  stream->socket = g_object_ref (socket);
  stream->input = g_object_new (message_input_get_type (), "base-stream", g_io_stream_get_input_stream (socket), NULL);
  stream->output =
      g_object_new (message_output_get_type (), "base-stream", g_io_stream_get_output_stream (socket), NULL);
  return (GIOStream *) stream;
}

guint
cmk_message_stream_count_calls (GIOStream *stream)
{
  return cmk_inbox_count_calls (((MessageInput *) ((MessageStream *) stream)->input)->inbox);
}
