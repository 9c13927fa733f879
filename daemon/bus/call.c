/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/call.h"

#include "base/error.h"
#include "bus/actions.h"
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
  GQueue waiting;          /* CmkCall, those that may be in a queue, earliest deadline first */
  guint deadline_timer;    /* 0 = none */
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
  gint64 deadline;
  GList waiting; /* the link in CmkCalls.waiting; has data while it is there */
  GVariantDict answer;
  GError *error;
  void (*go_on) (CmkCall *); /* when its sender has been found to be there */
};

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
  g_queue_init (&calls->waiting);
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
  if (calls->deadline_timer != 0)
    g_source_remove (calls->deadline_timer);
  if (calls->turner != 0)
    g_source_remove (calls->turner);
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
  const CmkAuditEntry entry = {
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
    .sequence = call->request != NULL && call->method->sequence != NULL ? call->method->sequence (call->request) : NULL,
    .weight = call->method->weight,
  };
  cmk_audit_call (&entry);
}

static void
stop_waiting (CmkCall *call)
{
  if (call->waiting.data == NULL)
    return;
  g_queue_unlink (&call->calls->waiting, &call->waiting);
  call->waiting.data = NULL;
}

static void
answer_call (CmkCall *call)
{
  CmkCalls *calls = call->calls;
  audit (call);
  note_use (calls, call->method);
  stop_waiting (call);
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

static void watch_deadlines (CmkCalls *calls);

static gboolean
on_deadline (gpointer data)
{
  CmkCalls *calls = data;
  gint64 now = g_get_monotonic_time ();
  for (CmkCall *call; (call = g_queue_peek_head (&calls->waiting)) != NULL && call->deadline <= now;)
    {
      stop_waiting (call);
      if (advance (call, PROGRESS_REFUSED))
        {
          note_lateness (call);
          answer_call (call);
        }
    }
  calls->deadline_timer = 0;
  watch_deadlines (calls);
  return G_SOURCE_REMOVE;
}

static void
watch_deadlines (CmkCalls *calls)
{
  const CmkCall *next = g_queue_peek_head (&calls->waiting);
  if (next == NULL || calls->deadline_timer != 0)
    return;
  gint64 left = MAX (next->deadline - g_get_monotonic_time (), 0);
  calls->deadline_timer = g_timeout_add ((guint) (left / 1000) + 1, on_deadline, calls);
}

static void
start_waiting (CmkCall *call)
{
  stop_waiting (call);
  call->deadline = g_get_monotonic_time () + QUEUE_DEADLINE;
  call->waiting.data = call;
  g_queue_push_tail_link (&call->calls->waiting, &call->waiting);
  watch_deadlines (call->calls);
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
static void ask_for_permit (CmkCall *call);

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
      ask_for_permit (call);
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
  if (call->deadline <= g_get_monotonic_time ())
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
  start_waiting (call);
  submit (call, effort);
}

/* --- waiting for what is missing --- */

static void
on_sender_looked_up (GObject *source, GAsyncResult *result, gpointer data)
{
  CmkCall *call = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  gboolean is_there = FALSE;
  if (reply != NULL)
    g_variant_get (reply, "(b)", &is_there);
  if (is_there)
    {
      call->go_on (call);
      return;
    }
  g_autoptr (GError) gone = g_error_new_literal (CMK_ERROR, CMK_ERROR_THROTTLED, "the caller did not wait");
  refuse (call, gone);
}

/* Go on with the call, unless its sender has left: it would take effect for nobody. */
static void
look_up_sender (CmkCall *call, void (*go_on) (CmkCall *))
{
  const char *sender = g_dbus_method_invocation_get_sender (call->invocation);
  call->go_on = go_on;
  g_dbus_connection_call (call->calls->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                          "org.freedesktop.DBus", "NameHasOwner", g_variant_new ("(s)", sender), G_VARIANT_TYPE ("(b)"),
                          G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_sender_looked_up, call);
}

static void
enqueue_full (CmkCall *call)
{
  enqueue (call, CMK_EFFORT_FULL);
}

void
cmk_call_resume (CmkCall *call, const GError *error)
{
  if (error != NULL)
    refuse (call, error);
  else
    look_up_sender (call, enqueue_full);
}

/* --- what it is permitted --- */

static void begin (CmkCall *call);

static void
on_decided (const GError *denied, gpointer data)
{
  CmkCall *call = data;
  if (denied == NULL)
    cmk_access_permit (&call->access);
  else if (call->access.question.action == CMK_ACTION_MANAGE_OTHERS_KEYS)
    call->access.is_kept_to_own = TRUE;
  else
    {
      refuse (call, denied);
      return;
    }
  look_up_sender (call, begin);
}

/* The run that found out what is to be permitted is the last one that is for nothing. */
static void
ask_for_permit (CmkCall *call)
{
  const char *sender = g_dbus_method_invocation_get_sender (call->invocation);
  GDBusMessage *message = g_dbus_method_invocation_get_message (call->invocation);
  g_clear_error (&call->error);
  stop_waiting (call);
  if (cmk_authority_remembers (call->calls->authority, sender, call->method->name, &call->access.question))
    {
      cmk_access_permit (&call->access);
      begin (call);
      return;
    }
  gboolean interactive =
      (g_dbus_message_get_flags (message) & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) != 0;
  cmk_authority_ask (call->calls->authority, sender, call->method->name, &call->access.question, interactive,
                     on_decided, call);
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
        ask_for_permit (call);
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

/* The main loop gets calls in the order in which they came. Who has sent many is not served before others for that: what
 * the main loop does itself it does for each user in turn, as the worker and the calculator do. */
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
