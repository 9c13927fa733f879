/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/message-stream.h"

#include "bus/message-head.h"

#include <sys/socket.h>

#define STEP 10000

typedef struct
{
  GSocket *bus;
  GIOStream *stream;
  GByteArray *came; /* as GDBus reads it */
} Fixture;

static GSocket *
take_socket (int fd)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new_from_fd (fd, &error);
  g_assert_no_error (error);
  return socket;
}

static void
connect_pair (Fixture *fixture)
{
  int pair[2];
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
  fixture->bus = take_socket (pair[0]);
  g_autoptr (GSocket) end = take_socket (pair[1]);
  g_autoptr (GSocketConnection) connection = g_socket_connection_factory_create_connection (end);
  fixture->stream = cmk_message_stream_new (G_IO_STREAM (connection));
  fixture->came = g_byte_array_new ();
}

static void
set_up (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  connect_pair (fixture);
  while (g_main_context_iteration (NULL, FALSE))
    continue; /* the main loop runs */
}

static void
tear_down (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  g_byte_array_unref (fixture->came);
  g_object_unref (fixture->stream);
  g_object_unref (fixture->bus);
}

/* What is given before the main loop has caught up. Why it came to an end: 0 if that is the end of the stream. */
static int
read_some (Fixture *fixture)
{
  GPollableInputStream *input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (fixture->stream));
  guint8 buffer[333];
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      gssize size = g_pollable_input_stream_read_nonblocking (input, buffer, sizeof buffer, NULL, &error);
      if (size == 0)
        return 0;
      if (size > 0)
        g_byte_array_append (fixture->came, buffer, (guint) size);
      else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return error->code;
      else if (!g_pollable_input_stream_is_readable (input))
        return G_IO_ERROR_WOULD_BLOCK;
    }
}

/* What is there now, with the main loop always free. */
static int
read_all (Fixture *fixture)
{
  int end;
  do
    end = read_some (fixture);
  while (end == G_IO_ERROR_WOULD_BLOCK && g_main_context_iteration (NULL, FALSE));
  return end;
}

