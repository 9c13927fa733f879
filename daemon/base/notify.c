/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct _CmkNotify
{
  int socket; /* -1: nobody wants to know */
  guint watchdog;
};

/* Also of the abstract kind, whose name begins with a NUL, written as @. 0 if it is no address. */
static socklen_t
parse_address (const char *text, struct sockaddr_un *ret_address)
{
  gsize length = strlen (text);
  if ((text[0] != '/' && text[0] != '@') || length < 2 || length >= sizeof ret_address->sun_path)
    return 0;
  *ret_address = (struct sockaddr_un) { .sun_family = AF_UNIX };
  memcpy (ret_address->sun_path, text, length);
  if (text[0] == '@')
    ret_address->sun_path[0] = '\0';
  return (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length);
}

static int
connect_to (const char *text)
{
  struct sockaddr_un address;
  socklen_t length = parse_address (text, &address);
  if (length == 0)
    {
      errno = EINVAL;
      return -1;
    }
  /* The main loop waits for nobody, not for systemd either. */
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect (fd, (const struct sockaddr *) &address, length) == 0)
    return fd;
  int code = errno;
  if (fd >= 0)
    close (fd);
  errno = code;
  return -1;
}

CmkNotify *
cmk_notify_new (void)
{
  CmkNotify *notify = g_new0 (CmkNotify, 1);
  const char *address = g_getenv ("NOTIFY_SOCKET");
  notify->socket = address != NULL ? connect_to (address) : -1;
  if (address != NULL && notify->socket < 0)
    g_message ("the service manager hears nothing of us: NOTIFY_SOCKET: %s", g_strerror (errno));
  return notify;
}

void
cmk_notify_free (CmkNotify *notify)
{
  if (notify == NULL)
    return;
  g_clear_handle_id (&notify->watchdog, g_source_remove);
  if (notify->socket >= 0)
    close (notify->socket);
  g_free (notify);
}

static void
tell (const CmkNotify *notify, const char *what)
{
  if (notify->socket >= 0 && send (notify->socket, what, strlen (what), MSG_NOSIGNAL) < 0)
    g_debug ("the service manager was not told %s: %s", what, g_strerror (errno));
}

static gboolean
on_watchdog (gpointer data)
{
  tell (data, "WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

/* Milliseconds from one sign of life to the next; 0: nobody waits for one, or for one of another process. */
static guint
watchdog_milliseconds (void)
{
  const char *pid = g_getenv ("WATCHDOG_PID");
  if (pid != NULL && g_ascii_strtoll (pid, NULL, 10) != getpid ())
    return 0;
  const char *text = g_getenv ("WATCHDOG_USEC");
  guint64 microseconds = text != NULL ? g_ascii_strtoull (text, NULL, 10) : 0;
  return microseconds == 0 ? 0 : (guint) CLAMP (microseconds / 2000, 1, G_MAXINT);
}

void
cmk_notify_ready (CmkNotify *notify, const char *status)
{
  g_autofree char *text = g_strdup_printf ("READY=1\nSTATUS=%s", status);
  tell (notify, text);
  guint milliseconds = watchdog_milliseconds ();
  if (notify->socket >= 0 && milliseconds > 0)
    notify->watchdog = g_timeout_add (milliseconds, on_watchdog, notify);
}

void
cmk_notify_status (CmkNotify *notify, const char *status)
{
  g_autofree char *text = g_strdup_printf ("STATUS=%s", status);
  tell (notify, text);
}

void
cmk_notify_stopping (CmkNotify *notify)
{
  tell (notify, "STOPPING=1\nSTATUS=ending");
  g_clear_handle_id (&notify->watchdog, g_source_remove);
}
