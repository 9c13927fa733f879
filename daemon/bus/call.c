/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/call.h"

#include "base/error.h"
#include "bus/actions.h"
#include "bus/deadlines.h"
#include "bus/permission.h"
#include "cmkd.h"
#include "kms/turns.h"

/* After whatever has arrived. */
#define TURN_PRIORITY (G_PRIORITY_DEFAULT + 1)

/* A call that the worker has not taken by then is refused, and not done: most clients give up after 25 seconds. */
#define QUEUE_DEADLINE (20 * G_USEC_PER_SEC)

struct _CmkCalls
{
  CmkKms *kms;
  GDBusConnection *connection;
  CmkCallers *callers;
  CmkAdmission *admission;
  CmkAuthority *authority; /* NULL: everybody may do with his own keys what he likes */
  GHashTable *long_users;  /* uids that have a long call under way */
  CmkTurns *turns;         /* CmkCall, of users who have more than one under way */
  guint turner;            /* 0 = none of those */
  CmkDeadlines *deadlines; /* of CmkCall that may be in a queue */
  guint count;
  gint64 last_use; /* monotonic time */
  void (*answered) (gpointer);
  gpointer user_data;
};

/* Who gets a queued call first has it: the worker, or the deadline. */
typedef enum
{
  PROGRESS_QUEUED,
  PROGRESS_BEGUN,
  PROGRESS_REFUSED, /* was answered; what is left is freed when its turn comes */
} Progress;

struct _CmkCall
{
  CmkCalls *calls;
  GDBusMethodInvocation *invocation;
  const CmkMethod *method;
  gpointer request;
  CmkIdentity *identity; /* NULL until it is known */
  CmkAccess access;
  CmkCaller caller;
  gboolean is_long; /* in long_users */
  char request_id[CMK_UUID_TEXT_SIZE];
  CmkEffort effort; /* of the run that is queued */
  gint progress;    /* atomic: Progress */
  CmkDeadline deadline;
  GVariantDict answer;
  GError *error;
};

static void refuse_late (gpointer data);

CmkCalls *
cmk_calls_new (CmkKms *kms, GDBusConnection *connection, CmkAdmission *admission, CmkAuthority *authority,
               void (*answered) (gpointer), gpointer user_data)
{
  CmkCalls *calls = g_new0 (CmkCalls, 1);
  calls->kms = kms;
  calls->connection = g_object_ref (connection);
  calls->admission = admission;
  calls->authority = authority;
  /* On a bus where nobody is asked, who runs cmkd is its administrator. */
  calls->callers = cmk_callers_new (connection, authority == NULL);
  calls->long_users = g_hash_table_new (NULL, NULL);
  calls->turns = cmk_turns_new ();
  calls->deadlines = cmk_deadlines_new (QUEUE_DEADLINE, refuse_late);
  calls->answered = answered;
  calls->user_data = user_data;
  calls->last_use = g_get_monotonic_time ();
  return calls;
}

void
cmk_calls_free (CmkCalls *calls)
{
  if (calls == NULL)
    return;
  if (calls->turner != 0)
    g_source_remove (calls->turner);
  cmk_deadlines_free (calls->deadlines);
  cmk_turns_free (calls->turns);
  cmk_callers_free (calls->callers);
  g_object_unref (calls->connection);
  g_hash_table_unref (calls->long_users);
  g_free (calls);
}

guint
cmk_calls_count (CmkCalls *calls)
{
  return calls->count;
}

gint64
cmk_calls_last_use (CmkCalls *calls)
{
  return calls->last_use;
}

static void
note_use (CmkCalls *calls, const CmkMethod *method)
{
  if (!method->is_no_use)
    calls->last_use = g_get_monotonic_time ();
}

/* --- the end of a call --- */

static const char *
error_name (const GError *error)
{
  return error->domain == CMK_ERROR ? cmk_error_name ((CmkError) error->code) : CMKD_ERROR_INTERNAL;
}