/* In pieces of @step bytes, each of which is read before the next one. */
static void
pass (Fixture *fixture, const guint8 *bytes, gsize size, gsize step)
{
  for (gsize sent = 0; sent < size; sent += MIN (step, size - sent))
    {
      gsize piece = MIN (step, size - sent);
      g_assert_cmpint (g_socket_send (fixture->bus, (const char *) bytes + sent, piece, NULL, NULL), ==, piece);
      g_assert_cmpint (read_all (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
    }
}

/* A message of @size bytes. */
static guint8 *
make_message_of (const char *sender, GDBusMessageType type, GDBusMessageByteOrder order, gsize size)
{
  g_autoptr (GDBusMessage) message =
      g_dbus_message_new_method_call ("org.example.Name", "/", "org.example.I", "Method");
  g_dbus_message_set_message_type (message, type);
  if (type == G_DBUS_MESSAGE_TYPE_SIGNAL)
    g_dbus_message_set_destination (message, NULL); /* a broadcast */
  g_dbus_message_set_byte_order (message, order);
  g_dbus_message_set_serial (message, 7);
  g_dbus_message_set_sender (message, sender);
  g_dbus_message_set_reply_serial (message, 3);
  g_dbus_message_set_error_name (message, "org.example.E");
  g_dbus_message_set_body (message, g_variant_new ("(ay)", NULL));
  gsize empty_size;
  g_autofree guint8 *empty = g_dbus_message_to_blob (message, &empty_size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
  g_assert_cmpuint (size, >=, empty_size);
  guint32 lengths[] = { (guint32) (size - empty_size), (guint32) (size - empty_size + 4) };
  for (guint i = 0; i < 2; i++)
    lengths[i] =
        order == G_DBUS_MESSAGE_BYTE_ORDER_BIG_ENDIAN ? GUINT32_TO_BE (lengths[i]) : GUINT32_TO_LE (lengths[i]);
  guint8 *bytes = g_malloc0 (size);
  memcpy (bytes, empty, empty_size);
  memcpy (bytes + empty_size - 4, &lengths[0], 4);
  memcpy (bytes + 4, &lengths[1], 4);
  return bytes;
}

static guint8 *
make_message (GDBusMessageType type, GDBusMessageByteOrder order, gsize size)
{
  return make_message_of (":1.1", type, order, size);
}

static void
assert_came (Fixture *fixture, const guint8 *bytes, gsize size)
{
  g_assert_cmpmem (fixture->came->data, fixture->came->len, bytes, size);
  g_byte_array_set_size (fixture->came, 0);
}

static const GDBusMessageByteOrder orders[] = { G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN,
                                                G_DBUS_MESSAGE_BYTE_ORDER_BIG_ENDIAN };

/* --- */

static void
short_messages_pass_unchanged (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  for (GDBusMessageType type = G_DBUS_MESSAGE_TYPE_METHOD_CALL; type <= G_DBUS_MESSAGE_TYPE_SIGNAL; type++)
    {
      g_autoptr (GByteArray) all = g_byte_array_new ();
      for (guint i = 0; i < 100; i++)
        {
          gsize size = 200 + 7 * i;
          g_autofree guint8 *bytes = make_message (type, orders[i % 2], size);
          g_byte_array_append (all, bytes, (guint) size);
        }
      pass (fixture, all->data, all->len, all->len);
      assert_came (fixture, all->data, all->len);
      pass (fixture, all->data, all->len, 1);
      assert_came (fixture, all->data, all->len);
    }
}

/* --- whose turn it is --- */

static void
send_message (Fixture *fixture, const char *sender, GDBusMessageType type)
{
  const gsize size = 300;
  g_autofree guint8 *bytes = make_message_of (sender, type, orders[0], size);
  g_assert_cmpint (g_socket_send (fixture->bus, (const char *) bytes, size, NULL, NULL), ==, size);
}

static void
send_calls (Fixture *fixture, const char *sender, guint n_calls)
{
  for (guint i = 0; i < n_calls; i++)
    send_message (fixture, sender, G_DBUS_MESSAGE_TYPE_METHOD_CALL);
}

/* The senders of what came, in order: "aab"; of what is no call, in capitals. */
static char *
take_senders (Fixture *fixture)
{
  GString *senders = g_string_new (NULL);
  for (gsize size; fixture->came->len > 0; g_byte_array_remove_range (fixture->came, 0, (guint) size))
    {
      size = (gsize) g_dbus_message_bytes_needed (fixture->came->data, fixture->came->len, NULL);
      g_autoptr (GDBusMessage) message =
          g_dbus_message_new_from_blob (fixture->came->data, size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
      g_assert_nonnull (message);
      char sender = g_dbus_message_get_sender (message)[3];
      gboolean is_call = g_dbus_message_get_message_type (message) == G_DBUS_MESSAGE_TYPE_METHOD_CALL;
      g_string_append_c (senders, is_call ? sender : g_ascii_toupper (sender));
    }
  return g_string_free (senders, FALSE);
}

static void
assert_senders (Fixture *fixture, const char *senders)
{
  g_autofree char *came = take_senders (fixture);
  g_assert_cmpstr (came, ==, senders);
}

static void
each_sender_has_its_turn (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  send_calls (fixture, ":1.a", 30);
  send_calls (fixture, ":1.b", 1);
  send_calls (fixture, ":1.c", 1);
  send_calls (fixture, ":1.b", 1);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "abcabaaaaaaaaaaa");
  g_assert_cmpint (read_all (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "aaaaaaaaaaaaaaaaa");
}

static void
a_call_overtakes_what_the_main_loop_has_not_got (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  send_calls (fixture, ":1.a", 100);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "aaaaaaaaaaaaaaaa");
  g_assert_cmpuint (cmk_message_stream_count_calls (fixture->stream), ==, 84);
  send_calls (fixture, ":1.b", 1);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "");
  g_assert_true (g_main_context_iteration (NULL, FALSE));
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "abaaaaaaaaaaaaaa");
  g_assert_cmpint (read_all (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpuint (cmk_message_stream_count_calls (fixture->stream), ==, 0);
}

static void
answers_and_news_wait_for_no_call (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  send_calls (fixture, ":1.a", 100);
  send_message (fixture, ":1.b", G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
  send_message (fixture, ":1.c", G_DBUS_MESSAGE_TYPE_SIGNAL);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  g_autofree char *senders = take_senders (fixture);
  g_assert_nonnull (strstr (senders, "BC"));
  send_message (fixture, ":1.d", G_DBUS_MESSAGE_TYPE_ERROR);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "D");
}

static gboolean
count (G_GNUC_UNUSED GObject *stream, gpointer data)
{
  (*(guint *) data)++;
  return G_SOURCE_CONTINUE;
}

/* As GDBus waits for it. */
static void
the_source_wakes_when_the_main_loop_has_caught_up (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  send_calls (fixture, ":1.a", 17);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "aaaaaaaaaaaaaaaa");
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = g_pollable_input_stream_create_source (
      G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (fixture->stream)), NULL);
  guint woken = 0;
  g_source_set_callback (source, G_SOURCE_FUNC (count), &woken, NULL);
  g_source_attach (source, context);
  g_assert_false (g_main_context_iteration (context, FALSE));
  g_assert_true (g_main_context_iteration (NULL, FALSE));
  g_assert_true (g_main_context_iteration (context, FALSE));
  g_assert_cmpuint (woken, ==, 1);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "a");
  g_source_destroy (source);
}

