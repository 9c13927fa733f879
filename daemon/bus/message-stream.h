/* SPDX-License-Identifier: Apache-2.0
 *
 * What the bus sends, without what is too long or what GDBus cannot read, and each sender's calls in turn.
 *
 * GDBus makes objects of a whole message, a hundred times its size, before anybody can look at it, and the bus daemon
 * lets every user send 32 MiB; and it gives up the connection over a message that it cannot read. So these end here: of
 * a method call its header is left, for it to be answered; of anything else nothing.
 *
 * GDBus reads calls as fast as it can, and the main loop does them in the order in which they were read: somebody's
 * single call would wait for the hundreds that somebody else has sent before. So what comes waits here, until the main
 * loop is not far behind, and is given on by one call of each sender in turn. Answers and signals overtake calls:
 * others wait for them. */
#pragma once

#include <gio/gio.h>

/* A message on the bus: the longest call that can be right is ReEncrypt with a blob of CMKD_MAX_PLAINTEXT_BYTES (8.5
 * KiB of Base64) and two encryption contexts of CMKD_MAX_CONTEXT_BYTES each, which take 8 times that if they are all
 * names of two bytes without a value. */
#define CMK_MAX_MESSAGE_BYTES (160 * 1024)

/* On @socket, whose two streams are pollable, after authentication. */
GIOStream *cmk_message_stream_new (GIOStream *socket);

/* How many calls have come on @stream, one of these, that the main loop has not been given yet; one that was given
 * before the count was taken is behind everything that the main loop was given before. Any thread. */
guint cmk_message_stream_count_calls (GIOStream *stream);
