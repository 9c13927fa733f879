/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/due.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmkd-journal.h"
#include "kms/clock-mark.h"
#include "kms/deletion.h"
#include "kms/expiry-timer.h"
#include "kms/import-token.h"

/* In the past, so that the next call and the timer look. */
#define NOT_KNOWN (-1)

/* What a crash of the machine may cost of the confirmed time, if its clock is set back too. Each time is a commit, and
 * each commit wears the TPM. */
#define KEEP_SECONDS 3600
/* What it may cost while nobody calls: of a process that is started hourly to erase what has expired, or ends
 * unused. */
#define KEEP_UNCALLED_SECONDS (6 * 3600)
/* At the end it is dearer to write than to wait for what goes on by itself until the machine stops. */
#define KEEP_AT_END_SECONDS 600

struct _CmkDue
{
  CmkKms *kms;
  CmkExpiryTimer *timer;
  CmkExpiryNotices *notices;
  gboolean has_started;
  gboolean is_errand;     /* what runs is the timer's: it looks whether or not anything seems due */
  gboolean is_going_on;   /* an errand does the rest */
  gint64 next_expiry;     /* confirmed time; nothing is due before; 0 = nothing will be; or NOT_KNOWN */
  gint64 next_deletion;   /* proven time; likewise */
  gint64 kept_at;         /* confirmed time of the mark that is in the store */
  gboolean keeps_notices; /* the store is to know of notices, once they have been sent */
  _Atomic gint64 next;    /* confirmed time of whatever comes first; 0 = nothing will */
  gint undelivered;       /* atomic: batches of them that the main thread has not sent yet */
};

/* --- the clock --- */

static gboolean
keep_times (CmkDue *due, GError **error)
{
  gboolean are_delivered = g_atomic_int_get (&due->undelivered) == 0;
  CmkStore *store = cmk_kms_store (due->kms);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  return transaction != NULL && cmk_clock_mark_put (store, error) &&
         cmk_expiry_notices_put (due->notices, store, are_delivered, error) && cmk_store_commit (transaction, error);
}

/* A full disk must not keep us from going on: the mark is the older one, then, and is tried again later. */
static void
try_to_keep_times (CmkDue *due)
{
  g_autoptr (GError) error = NULL;
  due->kept_at = cmk_clock_confirmed ();
  due->keeps_notices &= g_atomic_int_get (&due->undelivered) != 0;
  if (!keep_times (due, &error))
    g_warning ("the time that has passed could not be kept: %s", error->message);
}

static gboolean
start_clock (CmkDue *due, GError **error)
{
  CmkStore *store = cmk_kms_store (due->kms);
  if (due->has_started)
    return TRUE;
  if (!cmk_clock_mark_load (store, &due->kept_at, error) ||
      !cmk_expiry_notices_load (due->notices, store, cmk_clock_confirmed (), error))
    return FALSE;
  due->has_started = TRUE;
  return TRUE;
}

/* --- expiry --- */

static gboolean
erase_slice (CmkDue *due, GArray *ids, GError **error)
{
  CmkStore *store = cmk_kms_store (due->kms);
  g_autoptr (GArray) states = g_array_new (FALSE, FALSE, sizeof (CmkKeyState));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  if (transaction == NULL)
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    {
      g_autoptr (CmkKeyRecord) record = cmk_store_get_key (store, &g_array_index (ids, CmkUuid, i), error);
      if (record == NULL)
        return FALSE;
      cmk_kms_strip_material (record);
      g_array_append_val (states, record->state);
      cmk_kms_forget (due->kms, &record->id);
      if (!cmk_store_update_key (store, record, error))
        return FALSE;
    }
  if (!cmk_store_commit (transaction, error))
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    {
      const CmkUuid *id = &g_array_index (ids, CmkUuid, i);
      char text[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (id, text);
      g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", CMKD_MESSAGE_MATERIAL_EXPIRED, "CMKD_KEY_ID",
                        text, "MESSAGE", "the material of key %s has expired and was erased", text);
      cmk_kms_key_changed (due->kms, id, g_array_index (states, CmkKeyState, i), "MaterialExpired");
    }
  return TRUE;
}

