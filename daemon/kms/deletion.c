/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/deletion.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmkd-journal.h"

#define SECONDS_PER_DAY (24 * 60 * 60)

CmkKeyRecord *
cmk_deletion_schedule (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, guint days, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, key, cmk_clock_confirmed (), error);
  if (record == NULL || !cmk_kms_require_no_deletion (record->state, error) ||
      !cmk_settling_require (cmk_kms_settling (kms), caller->uid, error))
    return NULL;
  record->state_before = record->state;
  record->state = CMK_KEY_STATE_PENDING_DELETION;
  record->delete_at = now + (gint64) days * SECONDS_PER_DAY;
  if (!cmk_kms_commit_key (kms, record, "DeletionScheduled", error))
    return NULL;
  cmk_due_note_deletion (cmk_kms_due (kms), record->delete_at);
  return g_steal_pointer (&record);
}

CmkKeyRecord *
cmk_deletion_cancel (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, key, cmk_clock_confirmed (), error);
  if (record == NULL)
    return NULL;
  if (record->state != CMK_KEY_STATE_PENDING_DELETION)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_NOT_ALLOWED,
                           "the key is not scheduled for deletion: there is nothing to cancel");
      return NULL;
    }
  gboolean awaits_import = record->envelope == NULL && record->origin == CMK_ORIGIN_EXTERNAL;
  record->state = awaits_import ? CMK_KEY_STATE_PENDING_IMPORT : record->state_before;
  record->delete_at = 0;
  if (!cmk_kms_commit_key (kms, record, "DeletionCancelled", error))
    return NULL;
  return g_steal_pointer (&record);
}

static gboolean
delete_slice (CmkKms *kms, GArray *ids, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  if (transaction == NULL)
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    {
      const CmkUuid *id = &g_array_index (ids, CmkUuid, i);
      cmk_kms_forget (kms, id);
      if (!cmk_store_delete_key (store, id, error))
        return FALSE;
    }
  if (!cmk_store_commit (transaction, error))
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    {
      const CmkUuid *id = &g_array_index (ids, CmkUuid, i);
      char text[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (id, text);
      g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", CMKD_MESSAGE_KEY_DELETED, "CMKD_KEY_ID", text,
                        "MESSAGE", "key %s was deleted: its date has come", text);
      cmk_kms_key_changed (kms, id, CMK_KEY_STATE_PENDING_DELETION, "Deleted");
    }
  return TRUE;
}

gboolean
cmk_deletion_run_due (CmkKms *kms, CmkDueEffort effort, gint64 proven, gboolean *ret_more, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  do
    {
      g_autoptr (GArray) ids = cmk_store_list_deletable (store, proven, CMK_SWEEP_SLICE, error);
      if (ids == NULL || (ids->len > 0 && !delete_slice (kms, ids, error)))
        return FALSE;
      *ret_more = ids->len == CMK_SWEEP_SLICE;
    }
  while (*ret_more && effort == CMK_DUE_ALL);
  return TRUE;
}
