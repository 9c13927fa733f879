/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/expiry-timer.h"

#include "base/error.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define RETRY_SECONDS 60

/* Two timers of the kernel: it tells of a clock that was set on an absolute one of CLOCK_REALTIME only. */
enum
{
  COUNTDOWN,
  CLOCK_WAS_SET,
  N_TIMERS
};

struct _CmkExpiryTimer
{
  int fds[N_TIMERS];
  guint sources[N_TIMERS];
  void (*due) (gpointer);
  gpointer user_data;
};

static gboolean
on_timer (gint fd, G_GNUC_UNUSED GIOCondition condition, gpointer data)
{
  CmkExpiryTimer *timer = data;
  guint64 expirations;
  /* ECANCELED: the clock was set. EAGAIN: the timer was set anew after the loop had seen it fire. */
  if (read (fd, &expirations, sizeof expirations) < 0 && errno == EAGAIN)
    return G_SOURCE_CONTINUE;
  timer->due (timer->user_data);
  return G_SOURCE_CONTINUE;
}

/* Cancelled by a clock that is set, and armed for as long as it goes on being read. */
static gboolean
watch_clock (CmkExpiryTimer *timer)
{
  const struct itimerspec never = { .it_value.tv_sec = G_MAXINT32 * (gint64) 8 };
  return timerfd_settime (timer->fds[CLOCK_WAS_SET], TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

CmkExpiryTimer *
cmk_expiry_timer_new (void (*due) (gpointer), gpointer user_data, GError **error)
{
  static const int clocks[N_TIMERS] = { CLOCK_BOOTTIME, CLOCK_REALTIME };
  CmkExpiryTimer *timer = g_new0 (CmkExpiryTimer, 1);
  timer->due = due;
  timer->user_data = user_data;
  gboolean made = TRUE;
  for (gsize i = 0; i < N_TIMERS; i++)
    {
      timer->fds[i] = timerfd_create (clocks[i], TFD_CLOEXEC | TFD_NONBLOCK);
      made &= timer->fds[i] >= 0;
    }
  if (made && watch_clock (timer))
    {
      for (gsize i = 0; i < N_TIMERS; i++)
        timer->sources[i] = g_unix_fd_add (timer->fds[i], G_IO_IN, on_timer, timer);
      return timer;
    }
  g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL, "cannot make a timer: %s", g_strerror (errno));
  cmk_expiry_timer_free (timer);
  return NULL;
}

void
cmk_expiry_timer_free (CmkExpiryTimer *timer)
{
  if (timer == NULL)
    return;
  for (gsize i = 0; i < N_TIMERS; i++)
    {
      if (timer->sources[i] != 0)
        g_source_remove (timer->sources[i]);
      if (timer->fds[i] >= 0)
        close (timer->fds[i]);
    }
  g_free (timer);
}

void
cmk_expiry_timer_set (CmkExpiryTimer *timer, gint64 seconds)
{
  struct itimerspec setting = { 0 };
  if (seconds >= 0)
    setting.it_value.tv_sec = seconds > 0 ? seconds : RETRY_SECONDS;
  if (timerfd_settime (timer->fds[COUNTDOWN], 0, &setting, NULL) != 0)
    g_warning ("cannot set the expiry timer: %s", g_strerror (errno));
}