static void
audit (CmkCall *call)
{
  char texts[CMK_ACCESS_MAX_KEYS][CMK_UUID_TEXT_SIZE];
  const char *key_ids[CMK_ACCESS_MAX_KEYS];
  for (guint i = 0; i < call->access.n_keys; i++)
    {
      cmk_uuid_format (&call->access.keys[i], texts[i]);
      key_ids[i] = texts[i];
    }
  const CmkIdentity *identity = call->identity;
  CmkAuditEntry entry = {
    .request_id = call->request_id,
    .interface = g_dbus_method_invocation_get_interface_name (call->invocation),
    .operation = call->method->name,
    .key_ids = key_ids,
    .n_key_ids = call->access.n_keys,
    .is_caller_known = identity != NULL,
    .caller_uid = identity != NULL ? identity->uid : 0,
    .caller_unit = identity != NULL ? identity->process.unit : NULL,
    .caller_executable = identity != NULL ? identity->process.executable : NULL,
    .error_name = call->error != NULL ? error_name (call->error) : NULL,
    .error_text = call->error != NULL ? call->error->message : NULL,
    .weight = call->method->weight,
  };
  if (call->request != NULL && call->method->tell_facts != NULL)
    call->method->tell_facts (call->request, entry.facts);
  cmk_audit_call (&entry);
  for (gsize i = 0; i < CMK_AUDIT_MAX_FACTS; i++)
    g_free (entry.facts[i].value);
}

static void
answer_call (CmkCall *call)
{
  CmkCalls *calls = call->calls;
  audit (call);
  note_use (calls, call->method);
  cmk_deadlines_stop (calls->deadlines, &call->deadline);
  if (call->is_long)
    g_hash_table_remove (calls->long_users, GUINT_TO_POINTER (call->caller.uid));
  if (call->error == NULL)
    {
      g_variant_dict_insert (&call->answer, "RequestId", "s", call->request_id);
      g_dbus_method_invocation_return_value (call->invocation,
                                             g_variant_new ("(@a{sv})", g_variant_dict_end (&call->answer)));
    }
  else
    {
      g_autofree char *name = g_strconcat (CMKD_ERROR_PREFIX, error_name (call->error), NULL);
      g_dbus_method_invocation_return_dbus_error (call->invocation, name, call->error->message);
    }
  g_variant_dict_clear (&call->answer);
  g_clear_error (&call->error);
  if (call->request != NULL)
    call->method->free_request (call->request);
}

static void
free_call (CmkCall *call)
{
  CmkCalls *calls = call->calls;
  g_clear_pointer (&call->identity, cmk_identity_unref);
  g_free (call);
  calls->count--;
  calls->answered (calls->user_data);
}

static void
end_call (CmkCall *call)
{
  if (call->error == NULL && cmk_access_was_not_asked_for (&call->access))
    {
      g_critical ("%s was done without a permit", call->method->name);
      g_variant_dict_clear (&call->answer);
      call->error = g_error_new_literal (CMK_ERROR, CMK_ERROR_INTERNAL, "cmkd failed to ask for permission");
    }
  answer_call (call);
  free_call (call);
}

static void
refuse (CmkCall *call, const GError *error)
{
  g_clear_error (&call->error);
  call->error = g_error_copy (error);
  end_call (call);
}

/* --- its deadline --- */

static void
note_lateness (CmkCall *call)
{
  g_set_error_literal (&call->error, CMK_ERROR, CMK_ERROR_THROTTLED,
                       "cmkd was too busy to take this call in time; nothing was done: try again");
}

static gboolean
advance (CmkCall *call, Progress progress)
{
  return g_atomic_int_compare_and_exchange (&call->progress, PROGRESS_QUEUED, progress);
}

static void
refuse_late (gpointer data)
{
  CmkCall *call = data;
  if (!advance (call, PROGRESS_REFUSED))
    return;
  note_lateness (call);
  answer_call (call);
}

/* --- its way through the worker --- */

static gboolean
run (CmkCall *call, CmkEffort effort)
{
  g_variant_dict_init (&call->answer, NULL);
  if (call->method->run (call->calls->kms, &call->caller, call->request, effort, &call->answer, &call->error))
    return TRUE;
  g_variant_dict_clear (&call->answer);
  return FALSE;
}

static gboolean
failed_for (const CmkCall *call, GQuark domain)
{
  return call->error != NULL && call->error->domain == domain;
}

static void submit (CmkCall *call, CmkEffort effort);
static void ask_for_permission (CmkCall *call);

