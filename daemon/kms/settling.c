/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/settling.h"

#include "base/error.h"
#include "kms/budget.h"
#include "tpm/tpm.h"

/* Who waits is not made to wait for more jobs than these: they may be somebody else's, and have no end. */
#define MAX_JOBS_WAITED_FOR 16

typedef struct
{
  CmkSettlingHold hold;
  CmkSettledFunc settled;
  gpointer data;
} Waiting;

struct _CmkSettling
{
  CmkVault *vault;
  CmkWorker *worker;
  guint timer;
  CmkBudgets *budgets;
  GArray *waiting;
  guint jobs_waited_for;
  CmkSettlingHold hold; /* of the call under way */
  gboolean has_erased;  /* the call under way, of others' */
  gboolean is_wanted;   /* by nobody who waits */
};

/* --- the call under way --- */

gboolean
cmk_settling_charge (CmkSettling *settling, guint32 uid, GError **error)
{
  return cmk_budgets_charge (settling->budgets, NULL, uid, g_get_monotonic_time (), error);
}

gboolean
cmk_settling_has_charged (CmkSettling *settling)
{
  return cmk_budgets_any_used (settling->budgets, g_get_monotonic_time ());
}

gboolean
cmk_settling_require (CmkSettling *settling, guint32 uid, GError **error)
{
  if (!cmk_settling_charge (settling, uid, error))
    return FALSE;
  settling->hold = CMK_SETTLING_REQUIRED;
  return TRUE;
}

void
cmk_settling_require_owed (CmkSettling *settling)
{
  if (cmk_anchor_owes_step (cmk_vault_anchor (settling->vault)))
    settling->hold = CMK_SETTLING_REQUIRED;
}

void
cmk_settling_note_erasure (CmkSettling *settling)
{
  settling->has_erased = settling->is_wanted = TRUE;
}

void
cmk_settling_begin (CmkSettling *settling)
{
  settling->hold = CMK_SETTLING_NOT_HELD;
  settling->has_erased = FALSE;
}

CmkSettlingHold
cmk_settling_end (CmkSettling *settling, gboolean done)
{
  if (done && settling->hold == CMK_SETTLING_REQUIRED)
    return CMK_SETTLING_REQUIRED;
  return settling->has_erased ? CMK_SETTLING_HELD : CMK_SETTLING_NOT_HELD;
}

/* --- the step --- */

static gboolean
is_trouble_with_disk (const GError *error)
{
  return g_error_matches (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL) ||
         g_error_matches (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE);
}

static gboolean
step (CmkSettling *settling, GError **error)
{
  if (!cmk_vault_is_unlocked (settling->vault) || !cmk_anchor_needs_step (cmk_vault_anchor (settling->vault)))
    return TRUE;
  g_autoptr (GError) local_error = NULL;
  if (cmk_vault_step (settling->vault, &local_error))
    return TRUE;
  /* What those who wait have done stands already, so one trouble with the disk is not told as a refusal. */
  if (is_trouble_with_disk (local_error))
    return cmk_vault_step (settling->vault, error);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

void
cmk_settling_run (CmkSettling *settling)
{
  g_autoptr (GError) error = NULL;
  settling->is_wanted = FALSE;
  settling->jobs_waited_for = 0;
  if (!step (settling, &error))
    {
      g_warning ("the TPM has not taken note of the last changes yet: %s", error->message);
      g_prefix_error (&error, "it was done, but the TPM has not taken note of it, which is tried again: ");
    }
  g_autoptr (GArray) waiting = settling->waiting;
  settling->waiting = g_array_new (FALSE, FALSE, sizeof (Waiting));
  for (guint i = 0; i < waiting->len; i++)
    {
      const Waiting *call = &g_array_index (waiting, Waiting, i);
      call->settled (call->data, call->hold == CMK_SETTLING_REQUIRED ? error : NULL);
    }
}

void
cmk_settling_wait (CmkSettling *settling, CmkSettlingHold hold, CmkSettledFunc settled, gpointer data)
{
  const Waiting call = { .hold = hold, .settled = settled, .data = data };
  g_array_append_val (settling->waiting, call);
}

static void
on_job_done (gpointer data, gboolean is_idle)
{
  CmkSettling *settling = data;
  gboolean somebody_waits = settling->waiting->len > 0;
  settling->jobs_waited_for = somebody_waits ? settling->jobs_waited_for + 1 : 0;
  cmk_tpm_begin_call (); /* what the last job left of its time is not what the step of all has */
  if ((is_idle && (somebody_waits || settling->is_wanted)) || settling->jobs_waited_for > MAX_JOBS_WAITED_FOR)
    cmk_settling_run (settling);
  cmk_tpm_begin_call ();
}

static void
want_step (gpointer data)
{
  ((CmkSettling *) data)->is_wanted = TRUE;
}

static gboolean
on_timer (gpointer data)
{
  CmkSettling *settling = data;
  cmk_worker_submit (settling->worker, CMK_WORKER_OWN_ERRANDS, want_step, settling);
  return G_SOURCE_CONTINUE;
}

/* --- life --- */

CmkSettling *
cmk_settling_new (const CmkConfig *config, CmkVault *vault, CmkWorker *worker)
{
  CmkSettling *settling = g_new0 (CmkSettling, 1);
  settling->vault = vault;
  settling->worker = worker;
  settling->budgets =
      cmk_budgets_new (config->steps_per_day, G_TIME_SPAN_DAY,
                       "so many changes by one user would wear out the memory of the TPM", "StepsPerDay");
  settling->waiting = g_array_new (FALSE, FALSE, sizeof (Waiting));
  settling->timer = g_timeout_add_seconds (MAX (config->anchor_seconds, 1), on_timer, settling);
  cmk_worker_set_after_job (worker, on_job_done, settling);
  cmk_tpm_begin_call ();
  return settling;
}

void
cmk_settling_conclude (CmkSettling *settling)
{
  cmk_settling_run (settling);
}

void
cmk_settling_free (CmkSettling *settling)
{
  if (settling == NULL)
    return;
  g_source_remove (settling->timer);
  cmk_budgets_free (settling->budgets);
  g_array_unref (settling->waiting);
  g_free (settling);
}
