/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a message on the bus: the specification of D-Bus, "Message Protocol". Any thread. */
#pragma once

#include <gio/gio.h>

/* What says how long the rest is. */
#define CMK_MESSAGE_PREFIX_BYTES 16

/* The field that has taken the place of the signature in the header of a call whose arguments were cut off. The
 * specification of D-Bus knows none of them, so parsers pass over them. */
#define CMK_HEADER_FIELD_TOO_LONG   ((GDBusMessageHeaderField) 254)
#define CMK_HEADER_FIELD_UNREADABLE ((GDBusMessageHeaderField) 253)
#define CMK_HEADER_FIELD_TOO_MANY   ((GDBusMessageHeaderField) 252)

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

/* Whether there is no more in it than a path of ours, names, and room for more: a call with a longer one cannot be
 * cut. */
gboolean cmk_message_head_is_short (const CmkMessageHead *head);

/* The text of a field of the message, of which @bytes is at least the head; NULL if there is none that can be
 * understood. */
const char *cmk_message_head_find (const guint8 *bytes, const CmkMessageHead *head, GDBusMessageHeaderField code);

/* Makes a call of @bytes, of which only the head is needed, that has no arguments any more; @mark is in the place of
 * their signature. FALSE if it never had any, is too long or cannot be understood: then @bytes are of no use any
 * more. */
gboolean cmk_message_head_cut_arguments_off (guint8 *bytes, const CmkMessageHead *head, GDBusMessageHeaderField mark);