static void
what_came_before_the_end_is_not_lost (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  send_calls (fixture, ":1.a", 20);
  g_assert_true (g_socket_close (fixture->bus, NULL));
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpint (read_all (fixture), ==, 0);
  assert_senders (fixture, "aaaaaaaaaaaaaaaaaaaa");
}

/* Those of @sender are full, and come while the main loop has enough to do. */
static void
send_full (Fixture *fixture, const char *sender, guint n_messages)
{
  g_autofree guint8 *bytes =
      make_message_of (sender, G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], CMK_MAX_MESSAGE_BYTES);
  for (guint i = 0; i < n_messages; i++)
    for (gsize sent = 0; sent < CMK_MAX_MESSAGE_BYTES; sent += MIN (STEP, CMK_MAX_MESSAGE_BYTES - sent))
      {
        gsize piece = MIN (STEP, CMK_MAX_MESSAGE_BYTES - sent);
        g_assert_cmpint (g_socket_send (fixture->bus, (const char *) bytes + sent, piece, NULL, NULL), ==, piece);
        g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
      }
}

/* How many have come of @sender with all they had; of the others only the head, which says why. */
static guint
count_full (const Fixture *fixture, const char *sender)
{
  guint n_full = 0;
  for (gsize at = 0, size; at < fixture->came->len; at += size)
    {
      guint8 *bytes = fixture->came->data + at;
      size = (gsize) g_dbus_message_bytes_needed (bytes, fixture->came->len - at, NULL);
      g_autoptr (GDBusMessage) message = g_dbus_message_new_from_blob (bytes, size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
      if (g_dbus_message_get_body (message) == NULL)
        g_assert_nonnull (g_dbus_message_get_header (message, CMK_HEADER_FIELD_TOO_MANY));
      else
        n_full += g_str_equal (g_dbus_message_get_sender (message), sender);
    }
  return n_full;
}

static void
no_sender_takes_the_room_of_others (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  const guint given = 16, all = 16 * 1024 * 1024 / CMK_MAX_MESSAGE_BYTES;
  send_full (fixture, ":1.a", 200);
  send_full (fixture, ":1.b", 200);
  send_full (fixture, ":1.c", 1);
  g_assert_cmpuint (count_full (fixture, ":1.a"), ==, given);
  g_assert_cmpint (read_all (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpuint (count_full (fixture, ":1.a"), <=, given + all / 2 + 1);
  g_assert_cmpuint (count_full (fixture, ":1.a"), >=, given + all / 2 - 1);
  g_assert_cmpuint (count_full (fixture, ":1.b"), <=, all / 4 + 1);
  g_assert_cmpuint (count_full (fixture, ":1.b"), >=, all / 4 - 1);
  g_assert_cmpuint (count_full (fixture, ":1.c"), ==, 1);
}

static void
what_wants_no_answer_takes_no_room (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  g_autofree guint8 *bytes = make_message (G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], 5000);
  bytes[2] |= G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED;
  pass (fixture, bytes, 5000, 5000);
  g_assert_cmpuint (fixture->came->len, <, 500);
  g_assert_cmpuint (count_full (fixture, ":1.1"), ==, 0);
}

static void
what_wants_no_answer_does_not_fill_it (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  const guint n_calls = 80000;
  const gsize size = 300;
  g_autofree guint8 *bytes = make_message_of (":1.a", G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], size);
  bytes[2] |= G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED;
  for (guint i = 0; i < n_calls; i++)
    {
      g_assert_cmpint (g_socket_send (fixture->bus, (const char *) bytes, size, NULL, NULL), ==, size);
      g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
    }
  guint n_waiting = cmk_message_stream_count_calls (fixture->stream);
  g_assert_cmpuint (n_waiting, <, n_calls / 3 * 2);
  send_calls (fixture, ":1.b", 1);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  g_assert_cmpuint (cmk_message_stream_count_calls (fixture->stream), ==, n_waiting + 1);
}

static void
signals_to_us_are_the_bus_daemons (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  const gsize size = 400;
  g_autofree guint8 *ours = make_message_of ("org.freedesktop.DBus", G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], size);
  g_autofree guint8 *somebodys = make_message_of (":1.a", G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], size);
  ours[1] = somebodys[1] = G_DBUS_MESSAGE_TYPE_SIGNAL; /* with a destination */
  pass (fixture, somebodys, size, size);
  assert_came (fixture, NULL, 0);
  pass (fixture, ours, size, size);
  assert_came (fixture, ours, size);
}

