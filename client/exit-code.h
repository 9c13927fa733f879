/* SPDX-License-Identifier: Apache-2.0
 *
 * How cmkctl ends. A function that returns int returns one of these, and has said why on stderr unless it is
 * CMK_EXIT_DONE: an error is reported once, where it is known best. */
#pragma once

enum
{
  CMK_EXIT_DONE = 0,
  CMK_EXIT_REFUSED = 1,     /* the daemon, or the system, says no */
  CMK_EXIT_USAGE = 2,       /* the command line makes no sense */
  CMK_EXIT_NO_SUCH_KEY = 3, /* unknown key or alias, or one that is somebody else's */
  CMK_EXIT_DENIED = 4,      /* no permission */
  CMK_EXIT_NOT_THERE = 5,   /* no bus, no daemon or no TPM */
  CMK_EXIT_NOT_KNOWN = 6,   /* verify-attestation: all fits together, but the attestation key is not known yet */
};

/* Print "cmkctl: " and the message to stderr as one line, control characters replaced (a message may come from another
 * process), and return @code. */
int cmk_fail (int code, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/* From now on keep the message of the last cmk_fail() as the owned text *@message instead of printing it; NULL: print
 * them again. */
void cmk_fail_keep (char **message);
