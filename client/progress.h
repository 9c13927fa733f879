/* SPDX-License-Identifier: Apache-2.0
 *
 * How far something is that takes a while: on the terminal at standard error and nowhere else, once it has taken a
 * second, and gone again when it ends, by Ctrl-C too. A thread shows it, so who does the work may block in whatever
 * takes so long. While somebody else asks for a secret on that terminal, its echo off, nothing is drawn and nothing
 * wiped. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum
{
  CMK_PROGRESS_TIME, /* nobody knows how far it is: show for how long it has taken */
  CMK_PROGRESS_ITEMS,
  CMK_PROGRESS_BYTES,
} CmkProgressUnit;

/* @what, as in "encrypting", is begun, in units of which there are @total, 0 if that is not known. False if something
 * that this is a part of is under way already: then that stays, and this is not for the caller to end. */
bool cmk_progress_begin (const char *what, CmkProgressUnit unit, uint64_t total);

/* So much of it is done. */
void cmk_progress_update (uint64_t done);

/* Take it off the terminal for a message, until the message is written. */
void cmk_progress_hide (void);
void cmk_progress_show (void);

void cmk_progress_end (void);
