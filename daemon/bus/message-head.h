/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a message on the bus: the specification of D-Bus, "Message Protocol". Any thread. */
#pragma once

#include <gio/gio.h>

/* What says how long the rest is. */
#define CMK_MESSAGE_PREFIX_BYTES 16

typedef struct
{
  GDBusMessageType type;
  GDBusMessageFlags flags;
  gsize head_size; /* with its padding */
  gsize size;      /* with its body */
} CmkMessageHead;

/* What @prefix begins with. */
gboolean cmk_message_head_read (const guint8 prefix[static CMK_MESSAGE_PREFIX_BYTES], CmkMessageHead *ret_head,
                                GError **error);

/* The text of a field of the message, of which @bytes is at least the head; NULL if there is none that can be understood. */
const char *cmk_message_head_find (const guint8 *bytes, const CmkMessageHead *head, GDBusMessageHeaderField code);

/* Makes a call of @bytes, of which only the head is needed, that has no arguments any more; @mark is in the place of their
 * signature. FALSE if it never had any or cannot be understood: then @bytes are of no use any more. */
gboolean cmk_message_head_cut_arguments_off (guint8 *bytes, const CmkMessageHead *head, GDBusMessageHeaderField mark);
