/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/kms.h"

#include "base/clock.h"
#include "base/error.h"
#include "kms/access.h"
#include "kms/due.h"
#include "kms/resident.h"

G_DEFINE_QUARK (CmkCacheMiss, cmk_cache_miss)

typedef enum
{
  ACCOUNTS_UNKNOWN,
  ACCOUNTS_UNVERIFIED, /* good enough to describe keys, as the rows of those */
  ACCOUNTS_KNOWN,
} AccountsKnown;

struct _CmkKms
{
  const CmkConfig *config;
  CmkVault *vault;
  CmkWorker *worker;
  CmkWorker *calculator;
  CmkWrappingPool *pool;
  CmkAccounts *accounts;
  AccountsKnown accounts_known; /* worker */
  CmkActiveKeys *active_keys;
  CmkBudgets *decrypt_failures;
  CmkBudgets *tpm_keys;
  CmkRates *rates;
  CmkSettling *settling;
  CmkDue *due;
  guint rest_timer; /* 0 = none */
  CmkImportWindows *import_windows;
  gboolean is_told_to_stop;
  const CmkKmsEvents *events;
  gpointer events_data;
};

const CmkConfig *
cmk_kms_config (CmkKms *kms)
{
  return kms->config;
}

CmkVault *
cmk_kms_vault (CmkKms *kms)
{
  return kms->vault;
}

CmkStore *
cmk_kms_store (CmkKms *kms)
{
  return cmk_vault_store (kms->vault);
}

CmkWorker *
cmk_kms_worker (CmkKms *kms)
{
  return kms->worker;
}

CmkWorker *
cmk_kms_calculator (CmkKms *kms)
{
  return kms->calculator;
}

CmkWrappingPool *
cmk_kms_pool (CmkKms *kms)
{
  return kms->pool;
}

CmkAccounts *
cmk_kms_accounts (CmkKms *kms)
{
  return kms->accounts;
}

CmkActiveKeys *
cmk_kms_active_keys (CmkKms *kms)
{
  return kms->active_keys;
}

CmkRates *
cmk_kms_rates (CmkKms *kms)
{
  return kms->rates;
}

CmkSettling *
cmk_kms_settling (CmkKms *kms)
{
  return kms->settling;
}

CmkBudgets *
cmk_kms_decrypt_failures (CmkKms *kms)
{
  return kms->decrypt_failures;
}

CmkDue *
cmk_kms_due (CmkKms *kms)
{
  return kms->due;
}

CmkImportWindows *
cmk_kms_import_windows (CmkKms *kms)
{
  return kms->import_windows;
}

void
cmk_key_reference_clear (CmkKeyReference *reference)
{
  g_clear_pointer (&reference->alias, g_free);
}

/* --- telling --- */

typedef struct
{
  CmkKms *kms;
  CmkUuid key_id;
  CmkKeyState state;
  const char *reason; /* NULL: its material expires soon */
  gint64 expires_at;
} Event;

static gboolean
deliver (gpointer data)
{
  Event *event = data;
  const CmkKmsEvents *events = event->kms->events;
  if (event->reason != NULL)
    events->key_changed (&event->key_id, event->state, event->reason, event->kms->events_data);
  else
    events->material_expiring (&event->key_id, event->expires_at, event->kms->events_data);
  return G_SOURCE_REMOVE;
}

static void
tell (const Event *event)
{
  g_idle_add_full (G_PRIORITY_DEFAULT, deliver, g_memdup2 (event, sizeof *event), g_free);
}

void
cmk_kms_tell (CmkKms *kms, const CmkUuid *key_id, CmkKeyState state, const char *reason)
{
  tell (&(Event) { .kms = kms, .key_id = *key_id, .state = state, .reason = reason });
}

static void
tell_expiring (const CmkUuid *key_id, gint64 expires_at, gpointer kms)
{
  tell (&(Event) { .kms = kms, .key_id = *key_id, .expires_at = expires_at });
}

