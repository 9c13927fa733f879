/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that look at the daemon: what it says of itself, and what it signals. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "doctor.h"
#include "exit-code.h"
#include "listing.h"
#include "output.h"
#include "surroundings.h"

/* The keys that whoever asks may see, none where the state is not open; or why they are not to be had, an owned
 * text. */
static char *
get_keys (const CmkValue *status, CmkBus *bus, CmkValue *ret_keys)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *state = cmk_value_get_string (status, "StateStatus");
  char *message = NULL;
  int code;

  if (state == NULL || strcmp (state, "ok") != 0)
    return NULL;
  cmk_fail_keep (&message);
  code = cmk_list_up_to (bus, "ListKeys", "Keys", NULL, 0, UINT32_MAX, &answer);
  cmk_fail_keep (NULL);
  if (code != CMK_EXIT_DONE)
    return message;
  ret_keys->kind = CMK_VALUE_LIST;
  cmk_value_merge (ret_keys, cmk_value_get (&answer, "Keys", CMK_VALUE_LIST));
  return NULL;
}

/* Where polkit is not installed that is meant so; what is there and does not start is not. */
static bool
is_polkit_broken (const CmkArguments *arguments, CmkBus *bus)
{
  return geteuid () == 0 && !cmk_arguments_has (arguments, "session") && !cmk_arguments_has (arguments, "address") &&
         !cmk_arguments_has (arguments, "host") && cmk_bus_is_broken (bus, "org.freedesktop.PolicyKit1");
}

static void
add_quota (CmkBus *bus, CmkValue *status)
{
  uint32_t uid;
  _cleanup_ (cmk_freep) char *quota = cmk_bus_get_uid (bus, &uid) ? cmk_surroundings_find_quota ("", uid) : NULL;

  if (quota != NULL)
    cmk_value_append_text (status, "KeyringQuota", quota);
}

static int
get_status (const CmkArguments *arguments, CmkBus **ret_bus, CmkValue *ret_status)
{
  _cleanup_ (cmk_call_freep) CmkCall *properties = cmk_call_new ("org.freedesktop.DBus.Properties", "GetAll");
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_SERVICE, "GetStatus");
  _cleanup_ (cmk_value_clear) CmkValue account = { 0 };
  int code = cmk_arguments_open_bus (arguments, ret_bus);

  cmk_call_add_string (properties, CMKD_INTERFACE_SERVICE);
  if (code != CMK_EXIT_DONE)
    return code;
  cmk_bus_ask_nobody (*ret_bus);
  code = cmk_call_send (properties, *ret_bus, ret_status);
  if (code == CMK_EXIT_DONE)
    code = cmk_call_send (call, *ret_bus, &account);
  if (code == CMK_EXIT_DONE)
    cmk_value_merge (ret_status, &account);
  return code;
}

static int
run_status (const CmkArguments *arguments)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_value_clear) CmkValue status = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue keys = { 0 };
  _cleanup_ (cmk_freep) char *unlisted = NULL;
  CmkDoctorFacts facts = { .is_private = cmk_arguments_has (arguments, "session"),
                           .is_here = !cmk_arguments_has (arguments, "host"),
                           .now = (int64_t) time (NULL) };
  int code = get_status (arguments, &bus, &status);

  if (code != CMK_EXIT_DONE)
    return code;
  if (facts.is_here)
    add_quota (bus, &status);
  if (!cmk_arguments_has (arguments, "json"))
    cmk_output_print_fields (&status);

  facts.unlisted = unlisted = get_keys (&status, bus, &keys);
  facts.is_polkit_broken = is_polkit_broken (arguments, bus);
  cmk_doctor_examine (&status, &keys, &facts);
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&status);
  else
    cmk_doctor_print (&status, facts.is_here);
  code = cmk_output_flush ();
  return code == CMK_EXIT_DONE && cmk_doctor_is_worried (&status) ? CMK_EXIT_REFUSED : code;
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
    "Show how cmkd, its TPM, its state and the kernel keyring are, which material expires and which keys are deleted "
    "in\n"
    "the next 30 days, what needs attention, and what is not protected on this machine. The exit status is 1 if\n"
    "something needs attention.",
    "report=$(cmkctl status) || echo \"$report\" | mail -s \"cmkd of $HOSTNAME\" root", NULL, run_status },
  { "monitor", "", 0, "print what happens to keys",
    "Print a line for each change of a key and each material that is about to expire, until interrupted. \"Watching\"\n"
    "on standard error says that from now on nothing is missed.",
    "cmkctl monitor --json | jq -r .KeyId", NULL, run_monitor },
  { 0 },
};
