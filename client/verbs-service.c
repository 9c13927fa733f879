/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that look at the daemon: what it says of itself, and what it signals. */
#include <stdio.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "output.h"

static int
run_status (const CmkArguments *arguments)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_call_freep) CmkCall *properties = cmk_call_new ("org.freedesktop.DBus.Properties", "GetAll");
  _cleanup_ (cmk_call_freep) CmkCall *status = cmk_call_new (CMKD_INTERFACE_SERVICE, "GetStatus");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue account = { 0 };
  int code = cmk_arguments_open_bus (arguments, &bus);

  cmk_call_add_string (properties, CMKD_INTERFACE_SERVICE);
  if (code == CMK_EXIT_DONE)
    code = cmk_call_send (properties, bus, &answer);
  if (code == CMK_EXIT_DONE)
    code = cmk_call_send (status, bus, &account);
  if (code != CMK_EXIT_DONE)
    return code;

  cmk_value_merge (&answer, &account);
  cmk_output_print_answer (&answer, cmk_arguments_has (arguments, "json"));
  return CMK_EXIT_DONE;
}

/* To stderr: whoever reads the signals from a pipe may wait for this line before changing something. */
static void
report_ready (void)
{
  fputs ("Watching the keys of cmkd.\n", stderr);
}

static int
print_signal (const CmkValue *signal)
{
  cmk_output_print_line (signal);
  return cmk_output_flush ();
}

static int
print_signal_as_json (const CmkValue *signal)
{
  cmk_output_print_json (signal);
  return cmk_output_flush ();
}

static int
run_monitor (const CmkArguments *arguments)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  int code = cmk_arguments_open_bus (arguments, &bus);

  if (code != CMK_EXIT_DONE)
    return code;
  return cmk_bus_monitor (bus, report_ready,
                          cmk_arguments_has (arguments, "json") ? print_signal_as_json : print_signal);
}

const CmkVerb cmk_service_verbs[] = {
  { "status", "", 0, "show how cmkd and its TPM are",
    "Show how cmkd, its state and its TPM are. That it can be shown is success, whatever it is.", "cmkctl status", NULL,
    run_status },
  { "monitor", "", 0, "print what happens to keys",
    "Print a line for each change of a key and each material that is about to expire, until interrupted. \"Watching\"\n"
    "on standard error says that from now on nothing is missed.",
    "cmkctl monitor --json | jq -r .KeyId", NULL, run_monitor },
  { 0 },
};
