/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/expiry-timer.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define RETRY_SECONDS 60

struct _CmkExpiryTimer
{
  int fd;
  guint source;
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

CmkExpiryTimer *
cmk_expiry_timer_new (void (*due) (gpointer), gpointer user_data, GError **error)
{
  int fd = timerfd_create (CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL, "cannot make a timer: %s", g_strerror (errno));
      return NULL;
    }
  CmkExpiryTimer *timer = g_new0 (CmkExpiryTimer, 1);
  timer->fd = fd;
  timer->due = due;
  timer->user_data = user_data;
  timer->source = g_unix_fd_add (fd, G_IO_IN, on_timer, timer);
  return timer;
}

void
cmk_expiry_timer_free (CmkExpiryTimer *timer)
{
  if (timer == NULL)
    return;
  g_source_remove (timer->source);
  close (timer->fd);
  g_free (timer);
}

void
cmk_expiry_timer_set (CmkExpiryTimer *timer, gint64 when)
{
  gint64 now = cmk_clock_now ();
  struct itimerspec setting = { 0 };
  if (when != 0)
    setting.it_value.tv_sec = when > now ? when : now + RETRY_SECONDS;
  if (timerfd_settime (timer->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &setting, NULL) != 0)
    g_warning ("cannot set the expiry timer: %s", g_strerror (errno));
}