static gboolean
on_worked (gpointer data)
{
  CmkCall *call = data;
  if (g_atomic_int_get (&call->progress) == PROGRESS_REFUSED)
    {
      free_call (call);
      return G_SOURCE_REMOVE;
    }
  if (failed_for (call, CMK_PERMIT_NEEDED))
    {
      ask_for_permission (call);
      return G_SOURCE_REMOVE;
    }
  if (!failed_for (call, CMK_CACHE_MISS) || (call->effort == CMK_EFFORT_FULL && call->method->wait == NULL))
    {
      end_call (call);
      return G_SOURCE_REMOVE;
    }
  g_clear_error (&call->error);
  if (call->effort == CMK_EFFORT_CACHED)
    submit (call, CMK_EFFORT_FULL);
  else
    call->method->wait (call, call->calls->kms, &call->caller, call->request);
  return G_SOURCE_REMOVE;
}

static void
on_settled (gpointer data, const GError *error)
{
  CmkCall *call = data;
  if (error != NULL && call->error == NULL)
    {
      g_variant_dict_clear (&call->answer);
      call->error = g_error_copy (error);
    }
  g_idle_add_full (G_PRIORITY_DEFAULT, on_worked, call, NULL);
}

/* On the worker. TRUE if the answer is to wait until the TPM has taken note of what was done. */
static gboolean
run_and_hold (CmkCall *call)
{
  CmkSettling *settling = cmk_kms_settling (call->calls->kms);
  cmk_settling_begin (settling);
  CmkSettlingHold hold = cmk_settling_end (settling, run (call, CMK_EFFORT_FULL));
  if (hold != CMK_SETTLING_NOT_HELD)
    cmk_settling_wait (settling, hold, on_settled, call);
  return hold != CMK_SETTLING_NOT_HELD;
}

static void
work (gpointer data)
{
  CmkCall *call = data;
  gboolean begun = advance (call, PROGRESS_BEGUN);
  if (begun && call->effort == CMK_EFFORT_CACHED)
    run (call, CMK_EFFORT_CACHED);
  else if (begun && run_and_hold (call))
    return;
  g_idle_add_full (G_PRIORITY_DEFAULT, on_worked, call, NULL);
}

/* To the calculator, which has what is cached, or to the worker. */
static void
submit (CmkCall *call, CmkEffort effort)
{
  CmkKms *kms = call->calls->kms;
  if (cmk_deadline_has_passed (&call->deadline))
    {
      note_lateness (call);
      end_call (call);
      return;
    }
  call->effort = effort;
  g_atomic_int_set (&call->progress, PROGRESS_QUEUED);
  cmk_worker_submit (effort == CMK_EFFORT_CACHED ? cmk_kms_calculator (kms) : cmk_kms_worker (kms), call->caller.uid,
                     work, call);
}

static void
enqueue (CmkCall *call, CmkEffort effort)
{
  cmk_deadlines_start (call->calls->deadlines, &call->deadline, call);
  submit (call, effort);
}

/* --- waiting for what is missing --- */

static void
on_presence (const GError *gone, gpointer data)
{
  CmkCall *call = data;
  if (gone != NULL)
    refuse (call, gone);
  else
    enqueue (call, CMK_EFFORT_FULL);
}

void
cmk_call_resume (CmkCall *call, const GError *error)
{
  if (error != NULL)
    refuse (call, error);
  else
    cmk_callers_check_presence (call->calls->callers, g_dbus_method_invocation_get_sender (call->invocation),
                                on_presence, call);
}

static void begin (CmkCall *call);

static void
on_permission (const GError *refused, gpointer data)
{
  CmkCall *call = data;
  if (refused != NULL)
    refuse (call, refused);
  else
    begin (call);
}

/* The run that found out what is to be permitted is the last one that is for nothing. */
static void
ask_for_permission (CmkCall *call)
{
  CmkCalls *calls = call->calls;
  g_clear_error (&call->error);
  cmk_deadlines_stop (calls->deadlines, &call->deadline);
  cmk_permission_ask (calls->authority, calls->callers, call->invocation, call->method->name, &call->access,
                      on_permission, call);
}

/* --- its beginning --- */

