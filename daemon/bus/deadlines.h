/* SPDX-License-Identifier: Apache-2.0
 *
 * What is given up when nobody has got to it in time. All have the same time, so whatever began to wait first is given
 * up first, and one timer does for all. Main loop. */
#pragma once

#include <glib.h>

typedef struct _CmkDeadlines CmkDeadlines;

/* A member of what waits; all zero before the first time. */
typedef struct
{
  gpointer waiting; /* NULL while it does not */
  gint64 time;      /* monotonic */
  GList link;
} CmkDeadline;

/* @passed is called with what has waited for @microseconds, and does not any more. */
CmkDeadlines *cmk_deadlines_new (gint64 microseconds, void (*passed) (gpointer waiting));

/* What still waits is not freed. */
void cmk_deadlines_free (CmkDeadlines *deadlines);

/* @waiting, of which @deadline is a member, waits from now on; anew, if it does already. */
void cmk_deadlines_start (CmkDeadlines *deadlines, CmkDeadline *deadline, gpointer waiting);

/* It waits no longer, if it does. */
void cmk_deadlines_stop (CmkDeadlines *deadlines, CmkDeadline *deadline);

gboolean cmk_deadline_has_passed (const CmkDeadline *deadline);
