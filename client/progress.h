/* SPDX-License-Identifier: Apache-2.0
 *
 * How far something is that takes a while: on the terminal at standard error and nowhere else, once it has taken a second,
 * and gone again when it ends, by Ctrl-C too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How often what is shown grows old: who waits should wake up as often and call cmk_progress_update(). */
#define CMK_PROGRESS_INTERVAL_MS 250

typedef enum
{
  CMK_PROGRESS_TIME, /* nobody knows how far it is: show for how long it has taken */
  CMK_PROGRESS_ITEMS,
  CMK_PROGRESS_BYTES,
} CmkProgressUnit;

/* @what is being done, "encrypting", in units of which there are @total, 0 if that is not known. False if something that
 * this is a part of is shown already: then that stays, and this is not for the caller to update or end. */
bool cmk_progress_begin (const char *what, CmkProgressUnit unit, uint64_t total);

/* So much of it is done. */
void cmk_progress_update (uint64_t done);

/* Still the same is done, and time passes. */
void cmk_progress_wait (void);

/* Take it off the terminal, for a message; it comes back with the next update. */
void cmk_progress_hide (void);

void cmk_progress_end (void);