static void
admit_long (CmkCall *call)
{
  if (call->method->is_long == NULL || !call->method->is_long (call->request))
    return;
  call->is_long = g_hash_table_add (call->calls->long_users, GUINT_TO_POINTER (call->caller.uid));
  if (!call->is_long)
    g_set_error_literal (&call->error, CMK_ERROR, CMK_ERROR_THROTTLED,
                         "another key of yours is being made by the TPM: wait for it, then try again");
}

/* From the first place where it may be answered; again, when something more was permitted. */
static void
begin (CmkCall *call)
{
  if (call->error != NULL)
    {
      end_call (call);
      return;
    }
  switch (call->method->cached)
    {
    case CMK_CACHED_ON_CALCULATOR:
      enqueue (call, CMK_EFFORT_CACHED);
      return;
    case CMK_CACHED_ON_MAIN_LOOP:
      if (run (call, CMK_EFFORT_CACHED))
        end_call (call);
      else if (failed_for (call, CMK_PERMIT_NEEDED))
        ask_for_permission (call);
      else if (!failed_for (call, CMK_CACHE_MISS))
        end_call (call);
      else
        {
          g_clear_error (&call->error);
          enqueue (call, CMK_EFFORT_FULL);
        }
      return;
    case CMK_CACHED_NOWHERE:
      enqueue (call, CMK_EFFORT_FULL);
      return;
    }
}

static gboolean
on_turn (gpointer data)
{
  CmkCalls *calls = data;
  begin (cmk_turns_take (calls->turns));
  if (!cmk_turns_is_empty (calls->turns))
    return G_SOURCE_CONTINUE;
  calls->turner = 0;
  return G_SOURCE_REMOVE;
}

/* The main loop gets calls in the order in which they came. Who has sent many is not served before others for that:
 * what the main loop does itself it does for each user in turn, as the worker and the calculator do. */
static void
begin_in_turn (CmkCall *call)
{
  CmkCalls *calls = call->calls;
  cmk_turns_add (calls->turns, call->caller.uid, call);
  if (calls->turner == 0)
    calls->turner = g_idle_add_full (TURN_PRIORITY, on_turn, calls, NULL);
}

static void
admit (CmkCall *call)
{
  const CmkMethodRule *rule = cmk_actions_find (call->method->name);
  if (rule == NULL)
    {
      g_set_error (&call->error, CMK_ERROR, CMK_ERROR_INTERNAL, "nobody has said who may call %s", call->method->name);
      return;
    }
  call->caller.operation = rule->operation;
  call->access.needs_permits = call->calls->authority != NULL && call->caller.uid != 0;
  call->access.action = rule->action;
  call->access.may_reach_others = rule->may_reach_others;
  if (cmk_rates_charge (cmk_kms_rates (call->calls->kms), call->method->rate, call->caller.uid, &call->error))
    admit_long (call);
}

static void
on_identified (CmkIdentity *identity, const GError *unknown, gpointer data)
{
  CmkCall *call = data;
  if (unknown != NULL)
    {
      refuse (call, unknown);
      return;
    }
  call->identity = cmk_identity_ref (identity);
  call->caller = (CmkCaller) {
    .uid = identity->uid,
    .account = identity->account,
    .groups = identity->groups,
    .n_groups = identity->n_groups,
    .is_administrator = identity->is_administrator,
    .access = &call->access,
  };
  guint under_way = cmk_admission_learn (call->calls->admission, g_dbus_method_invocation_get_sender (call->invocation),
                                         identity->uid);
  if (call->error == NULL)
    admit (call);
  if (under_way > 1 && (call->error != NULL || call->method->cached == CMK_CACHED_ON_MAIN_LOOP))
    begin_in_turn (call);
  else
    begin (call);
}

void
cmk_calls_begin (CmkCalls *calls, GDBusMethodInvocation *invocation, const CmkMethod *method, gpointer request,
                 const GError *error)
{
  CmkCall *call = g_new0 (CmkCall, 1);
  call->calls = calls;
  call->invocation = invocation;
  call->method = method;
  call->request = request;
  call->error = error != NULL ? g_error_copy (error) : NULL;
  CmkUuid id = cmk_uuid_new ();
  cmk_uuid_format (&id, call->request_id);
  calls->count++;
  note_use (calls, method);
  cmk_callers_identify (calls->callers, g_dbus_method_invocation_get_sender (invocation), on_identified, call);
}
