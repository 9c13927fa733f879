/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/message-stream.h"

#include <string.h>

/* The specification of D-Bus, "Message Protocol". */
#define HEADER_BYTES           16
#define BODY_LENGTH_AT         4
#define FIELDS_LENGTH_AT       12
#define MOST_BYTES_OF_FIELDS   (64 * 1024 * 1024)
#define MOST_BYTES_OF_MESSAGES (128 * 1024 * 1024)

/* A path of ours, names, and room for more. Who needs more for a call that is too long gets no answer. */
#define MAX_FIELDS_BYTES 4096

#define SKIP_BYTES (16 * 1024)

static gsize
align (gsize size, gsize to)
{
  return (size + to - 1) / to * to;
}

/* --- what comes --- */

typedef struct
{
  GFilterInputStream parent;
  guint8 *message; /* one, or as much of it as is looked at */
  gsize wanted;    /* of it, until it is known what to do next */
  gsize received;  /* of these */
  gsize ready;     /* of it, for the reader */
  gsize given;     /* of these */
  gsize skipping;  /* of it, after those */
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

static guint32
read_number (const guint8 *head, gsize at)
{
  guint32 number;
  memcpy (&number, head + at, sizeof number);
  return head[0] == 'l' ? GUINT32_FROM_LE (number) : GUINT32_FROM_BE (number);
}

/* Where the value of type @type at @at ends, 0: nowhere before @end. */
static gsize
end_of_value (const guint8 *head, gsize at, gsize end, char type)
{
  gsize number_end = align (at, sizeof (guint32)) + sizeof (guint32);
  if (type == 'g')
    return at < end && head[at] + 2u <= end - at ? at + head[at] + 2 : 0;
  if (strchr ("osu", type) == NULL || number_end > end)
    return 0;
  if (type == 'u')
    return number_end;
  guint32 length = read_number (head, number_end - sizeof (guint32));
  return length < end - number_end ? number_end + length + 1 : 0;
}

/* Makes a call of @head, to @end, that has no arguments any more; @mark is in the place of their signature. */
static gboolean
cut_arguments_off (guint8 *head, gsize end, GDBusMessageHeaderField mark)
{
  gboolean is_cut = FALSE;
  for (gsize at = HEADER_BYTES; at < end; at = align (at, 8))
    {
      /* Its code, then a variant, of which the signature is one letter in all that D-Bus defines. */
      guint8 *code = head + at;
      if (end - at < 4 || code[1] != 1 || code[2] == '\0' || code[3] != '\0')
        return FALSE;
      at = end_of_value (head, at + 4, end, (char) code[2]);
      if (at == 0)
        return FALSE;
      if (*code != G_DBUS_MESSAGE_HEADER_FIELD_SIGNATURE)
        continue;
      *code = (guint8) mark;
      is_cut = TRUE;
    }
  memset (head + BODY_LENGTH_AT, 0, sizeof (guint32));
  return is_cut; /* else it would look as if it had never had arguments */
}

typedef struct
{
  gsize head;  /* with its padding */
  gsize whole; /* with its body */
  gboolean is_call;
} Shape;

static gboolean
look_at_shape (const guint8 *message, Shape *ret_shape, GError **error)
{
  gsize body = read_number (message, BODY_LENGTH_AT), fields = read_number (message, FIELDS_LENGTH_AT);
  gsize head = HEADER_BYTES + align (fields, 8), whole = head + body;
  if ((message[0] != 'l' && message[0] != 'B') || fields > MOST_BYTES_OF_FIELDS || whole > MOST_BYTES_OF_MESSAGES)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "what the bus has sent is no message of D-Bus");
      return FALSE;
    }
  *ret_shape = (Shape) {
    .head = head,
    .whole = whole,
    .is_call = message[1] == G_DBUS_MESSAGE_TYPE_METHOD_CALL && fields > 0 && fields <= MAX_FIELDS_BYTES,
  };
  return TRUE;
}

