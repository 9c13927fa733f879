/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include <gio/gio.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What stands in for systemd: a datagram socket with an abstract name. */
static int
listen_as_manager (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *name = g_strdup_printf ("@cmkd-test-notify-%d-%d", getpid (), g_test_rand_int ());
  memcpy (address.sun_path + 1, name + 1, strlen (name) - 1);
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  g_assert_cmpint (fd, >=, 0);
  socklen_t length = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + strlen (name));
  g_assert_no_errno (bind (fd, (const struct sockaddr *) &address, length));
  g_setenv ("NOTIFY_SOCKET", name, TRUE);
  return fd;
}

/* NULL: there is nothing to be read. */
static char *
hear (int fd)
{
  char text[256] = "";
  return recv (fd, text, sizeof text - 1, 0) < 0 ? NULL : g_strdup (text);
}

static void
assert_heard (int fd, const char *expected)
{
  g_autofree char *heard = hear (fd);
  g_assert_cmpstr (heard, ==, expected);
}

static void
set_watchdog (const char *microseconds, int pid)
{
  g_autofree char *text = g_strdup_printf ("%d", pid);
  g_setenv ("WATCHDOG_USEC", microseconds, TRUE);
  g_setenv ("WATCHDOG_PID", text, TRUE);
}

static void
test_only_the_main_loop_is_a_sign_of_life (void)
{
  int fd = listen_as_manager ();
  set_watchdog ("2000", getpid ());
  g_autoptr (CmkNotify) notify = cmk_notify_new ();
  assert_heard (fd, NULL);
  cmk_notify_ready (notify, "here");
  assert_heard (fd, "READY=1\nSTATUS=here");
  /* Ten times the time in which a thread of its own would have told. */
  g_usleep (20000);
  assert_heard (fd, NULL);
  for (int i = 0; i < 3; i++)
    {
      while (!g_main_context_iteration (NULL, TRUE))
        ;
      assert_heard (fd, "WATCHDOG=1");
    }
  cmk_notify_stopping (notify);
  assert_heard (fd, "STOPPING=1\nSTATUS=ending");
  g_assert_false (g_main_context_iteration (NULL, FALSE));
  close (fd);
}

static void
test_a_watchdog_of_another_process_is_not_ours (void)
{
  int fd = listen_as_manager ();
  set_watchdog ("2000", getpid () + 1);
  g_autoptr (CmkNotify) notify = cmk_notify_new ();
  cmk_notify_ready (notify, "here");
  assert_heard (fd, "READY=1\nSTATUS=here");
  g_usleep (20000);
  g_assert_false (g_main_context_iteration (NULL, FALSE));
  close (fd);
}

static void
test_nobody_listens (void)
{
  const char *const addresses[] = { NULL, "", "@", "relative", "/nonexistent/socket", "vsock:2:1234" };
  set_watchdog ("2000", getpid ());
  for (gsize i = 0; i < G_N_ELEMENTS (addresses); i++)
    {
      g_unsetenv ("NOTIFY_SOCKET");
      if (addresses[i] != NULL)
        g_setenv ("NOTIFY_SOCKET", addresses[i], TRUE);
      g_autoptr (CmkNotify) notify = cmk_notify_new ();
      cmk_notify_ready (notify, "here");
      cmk_notify_stopping (notify);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/notify/only-the-main-loop-is-a-sign-of-life", test_only_the_main_loop_is_a_sign_of_life);
  g_test_add_func ("/notify/a-watchdog-of-another-process-is-not-ours", test_a_watchdog_of_another_process_is_not_ours);
  g_test_add_func ("/notify/nobody-listens", test_nobody_listens);
  return g_test_run ();
}