void
cmk_kms_flush_told (CmkKms *kms)
{
  kms->events->flush (kms->events_data);
}

/* --- owners --- */

gint64
cmk_kms_owner (CmkKms *kms, const CmkCaller *caller)
{
  return cmk_accounts_find (kms->accounts, caller->uid, caller->account);
}

gint64
cmk_kms_assign_owner (CmkKms *kms, const CmkCaller *caller)
{
  return cmk_accounts_assign (kms->accounts, caller->uid, caller->account);
}

gboolean
cmk_kms_write_owner (CmkKms *kms, gint64 owner, GError **error)
{
  return cmk_accounts_write (kms->accounts, cmk_kms_store (kms), owner, error);
}

/* The caller has been found to see something of @owner's. What fails here the next call does. */
static void
claim_own (CmkKms *kms, const CmkCaller *caller, gint64 owner)
{
  g_autoptr (GError) error = NULL;
  if (kms->accounts_known == ACCOUNTS_KNOWN && owner == cmk_kms_owner (kms, caller) &&
      !cmk_accounts_claim (kms->accounts, cmk_kms_store (kms), caller->uid, caller->account, &error))
    g_message ("whose the keys of uid %u are is not written down yet: %s", caller->uid, error->message);
}

static gboolean
know_accounts (CmkKms *kms, AccountsKnown how, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (kms->accounts_known >= how)
    return TRUE;
  if (how == ACCOUNTS_KNOWN && !cmk_accounts_drop_unused (cmk_kms_store (kms), &local_error))
    g_message ("accounts that have nothing any more are kept until the next start: %s", local_error->message);
  if (!cmk_accounts_load (kms->accounts, cmk_kms_store (kms), error))
    return FALSE;
  kms->accounts_known = how;
  return TRUE;
}

/* --- keys --- */

void
cmk_kms_refuse_unknown_key (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND,
                       "there is no such key, or it is not yours to see: ListKeys shows the keys you have");
}

gboolean
cmk_kms_resolve (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, CmkUuid *ret_id,
                 GError **error)
{
  *ret_id = reference->id;
  if (reference->alias == NULL)
    return TRUE;
  g_autoptr (CmkAliasRecord) alias =
      cmk_store_get_alias (cmk_kms_store (kms), cmk_kms_owner (kms, caller), reference->alias, error);
  if (alias != NULL)
    *ret_id = alias->key_id;
  return alias != NULL;
}

gboolean
cmk_kms_is_deleted (const CmkKeyRecord *record)
{
  return record->state == CMK_KEY_STATE_PENDING_DELETION && record->delete_at <= cmk_clock_proven ();
}

/* What is unknown, another's, deleted, or a damaged row that does not claim to be the caller's, is one to the
 * caller. */
static gboolean
is_visible (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkKeyRecord *record, const GError *error)
{
  if (record != NULL)
    return !cmk_kms_is_deleted (record) && cmk_access_sees (kms, caller, record);
  if (g_error_matches (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND))
    return FALSE;
  return caller->uid == 0 || !g_error_matches (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED) ||
         cmk_store_claims_owner (cmk_kms_store (kms), id, cmk_kms_owner (kms, caller));
}

CmkKeyRecord *
cmk_kms_load_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, gint64 when, GError **error)
{
  CmkUuid id;
  if (!cmk_kms_resolve (kms, caller, reference, &id, error))
    return NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkKeyRecord) record = cmk_store_get_key (cmk_kms_store (kms), &id, &local_error);
  cmk_access_note_key (caller, &id);
  if (!is_visible (kms, caller, &id, record, local_error))
    {
      cmk_access_refuse (kms, caller, &id, record, error);
      return NULL;
    }
  if (record == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (!cmk_access_require (kms, caller, &id, record, error))
    return NULL;
  claim_own (kms, caller, record->owner);
  /* It may not be erased yet, for the clock is ahead or the disk is full: what has expired is refused all the same. */
  cmk_kms_strip_if_expired (record, when);
  return g_steal_pointer (&record);
}

