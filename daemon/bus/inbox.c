/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/inbox.h"

#include "bus/pace.h"
#include "kms/turns.h"

#define MAX_BYTES (16 * 1024 * 1024)

struct _CmkInbox
{
  CmkPace *pace;
  CmkTurns *calls;    /* CmkBusMessage, by sender */
  gint n_calls;       /* atomic; these, and one that was taken but may not have been given */
  gboolean took_call; /* the last one */
  GQueue others;      /* CmkBusMessage */
  gsize size;         /* of all these */
  GHashTable *shares; /* sender -> gsize, of his calls */
};

/* --- a message --- */

CmkBusMessage *
cmk_bus_message_new (const CmkMessageHead *head, gsize size)
{
  CmkBusMessage *message = g_malloc (sizeof *message + size);
  *message = (CmkBusMessage) { .head = *head, .size = size };
  return message;
}

void
cmk_bus_message_free (CmkBusMessage *message)
{
  explicit_bzero (message->bytes, message->size);
  g_free (message);
}

static gboolean
is_call (const CmkBusMessage *message)
{
  return message->head.type == G_DBUS_MESSAGE_TYPE_METHOD_CALL;
}

gboolean
cmk_bus_message_cut_short (CmkBusMessage **message, GDBusMessageHeaderField mark)
{
  CmkBusMessage *whole = *message;
  gsize head_size = whole->head.head_size;
  if (!cmk_message_head_cut_arguments_off (whole->bytes, &whole->head, mark))
    return FALSE;
  explicit_bzero (whole->bytes + head_size, whole->size - head_size);
  whole->size = head_size;
  *message = g_realloc (whole, sizeof *whole + head_size);
  return TRUE;
}

/* The bus daemon lets everybody send us signals, but cmkd listens to broadcasts alone, and to the bus daemon. */
static gboolean
is_for_nobody (const CmkBusMessage *message)
{
  return message->head.type == G_DBUS_MESSAGE_TYPE_SIGNAL &&
         cmk_message_head_find (message->bytes, &message->head, G_DBUS_MESSAGE_HEADER_FIELD_DESTINATION) != NULL &&
         g_strcmp0 (cmk_message_head_find (message->bytes, &message->head, G_DBUS_MESSAGE_HEADER_FIELD_SENDER),
                    "org.freedesktop.DBus") != 0;
}

/* --- the inbox --- */

CmkInbox *
cmk_inbox_new (void)
{
  CmkInbox *inbox = g_new0 (CmkInbox, 1);
  inbox->pace = cmk_pace_new ();
  inbox->calls = cmk_turns_new ();
  g_queue_init (&inbox->others);
  inbox->shares = g_hash_table_new (NULL, NULL);
  return inbox;
}

static void
free_message (gpointer message)
{
  cmk_bus_message_free (message);
}

void
cmk_inbox_free (CmkInbox *inbox)
{
  g_queue_clear_full (&inbox->others, free_message);
  for (CmkBusMessage *message; (message = cmk_turns_take (inbox->calls)) != NULL;)
    cmk_bus_message_free (message);
  cmk_turns_free (inbox->calls);
  cmk_pace_free (inbox->pace);
  g_hash_table_unref (inbox->shares);
  g_free (inbox);
}

gboolean
cmk_inbox_is_full (const CmkInbox *inbox)
{
  return inbox->size >= MAX_BYTES;
}

gboolean
cmk_inbox_is_empty (const CmkInbox *inbox)
{
  return inbox->size == 0;
}

static gsize
share_of (const CmkInbox *inbox, guint32 sender)
{
  return GPOINTER_TO_SIZE (g_hash_table_lookup (inbox->shares, GUINT_TO_POINTER (sender)));
}

static void
set_share (const CmkInbox *inbox, guint32 sender, gsize size)
{
  if (size > 0)
    g_hash_table_insert (inbox->shares, GUINT_TO_POINTER (sender), GSIZE_TO_POINTER (size));
  else
    g_hash_table_remove (inbox->shares, GUINT_TO_POINTER (sender));
}

static gsize
weight (const CmkBusMessage *message)
{
  return sizeof *message + message->size;
}

static gboolean
wants_no_answer (const CmkBusMessage *message)
{
  return (message->head.flags & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED) != 0;
}

/* No sender gets more than is left for others. */
static gboolean
has_room (const CmkInbox *inbox, const CmkBusMessage *message)
{
  gsize left = MAX_BYTES - MIN (inbox->size, MAX_BYTES);
  return share_of (inbox, message->sender) + weight (message) <= left;
}

static void
let_wait (CmkInbox *inbox, CmkBusMessage *message)
{
  inbox->size += weight (message);
  if (!is_call (message))
    {
      g_queue_push_tail (&inbox->others, message);
      return;
    }
  set_share (inbox, message->sender, share_of (inbox, message->sender) + weight (message));
  cmk_turns_add (inbox->calls, message->sender, message);
  g_atomic_int_inc (&inbox->n_calls);
}

/* Cuts what is to be cut. FALSE: it is not for the main loop. */
static gboolean
look_over (const CmkInbox *inbox, CmkBusMessage **message)
{
  const CmkBusMessage *whole = *message;
  if (!is_call (whole))
    return !is_for_nobody (whole);
  const char *sender = cmk_message_head_find (whole->bytes, &whole->head, G_DBUS_MESSAGE_HEADER_FIELD_SENDER);
  (*message)->sender = sender != NULL ? g_str_hash (sender) : 0;
  if (wants_no_answer (whole) && !has_room (inbox, whole))
    return FALSE;
  if (whole->size < whole->head.size)
    return cmk_bus_message_cut_short (message, CMK_HEADER_FIELD_TOO_LONG);
  gboolean has_arguments = whole->head.size > whole->head.head_size;
  if (has_arguments && (wants_no_answer (whole) || !has_room (inbox, whole)))
    return cmk_bus_message_cut_short (message, CMK_HEADER_FIELD_TOO_MANY);
  return TRUE;
}

void
cmk_inbox_put (CmkInbox *inbox, CmkBusMessage *message)
{
  if (look_over (inbox, &message))
    let_wait (inbox, message);
  else
    cmk_bus_message_free (message);
}

CmkBusMessage *
cmk_inbox_take (CmkInbox *inbox)
{
  CmkBusMessage *message = g_queue_pop_head (&inbox->others);
  if (message == NULL && cmk_pace_may_go_on (inbox->pace) && (message = cmk_turns_take (inbox->calls)) != NULL)
    cmk_pace_step (inbox->pace);
  if (message == NULL)
    return NULL;
  inbox->size -= weight (message);
  inbox->took_call = is_call (message);
  if (inbox->took_call)
    set_share (inbox, message->sender, share_of (inbox, message->sender) - weight (message));
  return message;
}

gboolean
cmk_inbox_is_ready (const CmkInbox *inbox)
{
  return !g_queue_is_empty ((GQueue *) &inbox->others) ||
         (!cmk_turns_is_empty (inbox->calls) && cmk_pace_is_open (inbox->pace));
}

GSource *
cmk_inbox_create_source (CmkInbox *inbox)
{
  return cmk_pace_create_source (inbox->pace);
}

void
cmk_inbox_note_given (CmkInbox *inbox)
{
  if (inbox->took_call)
    g_atomic_int_add (&inbox->n_calls, -1);
  inbox->took_call = FALSE;
}

guint
cmk_inbox_count_calls (CmkInbox *inbox)
{
  return (guint) g_atomic_int_get (&inbox->n_calls);
}
