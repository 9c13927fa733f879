/* SPDX-License-Identifier: Apache-2.0
 *
 * What waits, of several users: one of each user in turn is taken, in the order in which each user's came. Not locked. */
#pragma once

#include <glib.h>

typedef struct _CmkTurns CmkTurns;

CmkTurns *cmk_turns_new (void);

/* What is left in it is not freed. */
void cmk_turns_free (CmkTurns *turns);

void cmk_turns_add (CmkTurns *turns, guint32 uid, gpointer data);

/* Whose turn it is; NULL if nothing waits. */
gpointer cmk_turns_take (CmkTurns *turns);

gboolean cmk_turns_is_empty (CmkTurns *turns);
