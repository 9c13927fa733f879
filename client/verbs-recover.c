/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb for a state that cannot be served any more as it is: what the matter is, what it would cost to go on, and
 * doing it. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "listing.h"
#include "output.h"
#include "text.h"

typedef struct
{
  const char *argument; /* of --accept */
  const char *cause;    /* on the bus */
  const char *status;   /* StateStatus while it is the matter */
  const char *account;
  const char *cost_of_external;
  const char *cost_of_own;
} Cause;

static const Cause causes[] = {
  { "tpm-changed", "TpmChanged", "tpm-changed",
    "The TPM is not the one that sealed the state of cmkd, or it was cleared since then. Keys can be listed, but not\n"
    "used or changed.\n"
    "\n"
    "If the old TPM can be had, bring it back and restart cmkd: then nothing is lost. Otherwise this one can take its\n"
    "place. What is known of the keys is then taken as it stands on the disk: look through `cmkctl list` first.\n"
    "\n"
    "  cmkctl recover --accept tpm-changed\n",
    "These keys then wait until you import the same material again; ids, aliases, tags and dates stay:",
    "These keys, whose material cmkd made, are then lost for good, and with them all that they encrypted:" },
  { "rollback-detected", "RollbackDetected", "rolled-back",
    "The state of cmkd is older than what the TPM knows of, or a part of it is: it was put back from a copy. Keys can "
    "be\n"
    "listed, but not used or changed.\n"
    "\n"
    "If there is a newer copy of the state directory, put it back and restart cmkd: then nothing is lost. Otherwise "
    "this\n"
    "one can be taken as it is: what was changed since it was made is undone. Look through `cmkctl list` first.\n"
    "\n"
    "  cmkctl recover --accept rollback-detected\n",
    "If the TPM no longer opens their material, these keys then wait until you import it again:",
    "Likewise these keys, whose material cmkd made, are then lost for good:" },
};

static const char *const columns[] = { "KeyId", "KeyState", "KeySpec", "Description" };

static void
print_keys (const char *heading, const CmkValue *keys)
{
  if (keys->n_items == 0)
    return;
  printf ("\n%s\n\n", heading);
  cmk_output_print_table (keys, columns, sizeof columns / sizeof *columns);
}

/* --- what would be done --- */

/* The keys of @origin, but for those that wait for material anyway. */
static int
print_affected (CmkBus *bus, const char *origin, const char *heading)
{
  const CmkListFilter filter = { "Origin", origin };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue affected = { .kind = CMK_VALUE_LIST };
  int code = cmk_list_up_to (bus, "ListKeys", "Keys", &filter, 1, UINT32_MAX, &answer);
  const CmkValue *keys;

  if (code != CMK_EXIT_DONE)
    return code;
  keys = cmk_value_get (&answer, "Keys", CMK_VALUE_LIST);
  for (size_t i = 0; i < keys->n_items; i++)
    {
      const char *state = cmk_value_get_string (&keys->items[i], "KeyState");
      CmkValue *item;

      if (state != NULL && strcmp (state, "PendingImport") == 0)
        continue;
      item = cmk_value_append (&affected, NULL);
      item->kind = CMK_VALUE_MAP;
      cmk_value_merge (item, &keys->items[i]);
    }
  print_keys (heading, &affected);
  return CMK_EXIT_DONE;
}

static int
explain_cause (CmkBus *bus, const Cause *cause)
{
  int code;

  fputs (cause->account, stdout);
  code = print_affected (bus, "EXTERNAL", cause->cost_of_external);
  return code == CMK_EXIT_DONE ? print_affected (bus, "CMKD_KMS", cause->cost_of_own) : code;
}

static int
explain_status (CmkBus *bus, const char *status, const char *tpm_advice)
{
  for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
    if (strcmp (status, causes[i].status) == 0)
      return explain_cause (bus, &causes[i]);
  if (strcmp (status, "ok") == 0)
    puts ("Nothing is the matter: there is nothing to recover from.");
  else
    {
      _cleanup_ (cmk_freep) char *advice = cmk_text_clean (tpm_advice);

      printf ("The TPM has not opened the state, and there is nothing to accept: %s.\n", advice);
    }
  return CMK_EXIT_DONE;
}