static gboolean
erase_expired (CmkDue *due, CmkDueEffort effort, gint64 confirmed, gboolean *ret_more, GError **error)
{
  CmkStore *store = cmk_kms_store (due->kms);
  do
    {
      g_autoptr (GArray) ids = cmk_store_list_expired (store, confirmed, CMK_SWEEP_SLICE, error);
      if (ids == NULL || (ids->len > 0 && !erase_slice (due, ids, error)))
        return FALSE;
      *ret_more = ids->len == CMK_SWEEP_SLICE;
    }
  while (*ret_more && effort == CMK_DUE_ALL);
  return TRUE;
}

static gboolean
erase_sets (CmkDue *due, gint64 confirmed, GError **error)
{
  CmkStore *store = cmk_kms_store (due->kms);
  gint64 latest = cmk_import_latest_expiry (cmk_clock_now ());
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  return transaction != NULL && cmk_store_delete_expired_import_sets (store, confirmed, latest, error) &&
         cmk_store_commit (transaction, error);
}

/* --- what is due --- */

static gboolean
find_next (CmkDue *due, gint64 confirmed, GError **error)
{
  CmkStore *store = cmk_kms_store (due->kms);
  gint64 material, set, deletion;
  if (!cmk_store_next_expiry (store, confirmed, &material, error) ||
      !cmk_store_next_import_set_expiry (store, &set, error) || !cmk_store_next_deletion (store, &deletion, error))
    return FALSE;
  due->next_expiry = material != 0 && (set == 0 || material < set) ? material : set;
  due->next_deletion = deletion;
  return TRUE;
}

/* What fails does not keep the rest from being erased. */
static gboolean
sweep (CmkDue *due, CmkDueEffort effort, gint64 confirmed, GError **error)
{
  gboolean more_to_delete = FALSE, more_expired = FALSE;
  gboolean done = cmk_deletion_run_due (due->kms, effort, cmk_clock_proven (), &more_to_delete, error);
  done &= erase_sets (due, confirmed, done ? error : NULL);
  done &= erase_expired (due, effort, confirmed, &more_expired, done ? error : NULL);
  due->is_going_on = done && (more_to_delete || more_expired);
  return done && (due->is_going_on || find_next (due, confirmed, error));
}

static void run_errand (gpointer data);

static void
sweep_or_retry (CmkDue *due, CmkDueEffort effort, gint64 confirmed)
{
  g_autoptr (GError) error = NULL;
  if (!sweep (due, effort, confirmed, &error))
    {
      /* The next call and the timer try again. */
      g_warning ("what has expired or is to be deleted could not be erased: %s", error->message);
      due->next_expiry = NOT_KNOWN;
    }
  gboolean erased = FALSE;
  if (cmk_store_has_erasures (cmk_kms_store (due->kms), &erased, NULL) && erased)
    cmk_settling_note_erasure (cmk_kms_settling (due->kms));
  if (due->is_going_on)
    cmk_worker_submit (cmk_kms_worker (due->kms), CMK_WORKER_OWN_ERRANDS, run_errand, due);
}

/* Main thread, after the notices. */
static gboolean
on_delivered (gpointer data)
{
  CmkDue *due = data;
  cmk_kms_flush_told (due->kms);
  g_atomic_int_add (&due->undelivered, -1);
  cmk_worker_submit (cmk_kms_worker (due->kms), CMK_WORKER_OWN_ERRANDS, run_errand, due);
  return G_SOURCE_REMOVE;
}

/* Sent first, and then kept: a crash in between must not swallow them. */
static void
give_notice (CmkDue *due, gint64 confirmed)
{
  CmkStore *store = cmk_kms_store (due->kms);
  g_autoptr (GError) error = NULL;
  if (!cmk_expiry_notices_tell (due->notices, store, confirmed, &error))
    g_warning ("not everybody was told of material that expires soon: %s", error->message);
  due->keeps_notices = TRUE;
  g_atomic_int_add (&due->undelivered, 1);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_delivered, due, NULL);
}

/* The mark of the time, and the notices that were sent. */
static gboolean
has_to_keep (const CmkDue *due, gint64 seconds)
{
  return cmk_clock_confirmed () - due->kept_at >= seconds ||
         (due->keeps_notices && g_atomic_int_get (&due->undelivered) == 0);
}

static gboolean
has_come (gint64 when, gint64 time)
{
  return when != 0 && when <= time;
}

/* -1: never. */
static gint64
wait_for (gint64 when, gint64 time)
{
  return when != 0 ? MAX (when - time, 0) : -1;
}

static gint64
sooner (gint64 wait, gint64 other)
{
  return wait < 0 || (other >= 0 && other < wait) ? other : wait;
}

