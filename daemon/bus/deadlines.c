/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/deadlines.h"

struct _CmkDeadlines
{
  gint64 microseconds;
  void (*passed) (gpointer waiting);
  GQueue queue; /* CmkDeadline, earliest first */
  guint timer;  /* 0 = none */
};

CmkDeadlines *
cmk_deadlines_new (gint64 microseconds, void (*passed) (gpointer waiting))
{
  CmkDeadlines *deadlines = g_new0 (CmkDeadlines, 1);
  deadlines->microseconds = microseconds;
  deadlines->passed = passed;
  g_queue_init (&deadlines->queue);
  return deadlines;
}

void
cmk_deadlines_free (CmkDeadlines *deadlines)
{
  if (deadlines->timer != 0)
    g_source_remove (deadlines->timer);
  g_free (deadlines);
}

gboolean
cmk_deadline_has_passed (const CmkDeadline *deadline)
{
  return deadline->time <= g_get_monotonic_time ();
}

void
cmk_deadlines_stop (CmkDeadlines *deadlines, CmkDeadline *deadline)
{
  if (deadline->waiting == NULL)
    return;
  g_queue_unlink (&deadlines->queue, &deadline->link);
  deadline->waiting = NULL;
}

static void set_timer (CmkDeadlines *deadlines);

static gboolean
on_timer (gpointer data)
{
  CmkDeadlines *deadlines = data;
  for (CmkDeadline *next; (next = g_queue_peek_head (&deadlines->queue)) != NULL && cmk_deadline_has_passed (next);)
    {
      gpointer waiting = next->waiting;
      cmk_deadlines_stop (deadlines, next);
      deadlines->passed (waiting);
    }
  deadlines->timer = 0;
  set_timer (deadlines);
  return G_SOURCE_REMOVE;
}

static void
set_timer (CmkDeadlines *deadlines)
{
  const CmkDeadline *next = g_queue_peek_head (&deadlines->queue);
  if (next == NULL || deadlines->timer != 0)
    return;
  gint64 left = MAX (next->time - g_get_monotonic_time (), 0);
  deadlines->timer = g_timeout_add ((guint) (left / 1000) + 1, on_timer, deadlines);
}

void
cmk_deadlines_start (CmkDeadlines *deadlines, CmkDeadline *deadline, gpointer waiting)
{
  cmk_deadlines_stop (deadlines, deadline);
  deadline->time = g_get_monotonic_time () + deadlines->microseconds;
  deadline->waiting = waiting;
  deadline->link.data = deadline;
  g_queue_push_tail_link (&deadlines->queue, &deadline->link);
  set_timer (deadlines);
}