/* Whoever waits for an answer of the bus before the main loop runs. */
static void
before_the_main_loop_runs_nothing_waits (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  tear_down (fixture, NULL);
  connect_pair (fixture);
  send_full (fixture, ":1.a", 200);
  g_assert_cmpuint (count_full (fixture, ":1.a"), ==, 200);
  g_byte_array_set_size (fixture->came, 0);
  while (g_main_context_iteration (NULL, FALSE))
    continue;
  send_calls (fixture, ":1.b", 20);
  g_assert_cmpint (read_some (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "");
  g_assert_cmpint (read_all (fixture), ==, G_IO_ERROR_WOULD_BLOCK);
  assert_senders (fixture, "bbbbbbbbbbbbbbbbbbbb");
}

static void
the_longest_passes (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  g_autofree guint8 *bytes = make_message (G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], CMK_MAX_MESSAGE_BYTES);
  pass (fixture, bytes, CMK_MAX_MESSAGE_BYTES, STEP);
  assert_came (fixture, bytes, CMK_MAX_MESSAGE_BYTES);
}

static void
assert_cut (const GByteArray *came, GDBusMessageByteOrder order, GDBusMessageHeaderField mark, const char *signature)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusMessage) message =
      g_dbus_message_new_from_blob (came->data, came->len, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_dbus_message_get_byte_order (message), ==, order);
  g_assert_cmpuint (g_dbus_message_get_serial (message), ==, 7);
  g_assert_cmpstr (g_dbus_message_get_sender (message), ==, ":1.1");
  g_assert_cmpstr (g_dbus_message_get_member (message), ==, "Method");
  g_assert_null (g_dbus_message_get_body (message));
  GVariant *cut = g_dbus_message_get_header (message, mark);
  g_assert_nonnull (cut);
  g_assert_cmpstr (g_variant_get_string (cut, NULL), ==, signature);
}

static void
long_calls_lose_their_arguments (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  const gsize size = CMK_MAX_MESSAGE_BYTES + 1, begin = 500;
  for (guint i = 0; i < G_N_ELEMENTS (orders); i++)
    {
      g_autofree guint8 *bytes = make_message (G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[i], size);
      g_autofree guint8 *next = make_message (G_DBUS_MESSAGE_TYPE_SIGNAL, orders[i], 300);
      pass (fixture, bytes, begin, 1);
      pass (fixture, bytes + begin, size - begin, STEP);
      assert_cut (fixture->came, orders[i], CMK_HEADER_FIELD_TOO_LONG, "ay");
      g_byte_array_set_size (fixture->came, 0);
      pass (fixture, next, 300, 300);
      assert_came (fixture, next, 300);
    }
}

