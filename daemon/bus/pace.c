/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/pace.h"

/* Enough to keep both threads at work, and done in about a millisecond. */
#define MOST_STEPS 16

/* After all that a call makes the main loop do, turns included. */
#define CAUGHT_UP_PRIORITY (G_PRIORITY_DEFAULT + 2)

struct _CmkPace
{
  guint steps;             /* since the main loop had last caught up */
  GCancellable *caught_up; /* cancelled by the main loop when it has; NULL: it is not asked */
};

CmkPace *
cmk_pace_new (void)
{
  return g_new0 (CmkPace, 1);
}

void
cmk_pace_free (CmkPace *pace)
{
  g_clear_object (&pace->caught_up);
  g_free (pace);
}

static gboolean
on_caught_up (gpointer data)
{
  g_cancellable_cancel (data);
  return G_SOURCE_REMOVE;
}

gboolean
cmk_pace_may_go_on (CmkPace *pace)
{
  if (pace->steps < MOST_STEPS)
    return TRUE;
  if (pace->caught_up == NULL)
    {
      pace->caught_up = g_cancellable_new ();
      g_idle_add_full (CAUGHT_UP_PRIORITY, on_caught_up, g_object_ref (pace->caught_up), g_object_unref);
    }
  if (!g_cancellable_is_cancelled (pace->caught_up))
    return FALSE;
  g_clear_object (&pace->caught_up);
  pace->steps = 0;
  return TRUE;
}

void
cmk_pace_step (CmkPace *pace)
{
  pace->steps++;
}

GSource *
cmk_pace_create_source (CmkPace *pace)
{
  return g_cancellable_source_new (pace->caught_up);
}
