/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buffer.h"
#include "bus-errors.h"
#include "bus-internal.h"
#include "cmkd.h"
#include "exit-code.h"
#include "progress.h"
#include "text-agent.h"

/* Somebody may be typing a password, or the TPM be making a key. */
#define CALL_TIMEOUT_MS (5 * 60 * 1000)

/* Until a call that was throttled comes again, unless cmkd says when. */
#define DEFAULT_DELAY_MS 1000

static const char waiting[] = "waiting for cmkd: a long RSA key or a password takes a while";

int
cmk_bus_fail_from (CmkBus *bus, DBusError *error)
{
  int code = bus->is_aside ? CMK_EXIT_REFUSED : cmk_bus_fail (error->name, error->message);

  dbus_error_free (error);
  return code;
}

static int
fail_no_bus (CmkBusKind kind, DBusError *error)
{
  static const char *const names[] = { "system bus", "session bus", "bus at this address" };
  int code = dbus_error_has_name (error, DBUS_ERROR_BAD_ADDRESS) ? CMK_EXIT_USAGE : CMK_EXIT_NOT_THERE;

  if (kind == CMK_BUS_HOST) /* ssh has said what it knows */
    cmk_fail (code, "no connection to the system bus of that machine: is it there, and does ssh with the command "
                    "systemd-stdio-bridge get you to it?");
  else
    cmk_fail (code, "no connection to the %s (%s): is it running, and is it the right one?", names[kind],
              error->message);
  dbus_error_free (error);
  return code;
}

static DBusConnection *
open_address (const char *address, DBusError *error)
{
  DBusConnection *connection = dbus_connection_open_private (address, error);

  if (connection == NULL || dbus_bus_register (connection, error))
    return connection;
  dbus_connection_close (connection);
  dbus_connection_unref (connection);
  return NULL;
}

int
cmk_bus_open (CmkBusKind kind, const char *address, CmkBus **ret_bus)
{
  _cleanup_ (cmk_freep) char *host_address = NULL;
  DBusError error = DBUS_ERROR_INIT;
  DBusConnection *connection;
  int code = kind == CMK_BUS_HOST ? cmk_bus_host_address (address, &host_address) : CMK_EXIT_DONE;

  if (code != CMK_EXIT_DONE)
    return code;
  if (kind == CMK_BUS_ADDRESS || kind == CMK_BUS_HOST)
    connection = open_address (host_address != NULL ? host_address : address, &error);
  else
    connection = dbus_bus_get_private (kind == CMK_BUS_SYSTEM ? DBUS_BUS_SYSTEM : DBUS_BUS_SESSION, &error);

  if (connection == NULL)
    return fail_no_bus (kind, &error);

  /* By default libdbus ends the process with _exit (1) when the bus goes away. */
  dbus_connection_set_exit_on_disconnect (connection, FALSE);

  *ret_bus = cmk_allocate (sizeof **ret_bus);
  **ret_bus = (CmkBus) { .connection = connection, .kind = kind, .timeout_ms = CALL_TIMEOUT_MS };
  return CMK_EXIT_DONE;
}

void
cmk_bus_ask_nobody (CmkBus *bus)
{
  bus->asks_nobody = true;
}

void
cmk_bus_set_aside (CmkBus *bus, int seconds)
{
  cmk_bus_ask_nobody (bus);
  bus->is_aside = true;
  bus->timeout_ms = seconds * 1000;
}

bool
cmk_bus_get_uid (CmkBus *bus, uint32_t *ret_uid)
{
  *ret_uid = bus->owner_uid;
  return bus->owner != NULL;
}

void
cmk_bus_set_patient (CmkBus *bus)
{
  bus->is_patient = true;
}

void
cmk_bus_closep (CmkBus **bus)
{
  if (*bus == NULL)
    return;
  dbus_connection_close ((*bus)->connection);
  dbus_connection_unref ((*bus)->connection);
  free ((*bus)->owner);
  free (*bus);
}

static int
take_answer (DBusMessage *reply, bool is_secret, CmkValue *ret_answer)
{
  DBusMessageIter iter;

  if (!dbus_message_has_signature (reply, "a{sv}"))
    return cmk_fail (CMK_EXIT_REFUSED, "the daemon's answer is not a{sv}: cmkctl and cmkd must be of the same version");

  dbus_message_iter_init (reply, &iter);
  cmk_bus_take_value (&iter, is_secret, ret_answer);
  return CMK_EXIT_DONE;
}