static void
set_timer (CmkDue *due)
{
  gint64 confirmed = cmk_clock_confirmed ();
  gint64 wait = sooner (wait_for (due->next_expiry, confirmed), wait_for (due->next_deletion, cmk_clock_proven ()));
  wait = sooner (wait, wait_for (cmk_expiry_notices_next (due->notices), confirmed));
  due->next = wait >= 0 ? confirmed + wait : 0;
  cmk_expiry_timer_set (due->timer, sooner (wait, wait_for (cmk_clock_next_look (), 0)));
}

gboolean
cmk_due_is_near (CmkDue *due, gint64 seconds)
{
  gint64 next = due->next;
  return (next != 0 && next <= cmk_clock_confirmed () + seconds) || g_atomic_int_get (&due->undelivered) > 0;
}

static gboolean
has_work (const CmkDue *due, gint64 confirmed)
{
  if (due->is_errand || due->is_going_on)
    return due->is_errand;
  return has_come (due->next_expiry, confirmed) || has_come (due->next_deletion, cmk_clock_proven ());
}

gboolean
cmk_due_run (CmkDue *due, CmkDueEffort effort, GError **error)
{
  if (!start_clock (due, error))
    return FALSE;
  gboolean has_leapt = cmk_clock_look ();
  gint64 confirmed = cmk_clock_confirmed ();
  if (has_leapt || has_to_keep (due, effort == CMK_DUE_ALL ? KEEP_UNCALLED_SECONDS : KEEP_SECONDS))
    try_to_keep_times (due);
  gboolean sweeps = has_work (due, confirmed);
  if (sweeps)
    sweep_or_retry (due, effort, confirmed);
  gboolean gives_notice = has_come (cmk_expiry_notices_next (due->notices), confirmed);
  if (gives_notice)
    give_notice (due, confirmed);
  else
    cmk_expiry_notices_pass (due->notices, confirmed);
  if (sweeps || gives_notice || has_leapt)
    set_timer (due);
  return TRUE;
}

/* --- the timer --- */

static void
run_errand (gpointer data)
{
  CmkDue *due = data;
  gint64 now;
  g_autoptr (GError) error = NULL;
  due->is_errand = TRUE;
  if (!cmk_kms_begin (due->kms, &now, &error))
    {
      g_message ("what has expired or is to be deleted is not erased yet: %s", error->message);
      cmk_due_retry (due);
    }
  due->is_errand = FALSE;
}

static void
on_timer (gpointer data)
{
  CmkDue *due = data;
  cmk_worker_submit (cmk_kms_worker (due->kms), CMK_WORKER_OWN_ERRANDS, run_errand, due);
}

void
cmk_due_retry (CmkDue *due)
{
  cmk_expiry_timer_set (due->timer, 0);
}

/* --- life --- */

CmkDue *
cmk_due_new (CmkKms *kms, CmkExpiringFunc expiring, GError **error)
{
  CmkDue *due = g_new0 (CmkDue, 1);
  due->kms = kms;
  due->next_expiry = NOT_KNOWN;
  due->notices = cmk_expiry_notices_new (cmk_kms_config (kms), expiring, kms);
  due->timer = cmk_expiry_timer_new (on_timer, due, error);
  if (due->timer != NULL)
    return due;
  cmk_due_free (due);
  return NULL;
}

void
cmk_due_free (CmkDue *due)
{
  if (due == NULL)
    return;
  cmk_expiry_timer_free (due->timer);
  cmk_expiry_notices_free (due->notices);
  g_free (due);
}

void
cmk_due_conclude (CmkDue *due, gboolean stop)
{
  if (!due->has_started)
    return;
  cmk_clock_look ();
  if (has_to_keep (due, stop ? KEEP_AT_END_SECONDS : KEEP_UNCALLED_SECONDS))
    try_to_keep_times (due);
}

static void
note (CmkDue *due, gint64 *next, gint64 when)
{
  if (when != 0 && (*next == 0 || when < *next))
    *next = when;
  set_timer (due);
}

void
cmk_due_note_set_expiry (CmkDue *due, gint64 when)
{
  note (due, &due->next_expiry, when);
}

void
cmk_due_note_expiry (CmkDue *due, gint64 when)
{
  if (when != 0)
    cmk_expiry_notices_note (due->notices, when);
  note (due, &due->next_expiry, when);
}

void
cmk_due_note_deletion (CmkDue *due, gint64 when)
{
  note (due, &due->next_deletion, when);
}