/* GDBus gives up the connection over a message that it cannot read, though the bus daemon may think it sound: it counts the
 * depth of types of which there is no value. */
static gboolean
is_readable_to_gdbus (guint8 *message, gsize size)
{
  g_autoptr (GDBusMessage) read = g_dbus_message_new_from_blob (message, size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
  return read != NULL;
}

/* What the reader gets of the message: all, its head, or nothing. */
static gsize
judge (guint8 *message, const Shape *shape)
{
  gboolean is_too_long = shape->whole > CMK_MAX_MESSAGE_BYTES;
  if (!is_too_long && is_readable_to_gdbus (message, shape->whole))
    return shape->whole;
  GDBusMessageHeaderField mark = is_too_long ? CMK_HEADER_FIELD_TOO_LONG : CMK_HEADER_FIELD_UNREADABLE;
  return shape->is_call && cut_arguments_off (message, shape->head, mark) ? shape->head : 0;
}

/* What to do with the message, as far as it has come. */
static gboolean
look_at_message (MessageInput *input, GError **error)
{
  Shape shape;
  if (!look_at_shape (input->message, &shape, error))
    return FALSE;
  gsize wanted = shape.whole;
  if (shape.whole > CMK_MAX_MESSAGE_BYTES)
    wanted = shape.is_call ? shape.head : HEADER_BYTES;
  if (input->received < wanted)
    {
      input->wanted = wanted;
      return TRUE;
    }
  input->ready = judge (input->message, &shape);
  input->given = 0;
  input->skipping = shape.whole - input->received;
  input->received = 0;
  input->wanted = HEADER_BYTES;
  return TRUE;
}

static gssize
give_message (MessageInput *input, void *buffer, gsize size)
{
  gsize given = MIN (size, input->ready - input->given);
  memcpy (buffer, input->message + input->given, given);
  explicit_bzero (input->message + input->given, given);
  input->given += given;
  return (gssize) given;
}

/* They may be somebody's secret. */
static gssize
skip (MessageInput *input, GError **error)
{
  guint8 skipped[SKIP_BYTES];
  gssize size = g_pollable_input_stream_read_nonblocking (base_input (input), skipped,
                                                          MIN (input->skipping, sizeof skipped), NULL, error);
  explicit_bzero (skipped, sizeof skipped);
  input->skipping -= (gsize) MAX (size, 0);
  return size;
}

static gssize
receive (MessageInput *input, GError **error)
{
  gssize size = g_pollable_input_stream_read_nonblocking (base_input (input), input->message + input->received,
                                                          input->wanted - input->received, NULL, error);
  if (size <= 0)
    return size;
  input->received += (gsize) size;
  return input->received < input->wanted || look_at_message (input, error) ? size : -1;
}

static gssize
read_nonblocking (GPollableInputStream *pollable, void *buffer, gsize size, GError **error)
{
  MessageInput *input = (MessageInput *) pollable;
  gssize received = 1;
  while (received > 0)
    {
      if (input->given < input->ready)
        return give_message (input, buffer, size);
      if (input->skipping == 0)
        received = receive (input, error);
      else if ((received = skip (input, error)) > 0)
        {
          /* The thread that waits for us sends the answers too: it has to come to that. */
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "skipping what is too long");
          return -1;
        }
    }
  return received;
}

static gboolean
is_readable (GPollableInputStream *pollable)
{
  const MessageInput *input = (const MessageInput *) pollable;
  return input->given < input->ready || g_pollable_input_stream_is_readable (base_input (pollable));
}

/* It is asked for after read_nonblocking() would have had to wait: there is nothing ready here. */
static GSource *
create_input_source (GPollableInputStream *pollable, GCancellable *cancellable)
{
  g_autoptr (GSource) base = g_pollable_input_stream_create_source (base_input (pollable), NULL);
  return g_pollable_source_new_full (pollable, base, cancellable);
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
  g_free (((MessageInput *) object)->message);
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
  input->message = g_malloc (CMK_MAX_MESSAGE_BYTES);
  input->wanted = HEADER_BYTES;
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