gboolean
cmk_kms_require_enabled (CmkKeyState state, GError **error)
{
  switch (state)
    {
    case CMK_KEY_STATE_ENABLED:
      return TRUE;
    case CMK_KEY_STATE_DISABLED:
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_KEY_DISABLED, "the key is disabled: call EnableKey first");
      return FALSE;
    case CMK_KEY_STATE_PENDING_DELETION:
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_KEY_PENDING_DELETION,
                           "the key is scheduled for deletion: call CancelKeyDeletion first");
      return FALSE;
    case CMK_KEY_STATE_PENDING_IMPORT:
    default:
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_KEY_PENDING_IMPORT,
                           "the key has no material: import it (GetParametersForImport, then ImportKeyMaterial)");
      return FALSE;
    }
}

gboolean
cmk_kms_require_no_deletion (CmkKeyState state, GError **error)
{
  return state != CMK_KEY_STATE_PENDING_DELETION || cmk_kms_require_enabled (state, error);
}

void
cmk_kms_strip_material (CmkKeyRecord *record)
{
  g_clear_pointer (&record->sealed_key, g_bytes_unref);
  g_clear_pointer (&record->envelope, g_bytes_unref);
  record->expires_at = 0;
  if (record->state != CMK_KEY_STATE_PENDING_DELETION)
    record->state = CMK_KEY_STATE_PENDING_IMPORT;
}

void
cmk_kms_strip_if_expired (CmkKeyRecord *record, gint64 now)
{
  if (record->expires_at != 0 && record->expires_at <= now)
    cmk_kms_strip_material (record);
}

gboolean
cmk_kms_protect_material (CmkKms *kms, CmkKeyRecord *record, GError **error)
{
  GBytes *stored = cmk_erasure_protect (cmk_vault_erasure (kms->vault), record->envelope, error);
  if (stored == NULL)
    return FALSE;
  g_bytes_unref (record->envelope);
  record->envelope = stored;
  return TRUE;
}

gboolean
cmk_kms_seal_material (CmkKms *kms, CmkTpmSession *session, CmkKeyRecord *record, const CmkSecret *material,
                       GError **error)
{
  g_autoptr (GBytes) sealed_key = NULL;
  g_autoptr (GBytes) envelope = NULL;
  CmkSecretIdentity identity = cmk_kms_material_identity (record);
  if (record->protection_level == CMK_PROTECTION_LEVEL_TPM)
    {
      sealed_key = g_bytes_new (NULL, 0);
      envelope = cmk_resident_import (kms->vault, session, record->spec, material, error);
    }
  else if (!cmk_vault_seal (kms->vault, session, &identity, material, CMK_TPM_LAST, &sealed_key, &envelope, error))
    return FALSE;
  if (envelope == NULL)
    return FALSE;
  g_clear_pointer (&record->sealed_key, g_bytes_unref);
  g_clear_pointer (&record->envelope, g_bytes_unref);
  record->sealed_key = g_steal_pointer (&sealed_key);
  record->envelope = g_steal_pointer (&envelope);
  return TRUE;
}

gboolean
cmk_kms_charge_tpm_key (CmkKms *kms, guint32 uid, GError **error)
{
  return cmk_budgets_charge (kms->tpm_keys, NULL, uid, g_get_monotonic_time (), error);
}

CmkSecretIdentity
cmk_kms_material_identity (const CmkKeyRecord *record)
{
  return (CmkSecretIdentity) {
    .kind = CMK_SECRET_MATERIAL,
    .id = record->id,
    .spec = record->spec,
    .expires_at = record->expires_at,
  };
}

