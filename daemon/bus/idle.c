/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/idle.h"

/* What comes due so soon is waited for: to be started again for it would cost more. */
#define SOON_SECONDS 300

struct _CmkIdle
{
  CmkCalls *calls;
  CmkKms *kms;
  gint64 timeout; /* microseconds */
  guint timer;
  void (*found) (gpointer);
  gpointer user_data;
};

static gboolean on_timer (gpointer data);

static void
look_again (CmkIdle *idle, gint64 microseconds)
{
  idle->timer = g_timeout_add ((guint) (microseconds / 1000) + 1, on_timer, idle);
}

/* Calls only leave the time behind, which costs them nothing; the timer goes after it. */
static gboolean
on_timer (gpointer data)
{
  CmkIdle *idle = data;
  gint64 left = cmk_calls_last_use (idle->calls) + idle->timeout - g_get_monotonic_time ();
  idle->timer = 0;
  if (left > 0)
    {
      look_again (idle, left);
      return G_SOURCE_REMOVE;
    }
  const char *reason = cmk_calls_count (idle->calls) > 0
                           ? "a call is under way"
                           : cmk_kms_reason_to_stay (idle->kms, MAX (SOON_SECONDS, idle->timeout / G_USEC_PER_SEC));
  if (reason != NULL)
    {
      g_debug ("unused, but not ending yet: %s", reason);
      look_again (idle, idle->timeout);
      return G_SOURCE_REMOVE;
    }
  g_message ("unused for %g seconds: ending until the next call", (double) idle->timeout / G_USEC_PER_SEC);
  idle->found (idle->user_data);
  return G_SOURCE_REMOVE;
}

CmkIdle *
cmk_idle_watch (CmkCalls *calls, CmkKms *kms, guint milliseconds, void (*found) (gpointer), gpointer user_data)
{
  CmkIdle *idle = g_new0 (CmkIdle, 1);
  idle->calls = calls;
  idle->kms = kms;
  idle->timeout = (gint64) milliseconds * 1000;
  idle->found = found;
  idle->user_data = user_data;
  look_again (idle, idle->timeout);
  return idle;
}

void
cmk_idle_free (CmkIdle *idle)
{
  if (idle == NULL)
    return;
  if (idle->timer != 0)
    g_source_remove (idle->timer);
  g_free (idle);
}
