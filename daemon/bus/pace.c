/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/pace.h"

/* Enough to keep both threads at work, and done in about a millisecond. */
#define MOST_STEPS 16

/* After all that a call makes the main loop do, turns included. */
#define CAUGHT_UP_PRIORITY (G_PRIORITY_DEFAULT + 2)

struct _CmkPace
{
  GCancellable *is_running; /* cancelled by the main loop when it runs */
  guint steps;              /* since it had last caught up */
  GCancellable *caught_up;  /* cancelled by the main loop when it has; NULL: it is not asked */
};

static gboolean
cancel (gpointer data)
{
  g_cancellable_cancel (data);
  return G_SOURCE_REMOVE;
}

static GCancellable *
ask_main_loop (void)
{
  GCancellable *answer = g_cancellable_new ();
  g_idle_add_full (CAUGHT_UP_PRIORITY, cancel, g_object_ref (answer), g_object_unref);
  return answer;
}

CmkPace *
cmk_pace_new (void)
{
  CmkPace *pace = g_new0 (CmkPace, 1);
  pace->is_running = ask_main_loop ();
  return pace;
}

void
cmk_pace_free (CmkPace *pace)
{
  g_object_unref (pace->is_running);
  g_clear_object (&pace->caught_up);
  g_free (pace);
}

gboolean
cmk_pace_is_open (const CmkPace *pace)
{
  return pace->steps < MOST_STEPS || !g_cancellable_is_cancelled (pace->is_running) ||
         (pace->caught_up != NULL && g_cancellable_is_cancelled (pace->caught_up));
}

gboolean
cmk_pace_may_go_on (CmkPace *pace)
{
  if (!cmk_pace_is_open (pace))
    {
      if (pace->caught_up == NULL)
        pace->caught_up = ask_main_loop ();
      return FALSE;
    }
  if (pace->caught_up != NULL && g_cancellable_is_cancelled (pace->caught_up))
    {
      g_clear_object (&pace->caught_up);
      pace->steps = 0;
    }
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