void
cmk_kms_keep_active (CmkKms *kms, const CmkKeyRecord *record, const CmkSecret *material, GBytes *public_key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkGrantList) grants = cmk_grant_list_load (cmk_kms_store (kms), &record->id, &error);
  if (grants == NULL)
    {
      g_warning ("a key is not kept for the uses that come next: %s", error->message);
      return;
    }
  const CmkActiveKey key = {
    .id = record->id,
    .owner = record->owner,
    .origin = record->origin,
    .spec = record->spec,
    .usage = record->usage,
    .expires_at = record->expires_at,
    .public_key = public_key,
    .grants = grants,
  };
  if (material != NULL && record->protection_level == CMK_PROTECTION_LEVEL_SOFTWARE)
    cmk_keyring_keep_material (cmk_vault_keyring (kms->vault), &record->id, material);
  cmk_active_keys_put (kms->active_keys, &key);
}

void
cmk_kms_forget (CmkKms *kms, const CmkUuid *key_id)
{
  cmk_active_keys_forget (kms->active_keys, key_id);
  cmk_keyring_drop_material (cmk_vault_keyring (kms->vault), key_id);
  cmk_resident_forget (kms->vault, key_id);
}

void
cmk_kms_key_changed (CmkKms *kms, const CmkUuid *key_id, CmkKeyState state, const char *reason)
{
  cmk_kms_forget (kms, key_id);
  cmk_kms_tell (kms, key_id, state, reason);
}

gboolean
cmk_kms_commit_key (CmkKms *kms, const CmkKeyRecord *record, const char *reason, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  if (transaction == NULL || !cmk_store_update_key (store, record, error))
    return FALSE;
  cmk_kms_forget (kms, &record->id);
  if (!cmk_store_commit (transaction, error))
    return FALSE;
  cmk_kms_key_changed (kms, &record->id, record->state, reason);
  return TRUE;
}

/* --- each call --- */

gboolean
cmk_kms_begin (CmkKms *kms, gint64 *ret_now, GError **error)
{
  if (!cmk_vault_unlock (kms->vault, error) || !cmk_anchor_check (cmk_vault_anchor (kms->vault), error) ||
      !know_accounts (kms, ACCOUNTS_KNOWN, error) || !cmk_due_run (kms->due, CMK_DUE_SLICE, error))
    return FALSE;
  *ret_now = cmk_clock_now ();
  return TRUE;
}

CmkKeyRecord *
cmk_kms_begin_with_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, GError **error)
{
  gint64 now;
  return cmk_kms_begin (kms, &now, error) ? cmk_kms_load_key (kms, caller, reference, now, error) : NULL;
}

gboolean
cmk_kms_begin_reading (CmkKms *kms, gint64 *ret_now, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (cmk_kms_begin (kms, ret_now, &local_error))
    return TRUE;
  if (!cmk_vault_is_readable (kms->vault, local_error))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (!know_accounts (kms, ACCOUNTS_UNVERIFIED, error))
    return FALSE;
  *ret_now = cmk_clock_now ();
  return TRUE;
}

/* --- rest --- */

static void
rest (gpointer vault)
{
  cmk_vault_rest (vault);
}

static gboolean
on_rest_timer (gpointer data)
{
  CmkKms *kms = data;
  cmk_worker_submit (kms->worker, CMK_WORKER_OWN_ERRANDS, rest, kms->vault);
  return G_SOURCE_CONTINUE;
}

/* --- life --- */

