/* SPDX-License-Identifier: Apache-2.0
 *
 * What waits, of several users or senders: one of each in turn is taken, in the order in which each one's came. Not
 * locked. */
#pragma once

#include <glib.h>

typedef struct _CmkTurns CmkTurns;

CmkTurns *cmk_turns_new (void);

/* What is left in it is not freed. */
void cmk_turns_free (CmkTurns *turns);

/* @who: the uid, or whatever else tells them apart. */
void cmk_turns_add (CmkTurns *turns, guint32 who, gpointer data);

/* Whose turn it is; NULL if nothing waits. */
gpointer cmk_turns_take (CmkTurns *turns);

gboolean cmk_turns_is_empty (CmkTurns *turns);