/* 50 variants in each other, and in the last an array of arrays that is empty: sound to the bus daemon, for there is no
 * value that deep. */
static GByteArray *
make_deep_message (GDBusMessageType type)
{
  static const guint8 variant[] = { 1, 'v', 0 },
                      arrays[] = "\x15"
                                 "aaaaaaaaaaaaaaaaaaaay",
                      no_elements[4] = { 0 };
  g_autofree guint8 *shallow = make_message (type, orders[0], 400);
  guint32 fields;
  memcpy (&fields, shallow + 12, sizeof fields);
  gsize head = 16 + (GUINT32_FROM_LE (fields) + 7) / 8 * 8;
  guint8 *signature = memmem (shallow, head, "\2ay", 4);
  g_assert_nonnull (signature);
  memcpy (signature, "\2vy", 3);
  GByteArray *deep = g_byte_array_new ();
  g_byte_array_append (deep, shallow, (guint) head);
  for (guint i = 0; i < 49; i++)
    g_byte_array_append (deep, variant, sizeof variant);
  g_byte_array_append (deep, arrays, sizeof arrays);
  g_byte_array_append (deep, no_elements, (guint) ((head - deep->len) % 4));
  g_byte_array_append (deep, no_elements, 4);
  g_byte_array_append (deep, (const guint8 *) "y", 1);
  guint32 body = GUINT32_TO_LE ((guint32) (deep->len - head));
  memcpy (deep->data + 4, &body, sizeof body);
  return deep;
}

static void
what_gdbus_cannot_read_does_not_reach_it (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  g_autofree guint8 *next = make_message (G_DBUS_MESSAGE_TYPE_SIGNAL, orders[0], 300);
  for (GDBusMessageType type = G_DBUS_MESSAGE_TYPE_METHOD_CALL; type <= G_DBUS_MESSAGE_TYPE_SIGNAL; type++)
    {
      g_autoptr (GByteArray) deep = make_deep_message (type);
      g_assert_null (g_dbus_message_new_from_blob (deep->data, deep->len, G_DBUS_CAPABILITY_FLAGS_NONE, NULL));
      pass (fixture, deep->data, deep->len, 1);
      if (type == G_DBUS_MESSAGE_TYPE_METHOD_CALL)
        {
          assert_cut (fixture->came, orders[0], CMK_HEADER_FIELD_UNREADABLE, "vy");
          g_assert_cmpuint (cmk_message_stream_count_calls (fixture->stream), ==, 0);
          g_byte_array_set_size (fixture->came, 0);
        }
      pass (fixture, next, 300, 300);
      assert_came (fixture, next, 300);
    }
}

static void
other_long_messages_are_dropped (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  for (GDBusMessageType type = G_DBUS_MESSAGE_TYPE_METHOD_RETURN; type <= G_DBUS_MESSAGE_TYPE_SIGNAL; type++)
    {
      g_autofree guint8 *bytes = make_message (type, orders[0], 2 * CMK_MAX_MESSAGE_BYTES);
      g_autofree guint8 *next = make_message (type, orders[0], 300);
      pass (fixture, bytes, 2 * CMK_MAX_MESSAGE_BYTES, STEP);
      pass (fixture, next, 300, 300);
      assert_came (fixture, next, 300);
    }
}

/* Changes of a call that is too long, after which it cannot be answered. */
static const struct
{
  const char *name;
  guint at;
  guint8 value;
} oddities[] = {
  { "fields that are too many", 13, 0x20 }, { "no fields", 12, 0 },
  { "a signature of two types", 17, 2 },    { "a type that no field has", 18, 'x' },
  { "a type of another size", 18, 'g' },    { "text that goes on after the end", 21, 1 },
};

