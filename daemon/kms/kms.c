/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/kms.h"

#include "base/clock.h"
#include "base/error.h"
#include "kms/deletion.h"
#include "kms/expiry-timer.h"

G_DEFINE_QUARK (CmkCacheMiss, cmk_cache_miss)

struct _CmkKms
{
  const CmkConfig *config;
  CmkVault *vault;
  CmkWorker *worker;
  CmkWorker *calculator;
  CmkWrappingPool *pool;
  CmkActiveKeys *active_keys;
  CmkDecryptFailures *decrypt_failures;
  CmkExpiryTimer *expiry_timer;
  CmkSettling *settling;
  CmkKeyChangedFunc key_changed;
  gpointer key_changed_data;
  gint64 next_expiry; /* worker: nothing is due before; 0 = nothing will be; or NOT_KNOWN */
};

/* In the past, so that the next call and the timer look. */
#define NOT_KNOWN (-1)

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

CmkActiveKeys *
cmk_kms_active_keys (CmkKms *kms)
{
  return kms->active_keys;
}

CmkSettling *
cmk_kms_settling (CmkKms *kms)
{
  return kms->settling;
}

CmkDecryptFailures *
cmk_kms_decrypt_failures (CmkKms *kms)
{
  return kms->decrypt_failures;
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
  const char *reason;
} Event;

static gboolean
deliver (gpointer data)
{
  Event *event = data;
  event->kms->key_changed (&event->key_id, event->state, event->reason, event->kms->key_changed_data);
  return G_SOURCE_REMOVE;
}

void
cmk_kms_tell (CmkKms *kms, const CmkUuid *key_id, CmkKeyState state, const char *reason)
{
  Event *event = g_new (Event, 1);
  *event = (Event) { .kms = kms, .key_id = *key_id, .state = state, .reason = reason };
  g_idle_add_full (G_PRIORITY_DEFAULT, deliver, event, g_free);
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
      cmk_store_get_alias (cmk_vault_store (kms->vault), caller->uid, reference->alias, error);
  if (alias != NULL)
    *ret_id = alias->key_id;
  return alias != NULL;
}

gboolean
cmk_kms_is_deleted (const CmkKeyRecord *record, gint64 now)
{
  return record->state == CMK_KEY_STATE_PENDING_DELETION && record->delete_at <= now;
}

/* What is unknown, another's, deleted, or a damaged row that does not claim to be the caller's, is one to the caller. */
static gboolean
is_visible (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkKeyRecord *record, gint64 now,
            const GError *error)
{
  if (record != NULL)
    return (caller->uid == 0 || caller->uid == record->owner_uid) && !cmk_kms_is_deleted (record, now);
  if (g_error_matches (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND))
    return FALSE;
  return caller->uid == 0 || !g_error_matches (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED) ||
         cmk_store_claims_owner (cmk_vault_store (kms->vault), id, caller->uid);
}

CmkKeyRecord *
cmk_kms_load_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, gint64 now, GError **error)
{
  CmkUuid id;
  if (!cmk_kms_resolve (kms, caller, reference, &id, error))
    return NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkKeyRecord) record = cmk_store_get_key (cmk_vault_store (kms->vault), &id, &local_error);
  if (!is_visible (kms, caller, &id, record, now, local_error))
    {
      cmk_kms_refuse_unknown_key (error);
      return NULL;
    }
  if (record == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  /* The sweep of cmk_kms_begin() may have failed on a full disk: what has expired is refused all the same. */
  cmk_kms_strip_if_expired (record, now);
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
  CmkActiveKey key = {
    .id = record->id,
    .owner_uid = record->owner_uid,
    .spec = record->spec,
    .usage = record->usage,
    .expires_at = record->expires_at,
    .public_key = public_key,
  };
  if (material != NULL)
    cmk_keyring_keep_material (cmk_vault_keyring (kms->vault), &record->id, material);
  cmk_active_keys_put (kms->active_keys, &key);
}