/* CMK_EXIT_REFUSED if something is the matter, so that a script can tell. */
static int
explain (CmkBus *bus, bool is_json)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_SERVICE, "GetStatus");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *status = NULL;
  const char *advice = NULL;
  int code = cmk_call_send (call, bus, &answer);

  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&answer, "StateStatus", &status);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&answer, "TpmAdvice", &advice);
  if (code != CMK_EXIT_DONE)
    return code;

  if (is_json)
    cmk_output_print_json (&answer);
  else
    code = explain_status (bus, status, advice);
  if (code == CMK_EXIT_DONE)
    code = cmk_output_flush ();
  return code == CMK_EXIT_DONE && strcmp (status, "ok") != 0 ? CMK_EXIT_REFUSED : code;
}

/* --- what was done --- */

/* What is known of the keys @ids, which are in the order of @keys; of keys that cannot be seen, their ids. */
static void
take_keys (const CmkValue *ids, CmkValue *keys, CmkValue *ret_found)
{
  size_t next = 0;

  for (size_t i = 0; i < ids->n_items; i++)
    {
      CmkValue *item = cmk_value_append (ret_found, NULL);
      const char *id = ids->items[i].string;
      size_t position = next;

      item->kind = CMK_VALUE_MAP;
      while (position < keys->n_items && strcmp (cmk_value_get_string (&keys->items[position], "KeyId"), id) != 0)
        position++;
      if (position < keys->n_items)
        {
          cmk_value_merge (item, &keys->items[position]);
          next = position + 1;
          continue;
        }
      cmk_value_append_text (item, "KeyId", id);
    }
}

static int
print_result (CmkBus *bus, const CmkValue *answer, const char *field, const char *origin, const char *heading)
{
  const CmkListFilter filter = { "Origin", origin };
  const CmkValue *ids = cmk_value_get (answer, field, CMK_VALUE_LIST);
  _cleanup_ (cmk_value_clear) CmkValue listed = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue found = { .kind = CMK_VALUE_LIST };
  int code;

  if (ids == NULL)
    return cmk_value_fail_without (field);
  if (ids->n_items == 0)
    return CMK_EXIT_DONE;
  code = cmk_list_up_to (bus, "ListKeys", "Keys", &filter, 1, UINT32_MAX, &listed);
  if (code != CMK_EXIT_DONE)
    return code;
  take_keys (ids, cmk_value_get (&listed, "Keys", CMK_VALUE_LIST), &found);
  print_keys (heading, &found);
  return CMK_EXIT_DONE;
}

static int
accept_cause (CmkBus *bus, const Cause *cause, bool is_json)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_SERVICE, "Recover");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code;

  cmk_call_begin_options (call);
  cmk_call_add_text_option (call, "Accept", cause->cause);
  code = cmk_call_send (call, bus, &answer);
  if (code != CMK_EXIT_DONE)
    return code;
  if (is_json)
    {
      cmk_output_print_json (&answer);
      return CMK_EXIT_DONE;
    }

  puts ("Done: cmkd serves again.");
  code = print_result (bus, &answer, "PendingImport", "EXTERNAL",
                       "Import the material of these keys again, with `cmkctl import`:");
  if (code == CMK_EXIT_DONE)
    code = print_result (bus, &answer, "Lost", "CMKD_KMS",
                         "These keys are lost for good; `cmkctl schedule-deletion` removes them:");
  return code;
}

static int
run_recover (const CmkArguments *arguments)
{
  const char *accepted = cmk_arguments_get (arguments, "accept", NULL);
  bool is_json = cmk_arguments_has (arguments, "json");
  const Cause *cause = NULL;
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  int code;

  for (size_t i = 0; i < sizeof causes / sizeof *causes && accepted != NULL; i++)
    if (strcmp (accepted, causes[i].argument) == 0)
      cause = &causes[i];
  if (accepted != NULL && cause == NULL)
    return cmk_arguments_fail (arguments, "--accept takes tpm-changed or rollback-detected");

  code = cmk_arguments_open_bus (arguments, &bus);
  if (code != CMK_EXIT_DONE)
    return code;
  return cause != NULL ? accept_cause (bus, cause, is_json) : explain (bus, is_json);
}

static const CmkOption recover_options[] = {
  { "accept", "CAUSE", "do it: tpm-changed or rollback-detected, whichever is the matter", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_recover_verbs[] = {
  { "recover", "", 0, "go on with another TPM, or with an older state",
    "Say whether cmkd has lost the TPM that its state belongs to, or was given an older copy of its state, and what "
    "it\n"
    "would cost to go on as things are. Changes nothing; the exit status is 1 if something is the matter.\n"
    "\n"
    "With --accept do it, as root: the answer tells which keys wait for their material again, and which are lost.",
    "cmkctl recover\n"
    "cmkctl recover --accept tpm-changed",
    recover_options, run_recover },
  { 0 },
};