DBusMessage *
cmk_bus_send_and_wait (CmkBus *bus, DBusMessage *message, DBusError *error)
{
  bool is_shown = !bus->is_aside && cmk_progress_begin (waiting, CMK_PROGRESS_TIME, 0);
  DBusMessage *reply;

  if (bus->asks_nobody)
    dbus_message_set_allow_interactive_authorization (message, FALSE);
  reply = dbus_connection_send_with_reply_and_block (bus->connection, message, bus->timeout_ms, error);
  if (is_shown)
    cmk_progress_end ();
  return reply;
}

/* Milliseconds until a call that was refused with @error may come again: its message has them, in words for people. */
static int64_t
get_delay (const DBusError *error)
{
  static const char before[] = "try again in ";
  const char *number = strstr (error->message, before);
  unsigned amount;
  char unit[sizeof "milliseconds"];

  if (number == NULL || sscanf (number + sizeof before - 1, "%u %12s", &amount, unit) != 2)
    return DEFAULT_DELAY_MS;
  return strncmp (unit, "milli", 5) == 0 ? amount : (int64_t) amount * 1000;
}

/* A call is never made again that may have taken effect: Throttled says that it has not. */
static DBusMessage *
send_patiently (CmkCall *call, CmkBus *bus, DBusError *error)
{
  int64_t waited = 0;
  DBusMessage *reply = cmk_bus_send_and_wait (bus, call->message, error);

  while (reply == NULL && bus->is_patient && dbus_error_has_name (error, CMKD_ERROR_PREFIX CMKD_ERROR_THROTTLED))
    {
      int64_t delay = get_delay (error) + 1; /* so that it does pass */
      const struct timespec pause = { .tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000 };

      waited += delay;
      if (waited > CALL_TIMEOUT_MS)
        return NULL;
      dbus_error_free (error);
      nanosleep (&pause, NULL);
      cmk_call_renew (call);
      reply = cmk_bus_send_and_wait (bus, call->message, error);
    }
  return reply;
}

/* On the system bus to the very process that was checked: the name may be somebody else's by the time that the call is
 * sent. If cmkd has gone just then, the bus says so, and there is another one to be found or started. Elsewhere nobody
 * but the user himself can take the name, and a call by name is not lost when cmkd ends unused. */
static int
send_to_owner (CmkCall *call, CmkBus *bus, DBusMessage **ret_reply)
{
  DBusError error = DBUS_ERROR_INIT;

  for (bool is_again = false;; is_again = true)
    {
      int code = cmk_bus_check_owner (bus);

      if (code != CMK_EXIT_DONE)
        return code;
      if (bus->kind == CMK_BUS_SYSTEM)
        cmk_require_memory (dbus_message_set_destination (call->message, bus->owner));
      *ret_reply = send_patiently (call, bus, &error);
      if (*ret_reply != NULL)
        return CMK_EXIT_DONE;
      if (is_again || !cmk_bus_has_gone (bus, &error))
        return cmk_bus_fail_from (bus, &error);
      dbus_error_free (&error);
      cmk_call_renew (call);
    }
}

int
cmk_call_send (CmkCall *call, CmkBus *bus, CmkValue *ret_answer)
{
  DBusMessage *reply;
  int code;

  if (call->is_malformed)
    return cmk_fail (CMK_EXIT_USAGE, "an argument is not UTF-8 text");

  if (call->has_options)
    cmk_require_memory (dbus_message_iter_close_container (&call->arguments, &call->options));
  call->has_options = false;

  if (bus->kind == CMK_BUS_SYSTEM && !bus->asks_nobody)
    cmk_text_agent_start ();
  code = send_to_owner (call, bus, &reply);
  if (code != CMK_EXIT_DONE)
    return code;
  code = cmk_bus_check_sender (bus, dbus_message_get_sender (reply));
  if (code == CMK_EXIT_DONE)
    code = take_answer (reply, call->is_secret, ret_answer);
  dbus_message_unref (reply);
  return code;
}
