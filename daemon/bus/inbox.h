/* SPDX-License-Identifier: Apache-2.0
 *
 * What has come from the bus and waits for the main loop: calls, of which each sender's come in turn and no sender has
 * more room than is left for others, and what overtakes them, answers and signals. For the thread of GDBus, unless it
 * says otherwise. */
#pragma once

#include "bus/message-head.h"

typedef struct
{
  CmkMessageHead head;
  guint32 sender; /* of a call that waits */
  gsize size;
  guint8 bytes[]; /* all, or the head of a call that was cut short */
} CmkBusMessage;

/* With room for @size bytes. */
CmkBusMessage *cmk_bus_message_new (const CmkMessageHead *head, gsize size);

/* Wipes it: what is in it may be somebody's secret. */
void cmk_bus_message_free (CmkBusMessage *message);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkBusMessage, cmk_bus_message_free)

/* Leaves of a call what it takes to answer it, see cmk_message_head_cut_arguments_off(): FALSE if that is impossible,
 * and it is of no use any more. */
gboolean cmk_bus_message_cut_short (CmkBusMessage **message, GDBusMessageHeaderField mark);

typedef struct _CmkInbox CmkInbox;

CmkInbox *cmk_inbox_new (void);
void cmk_inbox_free (CmkInbox *inbox);

/* Takes over @message, or drops it: if it is for nobody, or cannot be cut. Of a call whose arguments were not all
 * received, that wants no answer, or for which its sender has no room left, only the head stays, which has no limit by
 * sender: the bus daemon has one of calls that wait for answers. One that wants none is dropped then. */
void cmk_inbox_put (CmkInbox *inbox, CmkBusMessage *message);

/* Whether there is so much in it that no more should come. */
gboolean cmk_inbox_is_full (const CmkInbox *inbox);
gboolean cmk_inbox_is_empty (const CmkInbox *inbox);

/* What is next; NULL: nothing until the main loop has done what it has. */
CmkBusMessage *cmk_inbox_take (CmkInbox *inbox);

/* Whether cmk_inbox_take() is worth a try. */
gboolean cmk_inbox_is_ready (const CmkInbox *inbox);

/* After cmk_inbox_take() had nothing though there is something: ready when it is worth another try. */
GSource *cmk_inbox_create_source (CmkInbox *inbox);

/* What was taken has been given to the main loop, or was dropped. */
void cmk_inbox_note_given (CmkInbox *inbox);

/* How many calls have come that were not given to the main loop; one that was in the meantime is behind all that it was
 * given before. Any thread. */
guint cmk_inbox_count_calls (CmkInbox *inbox);
