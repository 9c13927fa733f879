/* SPDX-License-Identifier: Apache-2.0
 *
 * The one place that tells the time: Unix seconds UTC, 64 bit. A call reads it once and decides everything by that.
 *
 * There are three times. What the wall clock shows may be wrong, in either direction, and may be put right again. The
 * confirmed time never goes back: it goes on with CLOCK_BOOTTIME, over restarts too, and follows a wall clock that is
 * ahead of it when the kernel says that it is synchronised, or when it has stood unchallenged for 12 hours of
 * running. The proven time follows the confirmed one; a leap of more than an hour, which is what the time that a
 * machine was off looks like as well, it follows when that has stood for another 24 hours of running: the machine's, of
 * which we need to have seen the beginning and the end. Use is refused by what is latest, material and tokens are
 * erased by confirmed time, and keys are deleted, which nothing can undo, by proven time. */
#pragma once

#include <glib.h>

#include "base/uuid.h"

/* The later of the wall clock and the confirmed time. Any thread; neither waits nor enters the kernel. */
gint64 cmk_clock_now (void);

/* Any thread; long before any date until cmk_clock_start(). */
gint64 cmk_clock_confirmed (void);
gint64 cmk_clock_proven (void);

/* The contract's ClockState: "ok", "behind" the confirmed time, "unconfirmed" (ahead of it). Static. Any thread. */
const char *cmk_clock_state (void);

/* A time that is ahead of the one that we go by, and for how long of running it was. Microseconds. */
typedef struct
{
  gint64 ahead; /* 0: none */
  gint64 stood;
} CmkClockClaim;

/* What must outlive the process. Microseconds. */
typedef struct
{
  CmkUuid boot_id;
  gint64 boottime; /* CLOCK_BOOTTIME of that boot, at which the rest was so */
  gint64 confirmed;
  gint64 proven;
  CmkClockClaim confirming;
  CmkClockClaim proving;
} CmkClockMark;

/* Go on from @mark; NULL: of a store that has none, only a wall clock that the kernel calls synchronised is believed at
 * once. The rest on the worker thread, as this. */
void cmk_clock_start (const CmkClockMark *mark);

/* Compare the clocks, and move on what is due to. TRUE if a time has leapt, which should be kept at once. */
gboolean cmk_clock_look (void);

void cmk_clock_get_mark (CmkClockMark *ret_mark);

/* In how many seconds to look again although nobody calls; 0: no need to. */
gint64 cmk_clock_next_look (void);
