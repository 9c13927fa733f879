/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls per second of a number of clients, each a process of its own that waits for each answer. On libdbus, which
 * leaves more of the machine to the server than GDBus does.
 *
 *     throughput ADDRESS CLIENTS SECONDS empty
 *     throughput ADDRESS CLIENTS SECONDS encrypt KEY PLAINTEXT
 *     throughput ADDRESS CLIENTS SECONDS echo KEY PLAINTEXT     the echo server with the arguments of Encrypt
 *
 * Prints the number. */
#include <dbus/dbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmkd.h"
#include "echo.h"

#define TIMEOUT_MS 60000

static void
fail (const char *what, const char *why)
{
  fprintf (stderr, "%s: %s\n", what, why);
  _exit (EXIT_FAILURE);
}

static double
now_seconds (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static DBusConnection *
connect_bus (const char *address)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusConnection *bus = dbus_connection_open_private (address, &error);
  if (bus == NULL || !dbus_bus_register (bus, &error))
    fail (address, error.message);
  return bus;
}

static DBusMessage *
new_message (char **words)
{
  if (strcmp (words[0], "empty") == 0)
    return dbus_message_new_method_call (ECHO_NAME, ECHO_PATH, ECHO_NAME, "Empty");
  DBusMessage *message =
      strcmp (words[0], "echo") == 0
          ? dbus_message_new_method_call (ECHO_NAME, ECHO_PATH, ECHO_NAME, "EchoEncrypt")
          : dbus_message_new_method_call (CMKD_BUS_NAME, CMKD_OBJECT_PATH, CMKD_INTERFACE_CRYPTO, "Encrypt");
  DBusMessageIter arguments, options;
  dbus_message_iter_init_append (message, &arguments);
  dbus_message_iter_append_basic (&arguments, DBUS_TYPE_STRING, &words[1]);
  dbus_message_iter_append_basic (&arguments, DBUS_TYPE_STRING, &words[2]);
  dbus_message_iter_open_container (&arguments, DBUS_TYPE_ARRAY, "{sv}", &options);
  dbus_message_iter_close_container (&arguments, &options);
  return message;
}

static void
call (DBusConnection *bus, const DBusMessage *message)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *copy = dbus_message_copy (message);
  DBusMessage *answer = dbus_connection_send_with_reply_and_block (bus, copy, TIMEOUT_MS, &error);
  if (answer == NULL)
    fail (error.name, error.message);
  dbus_message_unref (answer);
  dbus_message_unref (copy);
}

/* Says when it is ready, then waits for the word to begin. */
static void
be_client (const char *address, double seconds, char **words, int ready, int go, unsigned *ret_count)
{
  char byte = 0;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  DBusConnection *bus = connect_bus (address);
  DBusMessage *message = new_message (words);
  call (bus, message);
  if (write (ready, &byte, 1) != 1 || read (go, &byte, 1) != 0)
    fail ("client", "the parent is gone");
  double end = now_seconds () + seconds;
  while (now_seconds () < end)
    {
      call (bus, message);
      (*ret_count)++;
    }
  dbus_message_unref (message);
  dbus_connection_close (bus);
  dbus_connection_unref (bus);
  _exit (EXIT_SUCCESS);
}

int
main (int argc, char **argv)
{
  if (argc != 5 && argc != 7)
    return 2;
  int clients = atoi (argv[2]);
  double seconds = atof (argv[3]);
  unsigned *counts =
      mmap (NULL, (size_t) clients * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int ready[2], go[2];
  if (counts == MAP_FAILED || pipe (ready) != 0 || pipe (go) != 0)
    fail ("throughput", "no memory or pipes");
  for (int i = 0; i < clients; i++)
    if (fork () == 0)
      {
        close (go[1]);
        be_client (argv[1], seconds, argv + 4, ready[1], go[0], &counts[i]);
      }
  close (ready[1]);
  char byte;
  for (int i = 0; i < clients; i++)
    if (read (ready[0], &byte, 1) != 1)
      fail ("throughput", "a client failed");
  close (go[1]);

  unsigned total = 0;
  for (int i = 0, status; i < clients; i++)
    if (wait (&status) < 0 || status != 0)
      fail ("throughput", "a client failed");
  for (int i = 0; i < clients; i++)
    total += counts[i];
  printf ("%.0f\n", total / seconds);
  return EXIT_SUCCESS;
}
