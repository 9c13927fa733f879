/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/pace.h"

/* Enough to keep both threads at work, and done in about a millisecond. */
#define MOST_STEPS 16

/* After all that a call makes the main loop do, turns included. */
#define CAUGHT_UP_PRIORITY (G_PRIORITY_DEFAULT + 2)

/* The main loop's. GCancellable would do, but for a source of its kind that GLib 2.74 leaks if it is destroyed while
 * the one who cancels is still at it. */
typedef struct
{
  gatomicrefcount references;
  GMutex mutex;
  gboolean is_given;
  GSource *waiter; /* NULL: nobody waits for it */
} Answer;

struct _CmkPace
{
  Answer *is_running; /* given when the main loop runs */
  guint steps;        /* since it had last caught up */
  Answer *caught_up;  /* given when it has; NULL: it is not asked */
};

static Answer *
keep (Answer *answer)
{
  g_atomic_ref_count_inc (&answer->references);
  return answer;
}

static void
release (gpointer data)
{
  Answer *answer = data;
  if (!g_atomic_ref_count_dec (&answer->references))
    return;
  g_mutex_clear (&answer->mutex);
  g_free (answer);
}

static gboolean
give (gpointer data)
{
  Answer *answer = data;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&answer->mutex);
  answer->is_given = TRUE;
  if (answer->waiter != NULL)
    g_source_set_ready_time (answer->waiter, 0);
  return G_SOURCE_REMOVE;
}

static Answer *
ask_main_loop (void)
{
  Answer *answer = g_new0 (Answer, 1);
  g_atomic_ref_count_init (&answer->references);
  g_mutex_init (&answer->mutex);
  g_idle_add_full (CAUGHT_UP_PRIORITY, give, keep (answer), release);
  return answer;
}

static gboolean
has (Answer *answer)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&answer->mutex);
  return answer->is_given;
}

/* --- */

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
  release (pace->is_running);
  g_clear_pointer (&pace->caught_up, release);
  g_free (pace);
}

gboolean
cmk_pace_is_open (const CmkPace *pace)
{
  return pace->steps < MOST_STEPS || !has (pace->is_running) || (pace->caught_up != NULL && has (pace->caught_up));
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
  if (pace->caught_up != NULL && has (pace->caught_up))
    {
      g_clear_pointer (&pace->caught_up, release);
      pace->steps = 0;
    }
  return TRUE;
}

void
cmk_pace_step (CmkPace *pace)
{
  pace->steps++;
}

/* --- waiting for it --- */

typedef struct
{
  GSource source;
  Answer *answer;
} Waiter;

static gboolean
dispatch_waiter (GSource *source, G_GNUC_UNUSED GSourceFunc callback, G_GNUC_UNUSED gpointer data)
{
  g_source_set_ready_time (source, -1);
  return G_SOURCE_CONTINUE;
}

static void
finalize_waiter (GSource *source)
{
  Answer *answer = ((Waiter *) source)->answer;
  g_mutex_lock (&answer->mutex);
  if (answer->waiter == source)
    answer->waiter = NULL;
  g_mutex_unlock (&answer->mutex);
  release (answer);
}

GSource *
cmk_pace_create_source (CmkPace *pace)
{
  static GSourceFuncs functions = { .dispatch = dispatch_waiter, .finalize = finalize_waiter };
  Waiter *waiter = (Waiter *) g_source_new (&functions, sizeof *waiter);
  waiter->answer = keep (pace->caught_up);
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&waiter->answer->mutex);
  waiter->answer->waiter = &waiter->source;
  if (waiter->answer->is_given)
    g_source_set_ready_time (&waiter->source, 0);
  return &waiter->source;
}