static void
calls_that_cannot_be_understood_are_dropped (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  g_autofree guint8 *next = make_message (G_DBUS_MESSAGE_TYPE_SIGNAL, orders[0], 300);
  for (guint i = 0; i < G_N_ELEMENTS (oddities); i++)
    {
      g_test_message ("%s", oddities[i].name);
      g_autofree guint8 *bytes = make_message (G_DBUS_MESSAGE_TYPE_METHOD_CALL, orders[0], 2 * CMK_MAX_MESSAGE_BYTES);
      bytes[oddities[i].at] = oddities[i].value;
      guint32 body, fields;
      memcpy (&body, bytes + 4, sizeof body);
      memcpy (&fields, bytes + 12, sizeof fields);
      gsize size = 16 + (GUINT32_FROM_LE (fields) + 7) / 8 * 8 + GUINT32_FROM_LE (body);
      g_autofree guint8 *whole = g_malloc0 (size);
      memcpy (whole, bytes, MIN (size, 2 * CMK_MAX_MESSAGE_BYTES));
      pass (fixture, whole, size, STEP);
      pass (fixture, next, 300, 300);
      assert_came (fixture, next, 300);
    }
}

static void
what_is_no_message_is_an_error (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  static const char *const headers[] = { "x\1\0\1\0\0\0\0\1\0\0\0\0\0\0\0", "l\1\0\1\0\0\0\0\1\0\0\0\1\0\0\4",
                                         "B\1\0\1\x8\0\0\0\0\0\0\1\0\0\0\0",
                                         "l\1\0\1\xff\xff\xff\xff\1\0\0\0\0\0\0\0" };
  for (guint i = 0; i < G_N_ELEMENTS (headers); i++)
    {
      g_assert_cmpint (g_socket_send (fixture->bus, headers[i], 16, NULL, NULL), ==, 16);
      g_assert_cmpint (read_all (fixture), ==, G_IO_ERROR_INVALID_DATA);
      tear_down (fixture, NULL);
      set_up (fixture, NULL);
    }
}

static void
the_end_is_seen (Fixture *fixture, G_GNUC_UNUSED gconstpointer data)
{
  g_autofree guint8 *bytes = make_message (G_DBUS_MESSAGE_TYPE_SIGNAL, orders[0], 2 * CMK_MAX_MESSAGE_BYTES);
  pass (fixture, bytes, 300, 300);
  g_assert_true (g_socket_close (fixture->bus, NULL));
  g_assert_cmpint (read_all (fixture), ==, 0);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *, gconstpointer);
  } cases[] = {
    { "/message-stream/short-messages-pass-unchanged", short_messages_pass_unchanged },
    { "/message-stream/each-sender-has-its-turn", each_sender_has_its_turn },
    { "/message-stream/a-call-overtakes-what-the-main-loop-has-not-got",
      a_call_overtakes_what_the_main_loop_has_not_got },
    { "/message-stream/answers-and-news-wait-for-no-call", answers_and_news_wait_for_no_call },
    { "/message-stream/the-source-wakes-when-the-main-loop-has-caught-up",
      the_source_wakes_when_the_main_loop_has_caught_up },
    { "/message-stream/what-came-before-the-end-is-not-lost", what_came_before_the_end_is_not_lost },
    { "/message-stream/no-sender-takes-the-room-of-others", no_sender_takes_the_room_of_others },
    { "/message-stream/what-wants-no-answer-takes-no-room", what_wants_no_answer_takes_no_room },
    { "/message-stream/what-wants-no-answer-does-not-fill-it", what_wants_no_answer_does_not_fill_it },
    { "/message-stream/signals-to-us-are-the-bus-daemons", signals_to_us_are_the_bus_daemons },
    { "/message-stream/before-the-main-loop-runs-nothing-waits", before_the_main_loop_runs_nothing_waits },
    { "/message-stream/the-longest-passes", the_longest_passes },
    { "/message-stream/long-calls-lose-their-arguments", long_calls_lose_their_arguments },
    { "/message-stream/other-long-messages-are-dropped", other_long_messages_are_dropped },
    { "/message-stream/what-gdbus-cannot-read-does-not-reach-it", what_gdbus_cannot_read_does_not_reach_it },
    { "/message-stream/calls-that-cannot-be-understood-are-dropped", calls_that_cannot_be_understood_are_dropped },
    { "/message-stream/what-is-no-message-is-an-error", what_is_no_message_is_an_error },
    { "/message-stream/the-end-is-seen", the_end_is_seen },
  };
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_test_add (cases[i].path, Fixture, NULL, set_up, cases[i].test, tear_down);
  return g_test_run ();
}