void
cmk_kms_key_changed (CmkKms *kms, const CmkUuid *key_id, CmkKeyState state, const char *reason)
{
  cmk_active_keys_forget (kms->active_keys, key_id);
  cmk_keyring_drop_material (cmk_vault_keyring (kms->vault), key_id);
  cmk_kms_tell (kms, key_id, state, reason);
}

gboolean
cmk_kms_commit_key (CmkKms *kms, const CmkKeyRecord *record, const char *reason, GError **error)
{
  CmkStore *store = cmk_vault_store (kms->vault);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL || !cmk_store_update_key (store, record, error) || !cmk_store_commit (transaction, error))
    return FALSE;
  cmk_kms_key_changed (kms, &record->id, record->state, reason);
  return TRUE;
}

/* --- what is due --- */

static gboolean
erase_slice (CmkKms *kms, GArray *ids, GError **error)
{
  CmkStore *store = cmk_vault_store (kms->vault);
  g_autoptr (GArray) states = g_array_new (FALSE, FALSE, sizeof (CmkKeyState));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL)
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    {
      g_autoptr (CmkKeyRecord) record = cmk_store_get_key (store, &g_array_index (ids, CmkUuid, i), error);
      if (record == NULL)
        return FALSE;
      cmk_kms_strip_material (record);
      g_array_append_val (states, record->state);
      if (!cmk_store_update_key (store, record, error))
        return FALSE;
    }
  if (!cmk_store_commit (transaction, error))
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    cmk_kms_key_changed (kms, &g_array_index (ids, CmkUuid, i), g_array_index (states, CmkKeyState, i),
                         "MaterialExpired");
  return TRUE;
}

static gboolean
erase_expired (CmkKms *kms, gint64 now, GError **error)
{
  while (TRUE)
    {
      g_autoptr (GArray) ids = cmk_store_list_expired (cmk_vault_store (kms->vault), now, CMK_SWEEP_SLICE, error);
      if (ids == NULL)
        return FALSE;
      if (ids->len == 0)
        return TRUE;
      if (!erase_slice (kms, ids, error))
        return FALSE;
    }
}

static gboolean
find_next_expiry (CmkKms *kms, GError **error)
{
  CmkStore *store = cmk_vault_store (kms->vault);
  gint64 next[3];
  if (!cmk_store_next_expiry (store, &next[0], error) || !cmk_store_next_import_set_expiry (store, &next[1], error) ||
      !cmk_store_next_deletion (store, &next[2], error))
    return FALSE;
  kms->next_expiry = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (next); i++)
    if (next[i] != 0 && (kms->next_expiry == 0 || next[i] < kms->next_expiry))
      kms->next_expiry = next[i];
  return TRUE;
}

static gboolean
erase_expired_sets (CmkKms *kms, gint64 now, GError **error)
{
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (cmk_vault_store (kms->vault), error);
  return transaction != NULL && cmk_store_delete_expired_import_sets (cmk_vault_store (kms->vault), now, error) &&
         cmk_store_commit (transaction, error);
}

/* What fails does not keep the rest from being erased. */
static gboolean
sweep (CmkKms *kms, gint64 now, GError **error)
{
  gboolean done = cmk_deletion_run_due (kms, now, error);
  done &= erase_expired_sets (kms, now, done ? error : NULL);
  done &= erase_expired (kms, now, done ? error : NULL);
  return done && find_next_expiry (kms, error);
}

static void
sweep_if_due (CmkKms *kms, gint64 now)
{
  if (kms->next_expiry == 0 || now < kms->next_expiry)
    return;
  g_autoptr (GError) error = NULL;
  if (!sweep (kms, now, &error))
    {
      /* The next call and the timer try again; until then what has expired is refused by its date. */
      g_warning ("what has expired or is to be deleted could not be erased: %s", error->message);
      kms->next_expiry = NOT_KNOWN;
    }
  gboolean erased = FALSE;
  if (cmk_store_has_erasures (cmk_vault_store (kms->vault), &erased, NULL) && erased)
    cmk_settling_note_erasure (kms->settling);
  cmk_expiry_timer_set (kms->expiry_timer, kms->next_expiry);
}