CmkKms *
cmk_kms_open (const CmkConfig *config, const char *directory, const CmkKmsEvents *events, gpointer user_data,
              GError **error)
{
  g_autoptr (CmkKms) kms = g_new0 (CmkKms, 1);
  kms->config = config;
  kms->events = events;
  kms->events_data = user_data;
  kms->accounts = cmk_accounts_new ();
  kms->active_keys = cmk_active_keys_new ();
  kms->import_windows = cmk_import_windows_new ();
  kms->decrypt_failures = cmk_budgets_new (config->decrypt_failures_per_minute, G_TIME_SPAN_MINUTE,
                                           "too many ciphertexts of yours could not be decrypted with this key",
                                           "DecryptFailuresPerMinute");
  kms->tpm_keys = cmk_budgets_new (config->tpm_keys_per_hour, G_TIME_SPAN_HOUR,
                                   "so many keys and credentials of one user would keep the TPM from everybody else",
                                   "TpmKeysPerHour");
  kms->rates = cmk_rates_new (config);
  kms->vault = cmk_vault_open (config, directory, error);
  if (kms->vault == NULL)
    return NULL;
  kms->due = cmk_due_new (kms, tell_expiring, error);
  if (kms->due == NULL)
    return NULL;
  kms->worker = cmk_worker_start ("worker");
  kms->settling = cmk_settling_new (config, kms->vault, kms->worker);
  if (!cmk_vault_is_unlocked (kms->vault))
    cmk_due_retry (kms->due);
  else if (cmk_anchor_check (cmk_vault_anchor (kms->vault), NULL) && !cmk_due_run (kms->due, CMK_DUE_ALL, error))
    return NULL;
  if (cmk_settling_end (kms->settling, TRUE) != CMK_SETTLING_NOT_HELD)
    cmk_settling_run (kms->settling);
  guint session_seconds = cmk_vault_session_seconds (kms->vault);
  if (session_seconds != 0)
    kms->rest_timer = g_timeout_add_seconds (MAX (session_seconds / 2, 1), on_rest_timer, kms);
  kms->calculator = cmk_worker_start ("calculator");
  /* From here on the TPM is the worker's. */
  cmk_worker_submit (kms->worker, CMK_WORKER_OWN_ERRANDS, rest, kms->vault);
  kms->pool = cmk_wrapping_pool_start (config, kms->vault, kms->worker);
  return g_steal_pointer (&kms);
}

const char *
cmk_kms_reason_to_stay (CmkKms *kms, gint64 seconds)
{
  if (cmk_import_windows_any (kms->import_windows))
    return "an import is under way";
  /* Nobody knows what is due, but who tries again each minute is soon to. */
  if (g_str_equal (cmk_vault_state_status (kms->vault), "locked"))
    return "the TPM has not opened the state yet";
  if (cmk_due_is_near (kms->due, seconds))
    return "something is due soon";
  gint64 now = g_get_monotonic_time ();
  if (cmk_settling_has_charged (kms->settling) || cmk_budgets_any_used (kms->decrypt_failures, now) ||
      cmk_budgets_any_used (kms->tpm_keys, now))
    return "a budget is not full again yet";
  return NULL;
}

void
cmk_kms_begin_stop (CmkKms *kms)
{
  kms->is_told_to_stop = TRUE;
  cmk_tpm_hurry ();
  cmk_wrapping_pool_stop (kms->pool);
}

void
cmk_kms_close (CmkKms *kms)
{
  if (kms == NULL)
    return;
  if (kms->rest_timer != 0)
    g_source_remove (kms->rest_timer);
  if (kms->pool != NULL)
    {
      cmk_wrapping_pool_stop (kms->pool);
      cmk_wrapping_pool_join (kms->pool);
    }
  cmk_worker_stop (kms->calculator);
  cmk_worker_stop (kms->worker);
  if (kms->due != NULL)
    cmk_due_conclude (kms->due, kms->is_told_to_stop);
  if (kms->settling != NULL)
    cmk_settling_conclude (kms->settling);
  if (kms->pool != NULL)
    cmk_wrapping_pool_free (kms->pool);
  cmk_settling_free (kms->settling);
  cmk_due_free (kms->due);
  cmk_rates_free (kms->rates);
  cmk_budgets_free (kms->tpm_keys);
  cmk_budgets_free (kms->decrypt_failures);
  cmk_import_windows_free (kms->import_windows);
  cmk_active_keys_free (kms->active_keys);
  cmk_accounts_free (kms->accounts);
  cmk_vault_close (kms->vault);
  g_free (kms);
}
