/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/recovery.h"

#include "base/error.h"
#include "cmkd-journal.h"
#include "kms/access.h"

/* Keys that are read at a time. */
#define PAGE 1000

const CmkSpecName cmk_recovery_causes[] = {
  { CMK_RECOVERY_TPM_CHANGED, "TpmChanged" },
  { CMK_RECOVERY_ROLLBACK_DETECTED, "RollbackDetected" },
  { 0, NULL },
};

void
cmk_recovery_clear (CmkRecovery *recovery)
{
  g_clear_pointer (&recovery->pending_import, g_ptr_array_unref);
  g_clear_pointer (&recovery->lost, g_ptr_array_unref);
}

gboolean
cmk_recovery_require_not_lost (const CmkKeyRecord *record, GError **error)
{
  if (record->origin != CMK_ORIGIN_CMKD_KMS || record->envelope != NULL ||
      record->state == CMK_KEY_STATE_PENDING_DELETION)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED,
                       "the material of this key is lost for good: cmkd made it, and the TPM, or the state, that could "
                       "open it is gone; ScheduleKeyDeletion (`cmkctl schedule-deletion`) removes the key");
  return FALSE;
}

/* --- what the keys lose --- */

typedef struct
{
  CmkStore *store;
  CmkRecovery *recovery;
} Rewriting;

static void
free_record (gpointer record)
{
  cmk_key_record_free (record);
}

/* A key whose material cannot be imported again keeps its state: which it may be in is its owner's affair. */
static void
strip (CmkKeyRecord *record)
{
  CmkKeyState state = record->state;
  cmk_kms_strip_material (record);
  if (record->origin == CMK_ORIGIN_CMKD_KMS)
    record->state = state;
  else if (state == CMK_KEY_STATE_PENDING_DELETION)
    record->state_before = CMK_KEY_STATE_PENDING_IMPORT;
}

/* Takes @record. */
static gboolean
rewrite_key (const Rewriting *rewriting, CmkKeyRecord *record, CmkLoss loss, GError **error)
{
  g_autoptr (CmkKeyRecord) owned = record;
  gboolean had_material = record->envelope != NULL;
  gboolean had_fingerprint = record->fingerprint != NULL && loss == CMK_LOSS_OF_MATERIAL_AND_FINGERPRINTS;
  if (!had_material && !had_fingerprint)
    return TRUE;
  if (had_material)
    strip (record);
  if (had_fingerprint)
    g_clear_pointer (&record->fingerprint, g_bytes_unref);
  if (!cmk_store_update_key (rewriting->store, record, error))
    return FALSE;
  if (had_material)
    g_ptr_array_add (record->origin == CMK_ORIGIN_EXTERNAL ? rewriting->recovery->pending_import
                                                           : rewriting->recovery->lost,
                     g_steal_pointer (&owned));
  return TRUE;
}

static gboolean
rewrite_keys (gpointer user_data, CmkLoss loss, GError **error)
{
  const Rewriting *rewriting = user_data;
  CmkKeyFilter filter = { .owner = CMK_OWNER_ANY, .limit = PAGE };
  gboolean more = loss != CMK_LOSS_NOTHING;
  /* They may be ones that were revoked since, or that nobody made: their owners are to make them again. */
  if (!cmk_store_delete_grants (rewriting->store, error))
    return FALSE;
  while (more)
    {
      g_autoptr (GPtrArray) records = cmk_store_list_keys (rewriting->store, &filter, &more, error);
      if (records == NULL)
        return FALSE;
      for (guint i = 0; i < records->len; i++)
        {
          CmkKeyRecord *record = g_steal_pointer (&g_ptr_array_index (records, i));
          filter.after_serial = record->serial;
          if (!rewrite_key (rewriting, record, loss, error))
            return FALSE;
        }
    }
  return TRUE;
}

/* --- telling --- */

static void
tell (CmkKms *kms, GPtrArray *records, const char *reason)
{
  for (guint i = 0; i < records->len; i++)
    {
      const CmkKeyRecord *record = g_ptr_array_index (records, i);
      cmk_kms_key_changed (kms, &record->id, record->state, reason);
    }
}

/* Who answers for what the store holds from now on, and for what it does not hold any more. */
static void
audit (const CmkCaller *caller, CmkRecoveryCause cause, const CmkRecovery *recovery)
{
  const char *accepted = cmk_spec_name (cmk_recovery_causes, (int) cause);
  char uid[16];
  g_snprintf (uid, sizeof uid, "%u", caller->uid);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", CMKD_MESSAGE_RECOVERED, "CMKD_CALLER_UID", uid,
                    "CMKD_ACCEPTED", accepted, "MESSAGE",
                    "uid %s accepted %s: %u keys wait for another import of their material, %u keys are lost", uid,
                    accepted, recovery->pending_import->len, recovery->lost->len);
  for (guint i = 0; i < recovery->lost->len; i++)
    {
      char id[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (&((const CmkKeyRecord *) g_ptr_array_index (recovery->lost, i))->id, id);
      g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", CMKD_MESSAGE_KEY_LOST, "CMKD_CALLER_UID", uid,
                        "CMKD_ACCEPTED", accepted, "CMKD_KEY_ID", id, "MESSAGE",
                        "key %s is lost: its material was made here and cannot be opened any more", id);
    }
}

gboolean
cmk_recovery_run (CmkKms *kms, const CmkCaller *caller, CmkRecoveryCause cause, CmkRecovery *ret_recovery,
                  GError **error)
{
  if (!caller->is_administrator && !caller->access->needs_permits)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                           "this is for an administrator: run `cmkctl recover` as root");
      return FALSE;
    }
  if (!cmk_access_require (kms, caller, NULL, NULL, error))
    return FALSE;
  CmkVault *vault = cmk_kms_vault (kms);
  g_auto (CmkRecovery) recovery = {
    .pending_import = g_ptr_array_new_with_free_func (free_record),
    .lost = g_ptr_array_new_with_free_func (free_record),
  };
  /* Who waits for the TPM to take note gets that answer first. */
  cmk_settling_run (cmk_kms_settling (kms));
  Rewriting rewriting = { .store = cmk_vault_store (vault), .recovery = &recovery };
  gboolean done = cause == CMK_RECOVERY_TPM_CHANGED
                      ? cmk_vault_adopt_tpm (vault, rewrite_keys, &rewriting, error)
                      : cmk_vault_accept_rollback (vault, rewrite_keys, &rewriting, error);
  if (!done)
    return FALSE;
  audit (caller, cause, &recovery);
  cmk_wrapping_pool_discard (cmk_kms_pool (kms));
  tell (kms, recovery.pending_import, "MaterialDeleted");
  tell (kms, recovery.lost, "Updated");
  *ret_recovery = recovery;
  recovery = (CmkRecovery) { 0 };
  return TRUE;
}