static void
run_due_sweep (gpointer data)
{
  CmkKms *kms = data;
  gint64 now;
  g_autoptr (GError) error = NULL;
  if (!cmk_kms_begin (kms, &now, &error))
    g_message ("what has expired or is to be deleted is not erased yet: %s", error->message);
  cmk_expiry_timer_set (kms->expiry_timer, kms->next_expiry);
}

static void
on_expiry_due (gpointer data)
{
  CmkKms *kms = data;
  cmk_worker_submit (kms->worker, CMK_WORKER_OWN_ERRANDS, run_due_sweep, kms);
}

gboolean
cmk_kms_is_behind_with_erasure (CmkKms *kms)
{
  return kms->next_expiry == NOT_KNOWN;
}

void
cmk_kms_note_expiry (CmkKms *kms, gint64 when)
{
  if (when == 0 || (kms->next_expiry != 0 && kms->next_expiry <= when))
    return;
  kms->next_expiry = when;
  cmk_expiry_timer_set (kms->expiry_timer, when);
}

gboolean
cmk_kms_begin (CmkKms *kms, gint64 *ret_now, GError **error)
{
  if (!cmk_vault_unlock (kms->vault, error))
    return FALSE;
  if (!cmk_anchor_check (cmk_vault_anchor (kms->vault), error))
    return FALSE;
  *ret_now = cmk_clock_now ();
  sweep_if_due (kms, *ret_now);
  return TRUE;
}

/* --- life --- */

CmkKms *
cmk_kms_open (const CmkConfig *config, const char *directory, CmkKeyChangedFunc key_changed, gpointer user_data,
              GError **error)
{
  g_autoptr (CmkKms) kms = g_new0 (CmkKms, 1);
  kms->config = config;
  kms->key_changed = key_changed;
  kms->key_changed_data = user_data;
  kms->next_expiry = NOT_KNOWN;
  kms->active_keys = cmk_active_keys_new ();
  kms->decrypt_failures = cmk_decrypt_failures_new (config->decrypt_failures_per_minute);
  kms->vault = cmk_vault_open (config, directory, error);
  if (kms->vault == NULL)
    return NULL;
  kms->expiry_timer = cmk_expiry_timer_new (on_expiry_due, kms, error);
  if (kms->expiry_timer == NULL)
    return NULL;
  kms->worker = cmk_worker_start ("worker");
  kms->settling = cmk_settling_new (config, kms->vault, kms->worker);
  if (cmk_vault_is_unlocked (kms->vault) && cmk_anchor_state (cmk_vault_anchor (kms->vault)) != CMK_ANCHOR_ROLLED_BACK)
    sweep_if_due (kms, cmk_clock_now ());
  else
    cmk_expiry_timer_set (kms->expiry_timer, kms->next_expiry);
  if (cmk_settling_take_required (kms->settling))
    cmk_settling_run (kms->settling);
  kms->calculator = cmk_worker_start ("calculator");
  kms->pool = cmk_wrapping_pool_start (config, kms->vault, kms->worker);
  return g_steal_pointer (&kms);
}

void
cmk_kms_begin_stop (CmkKms *kms)
{
  cmk_wrapping_pool_stop (kms->pool);
}

void
cmk_kms_close (CmkKms *kms)
{
  if (kms == NULL)
    return;
  if (kms->pool != NULL)
    {
      cmk_wrapping_pool_stop (kms->pool);
      cmk_wrapping_pool_join (kms->pool);
    }
  cmk_worker_stop (kms->calculator);
  if (kms->settling != NULL)
    cmk_settling_begin_stop (kms->settling);
  cmk_worker_stop (kms->worker);
  cmk_settling_free (kms->settling);
  if (kms->pool != NULL)
    cmk_wrapping_pool_free (kms->pool);
  cmk_expiry_timer_free (kms->expiry_timer);
  cmk_decrypt_failures_free (kms->decrypt_failures);
  cmk_active_keys_free (kms->active_keys);
  cmk_vault_close (kms->vault);
  g_free (kms);
}
