/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/anchor.h"

#include "base/error.h"
#include "cmkd-journal.h"
#include "crypto/crypto.h"
#include "kms/stages.h"

#include <string.h>

#define LABEL_DOMAIN "cmkd/anchor-label/v1"
#define LABEL_FACT   "anchor-label"

struct _CmkAnchor
{
  CmkStore *store;
  CmkErasure *erasure;
  CmkStages *stages;
  CmkSecret *key_without_index;
  CmkStoreAnchor *record; /* as it stands in the store */
  CmkAnchorState state;
  gboolean lost_index; /* and another has still to take its place */
};

CmkAnchorState
cmk_anchor_state (const CmkAnchor *anchor)
{
  return anchor->state;
}

guint64
cmk_anchor_steps (const CmkAnchor *anchor)
{
  return anchor->record->steps;
}

gboolean
cmk_anchor_check (const CmkAnchor *anchor, GError **error)
{
  if (anchor->state != CMK_ANCHOR_ROLLED_BACK)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_ROLLBACK_DETECTED,
                       "the state is older than what the TPM knows of it, as after restoring a backup: put the latest "
                       "state back, or let an administrator accept this one (cmkctl recover)");
  return FALSE;
}

CmkErasure *
cmk_anchor_erasure (CmkAnchor *anchor)
{
  return anchor->erasure;
}

/* How a state in @directory is found in the TPM by who has lost the state; written down, for the state may be moved. */
static gboolean
make_label (CmkStore *store, const char *directory, guint8 ret_label[CMK_TPM_NV_LABEL_SIZE], GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) label = cmk_store_get_fact (store, LABEL_FACT, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (label != NULL && g_bytes_get_size (label) == CMK_TPM_NV_LABEL_SIZE)
    {
      memcpy (ret_label, g_bytes_get_data (label, NULL), CMK_TPM_NV_LABEL_SIZE);
      return TRUE;
    }
  g_autofree char *text = g_strconcat (LABEL_DOMAIN, ":", directory, NULL);
  return cmk_sha256 (text, strlen (text), ret_label, error);
}

static gboolean
put_label (CmkAnchor *anchor, GError **error)
{
  g_autoptr (GBytes) label = g_bytes_new (cmk_stages_label (anchor->stages), CMK_TPM_NV_LABEL_SIZE);
  return cmk_store_put_fact (anchor->store, LABEL_FACT, label, error);
}

/* An index that is suddenly not there is for the caller, where nothing better can be done about it, a trouble with the
 * TPM. */
static gboolean
fail_index (const GError *error, GError **ret_error)
{
  if (error->domain == CMK_TPM_NV_ERROR)
    g_set_error (ret_error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE,
                 "the NV index of the TPM that vouches for the state: %s; restart cmkd", error->message);
  else
    g_propagate_error (ret_error, g_error_copy (error));
  return FALSE;
}

/* --- the root key of erasure --- */

static gboolean
try_key (CmkAnchor *anchor, CmkStagesHalf half)
{
  g_autoptr (CmkSecret) key = cmk_stages_copy_key (anchor->stages, half, NULL);
  return key != NULL && cmk_erasure_try_root_key (anchor->erasure, key);
}

static gboolean
require_key (CmkAnchor *anchor, CmkStagesHalf half, GError **error)
{
  if (try_key (anchor, half))
    return TRUE;
  g_set_error_literal (
      error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
      "the key to everything that is stored cannot be read: restore the state directory from a backup");
  return FALSE;
}

static CmkSecret *
copy_key (CmkAnchor *anchor, CmkStagesHalf half, GError **error)
{
  return cmk_stages_have_index (anchor->stages)
             ? cmk_stages_copy_key (anchor->stages, half, error)
             : cmk_secret_new_copy (cmk_secret_peek (anchor->key_without_index), CMK_ERASURE_KEY_SIZE, error);
}

/* --- stepping --- */

/* The record says that the state is of this stage of the index; of none if there is no index. */
static void
record_stage (CmkAnchor *anchor, CmkStagesHalf half)
{
  if (cmk_stages_have_index (anchor->stages))
    memcpy (anchor->record->stage, cmk_stages_peek_stage (anchor->stages, half), CMK_STAGE_SIZE);
  else
    memset (anchor->record->stage, 0, CMK_STAGE_SIZE);
  anchor->record->nv_handle = cmk_stages_handle (anchor->stages);
  anchor->record->is_behind = FALSE;
}

static gboolean
put_next_stage (CmkAnchor *anchor, GError **error)
{
  record_stage (anchor, CMK_STAGES_NEXT);
  anchor->record->steps += cmk_stages_have_index (anchor->stages);
  return cmk_store_put_anchor (anchor->store, anchor->record, error);
}

/* The state of the next stage, whose root page is under @key (taken), is durable. */
static gboolean
conclude_step (CmkAnchor *anchor, CmkSecret *key, GError **error)
{
  gboolean have_index = cmk_stages_have_index (anchor->stages);
  cmk_erasure_use_root_key (anchor->erasure, key);
  gboolean told = !have_index || cmk_stages_advance (anchor->stages, error);
  anchor->state = !have_index ? CMK_ANCHOR_NONE : told ? CMK_ANCHOR_HOLDS : CMK_ANCHOR_BEHIND;
  return told;
}

static gboolean
commit_step (CmkAnchor *anchor, CmkStoreTransaction *transaction, gboolean erasing, const CmkSecret *key,
             GError **error)
{
  const CmkStoreAnchor before = *anchor->record;
  if ((!erasing || cmk_erasure_drop (anchor->erasure, CMK_ERASURE_PAGES_CONCERNED, key, error)) &&
      put_next_stage (anchor, error) && cmk_store_commit (transaction, error))
    return TRUE;
  *anchor->record = before;
  /* What was written of it, and refused, may lie about on the disk, under that key. */
  cmk_stages_distrust_next (anchor->stages);
  return FALSE;
}

/* In this order: a store that is not sure of its last commit says so before the index is touched. */
static gboolean
make_step (CmkAnchor *anchor, GError **error)
{
  gboolean have_index = cmk_stages_have_index (anchor->stages), erasing = FALSE;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (anchor->store, error);
  if (transaction == NULL || !cmk_store_has_erasures (anchor->store, &erasing, error) ||
      (have_index &&
       (!cmk_stages_prepare (anchor->stages, error) || !cmk_stages_draw_advance (anchor->stages, erasing, error))))
    return FALSE;
  g_autoptr (CmkSecret) key = copy_key (anchor, erasing ? CMK_STAGES_NEXT : CMK_STAGES_CURRENT, error);
  return key != NULL && commit_step (anchor, transaction, erasing, key, error) &&
         conclude_step (anchor, g_steal_pointer (&key), error);
}

gboolean
cmk_anchor_owes_step (CmkAnchor *anchor)
{
  gboolean any = FALSE;
  return anchor->state == CMK_ANCHOR_BEHIND || !cmk_store_has_erasures (anchor->store, &any, NULL) || any;
}

gboolean
cmk_anchor_needs_step (CmkAnchor *anchor)
{
  return anchor->state != CMK_ANCHOR_ROLLED_BACK &&
         (cmk_store_is_behind (anchor->store) || cmk_anchor_owes_step (anchor));
}

static gboolean replace_index (CmkAnchor *anchor, GError **error);

gboolean
cmk_anchor_step (CmkAnchor *anchor, GError **error)
{
  if (!cmk_anchor_check (anchor, error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  if (!cmk_anchor_needs_step (anchor) || (!anchor->lost_index && make_step (anchor, &local_error)))
    return TRUE;
  if (local_error != NULL && local_error->domain == CMK_TPM_NV_ERROR)
    {
      g_warning ("the NV index that vouches for the state is looked for, or another made: %s", local_error->message);
      g_clear_error (&local_error);
      anchor->lost_index = TRUE;
    }
  if (anchor->lost_index && replace_index (anchor, &local_error))
    return TRUE;
  anchor->state = CMK_ANCHOR_BEHIND;
  return fail_index (local_error, error);
}

/* --- a state comes under an index --- */

static gboolean
reseal (gpointer anchor, GBytes *envelope, GBytes **ret_envelope, GError **error)
{
  *ret_envelope = cmk_erasure_protect (((CmkAnchor *) anchor)->erasure, envelope, error);
  return *ret_envelope != NULL;
}

/* Of a new state, or one of format 3, nothing is in slots yet: what its envelopes begin with is no slot to be
 * erased. */
static gboolean
put_into_slots (CmkAnchor *anchor, const CmkSecret *key, GError **error)
{
  return cmk_erasure_initialize (anchor->erasure, key, error) && cmk_erasure_try_root_key (anchor->erasure, key) &&
         cmk_store_reseal_envelopes (anchor->store, reseal, anchor, error) &&
         cmk_store_clear_erasures (anchor->store, error);
}

static gboolean
commit_intent (CmkAnchor *anchor, GError **error)
{
  memcpy (anchor->record->stage, cmk_stages_peek_stage (anchor->stages, CMK_STAGES_CURRENT), CMK_STAGE_SIZE);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (anchor->store, error);
  return transaction != NULL && cmk_store_put_anchor (anchor->store, anchor->record, error) &&
         cmk_store_commit (transaction, error);
}

/* The state is that of the current stage of the index, or of none; whoever has a copy from before knows nothing of what
 * comes. */
static gboolean
settle (CmkAnchor *anchor, GError **error)
{
  g_autoptr (CmkSecret) key = copy_key (anchor, CMK_STAGES_CURRENT, error);
  gboolean in_slots = cmk_erasure_has_root_key (anchor->erasure) ||
                      cmk_erasure_try_root_key (anchor->erasure, anchor->key_without_index);
  g_autoptr (CmkStoreTransaction) transaction = key != NULL ? cmk_store_begin_removal (anchor->store, error) : NULL;
  if (transaction == NULL)
    return FALSE;
  record_stage (anchor, CMK_STAGES_CURRENT);
  if (!(in_slots ? cmk_erasure_drop (anchor->erasure, CMK_ERASURE_ALL_PAGES, key, error)
                 : put_into_slots (anchor, key, error)) ||
      !put_label (anchor, error) || !cmk_store_put_anchor (anchor->store, anchor->record, error) ||
      !cmk_store_commit (transaction, error))
    return FALSE;
  cmk_erasure_use_root_key (anchor->erasure, g_steal_pointer (&key));
  anchor->state = cmk_stages_have_index (anchor->stages) ? CMK_ANCHOR_HOLDS : CMK_ANCHOR_NONE;
  return TRUE;
}

/* The intent comes first, so that the index that a crash leaves behind is known for ours. */
static gboolean
establish (CmkAnchor *anchor, GError **error)
{
  return cmk_stages_draw (anchor->stages, error) && commit_intent (anchor, error) &&
         cmk_stages_define (anchor->stages, error) && settle (anchor, error);
}

/* --- opening --- */

static gboolean
roll_back (CmkAnchor *anchor, const char *why)
{
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_CRITICAL, "MESSAGE_ID", CMKD_MESSAGE_ROLLBACK_DETECTED, "MESSAGE",
                    "RollbackDetected: %s; nothing is served from it until an administrator accepts it: cmkctl recover",
                    why);
  anchor->state = CMK_ANCHOR_ROLLED_BACK;
  return TRUE;
}

static gboolean
is_of_stage (CmkAnchor *anchor, CmkStagesHalf half)
{
  return memcmp (anchor->record->stage, cmk_stages_peek_stage (anchor->stages, half), CMK_STAGE_SIZE) == 0;
}

/* A crash came between the commit of a step and the write of the index. */
static gboolean
complete_step (CmkAnchor *anchor, GError **error)
{
  gboolean with_key = try_key (anchor, CMK_STAGES_NEXT);
  if ((!with_key && !require_key (anchor, CMK_STAGES_CURRENT, error)) ||
      !cmk_stages_draw_advance (anchor->stages, with_key, error))
    return FALSE;
  g_message ("the last step of the state had not reached the TPM: completed now");
  anchor->state = CMK_ANCHOR_HOLDS;
  return cmk_stages_advance (anchor->stages, error);
}

/* The index is there after all, and still holds the keys of before: what it was to do is still to be done. */
static gboolean
resume_index (CmkAnchor *anchor, GError **error)
{
  anchor->lost_index = FALSE;
  if (is_of_stage (anchor, CMK_STAGES_NEXT))
    {
      if (!complete_step (anchor, error))
        return FALSE;
    }
  else if (!is_of_stage (anchor, CMK_STAGES_CURRENT))
    return roll_back (anchor, "the TPM knows of a later state than this one") && cmk_anchor_check (anchor, error);
  return !cmk_anchor_needs_step (anchor) || make_step (anchor, error);
}

/* The state is the latest, for we have had it all the time. It goes without an index first, so that a crash on the way
 * to another costs nothing; one that an attempt before this has left behind is as good as new. */
static gboolean
replace_index (CmkAnchor *anchor, GError **error)
{
  CmkStagesNamesake namesake;
  cmk_stages_forget (anchor->stages);
  if (!cmk_stages_search (anchor->stages, &namesake, error))
    return FALSE;
  if (cmk_stages_have_index (anchor->stages) && cmk_stages_handle (anchor->stages) == anchor->record->nv_handle)
    return resume_index (anchor, error);
  if (!settle (anchor, error) || (!cmk_stages_have_index (anchor->stages) && !establish (anchor, error)))
    return FALSE;
  anchor->lost_index = FALSE;
  return TRUE;
}

static gboolean
open_with_index (CmkAnchor *anchor, gboolean rows_are_current, GError **error)
{
  if (!cmk_stages_open (anchor->stages, anchor->record->nv_handle, error))
    return FALSE;
  if (!cmk_stages_have_index (anchor->stages))
    return roll_back (anchor, "the NV index of the TPM that vouches for the state is gone");
  if (!rows_are_current)
    return roll_back (anchor, "a record of the state is older than the rest, or missing");
  if (is_of_stage (anchor, CMK_STAGES_NEXT))
    return complete_step (anchor, error);
  if (!is_of_stage (anchor, CMK_STAGES_CURRENT))
    return roll_back (anchor, "the state is an older copy");
  anchor->state = CMK_ANCHOR_HOLDS;
  return require_key (anchor, CMK_STAGES_CURRENT, error);
}

/* There is no index, or there is an intent of one: then what came of it, if it was not used yet. */
static gboolean
open_without_index (CmkAnchor *anchor, gboolean is_new, gboolean rows_are_current, GError **error)
{
  CmkStagesNamesake namesake;
  gboolean is_empty;
  if (!rows_are_current)
    return roll_back (anchor, "a record of the state is older than the rest, or missing");
  if (!cmk_stages_search (anchor->stages, &namesake, error) || !cmk_store_is_empty (anchor->store, &is_empty, error))
    return FALSE;
  if (cmk_stages_have_index (anchor->stages))
    return is_of_stage (anchor, CMK_STAGES_CURRENT)
               ? settle (anchor, error)
               : roll_back (anchor, "the TPM knows of a later state than this one");
  if (is_new && is_empty && namesake == CMK_STAGES_SOMEBODY_ELSE)
    return roll_back (anchor,
                      "the TPM knows of a state in this directory, and this one is new (unless that is the state "
                      "of another system on this machine)");
  return establish (anchor, error);
}

static gboolean
open_anchor (CmkAnchor *anchor, CmkTpm *tpm, const char *directory, const CmkSecret *root, CmkTpmSession *session,
             GError **error)
{
  g_autoptr (CmkTpmSession) first_session = session;
  g_autoptr (CmkSecret) auth = cmk_derive_key (root, "cmkd/nv-index/v1", error);
  anchor->key_without_index = auth != NULL ? cmk_derive_key (root, "cmkd/erasure/v1", error) : NULL;
  guint8 label[CMK_TPM_NV_LABEL_SIZE];
  if (anchor->key_without_index == NULL || !make_label (anchor->store, directory, label, error))
    return FALSE;
  gboolean rows_are_current = TRUE;
  g_autoptr (GError) local_error = NULL;
  anchor->record = cmk_store_load_anchor (anchor->store, &rows_are_current, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  anchor->stages = cmk_stages_new (tpm, label, g_steal_pointer (&auth), g_steal_pointer (&first_session));
  gboolean is_new = anchor->record == NULL;
  if (is_new)
    anchor->record = g_new0 (CmkStoreAnchor, 1);
  return anchor->record->nv_handle != 0 ? open_with_index (anchor, rows_are_current, error)
                                        : open_without_index (anchor, is_new, rows_are_current, error);
}

CmkAnchor *
cmk_anchor_open (CmkStore *store, CmkTpm *tpm, const char *directory, const CmkUuid *store_id, const CmkSecret *root,
                 CmkTpmSession *session, GError **error)
{
  g_autoptr (CmkAnchor) anchor = g_new0 (CmkAnchor, 1);
  anchor->store = store;
  anchor->erasure = cmk_erasure_new (store, store_id);
  g_autoptr (GError) local_error = NULL;
  if (open_anchor (anchor, tpm, directory, root, session, &local_error))
    return g_steal_pointer (&anchor);
  fail_index (local_error, error);
  return NULL;
}

void
cmk_anchor_free (CmkAnchor *anchor)
{
  if (anchor == NULL)
    return;
  cmk_stages_free (anchor->stages);
  cmk_erasure_free (anchor->erasure);
  cmk_secret_free (anchor->key_without_index);
  g_free (anchor->record);
  g_free (anchor);
}

/* --- accepting --- */

static gboolean
find_or_define_index (CmkAnchor *anchor, GError **error)
{
  CmkStagesNamesake namesake;
  return cmk_stages_have_index (anchor->stages) ||
         (cmk_stages_search (anchor->stages, &namesake, error) &&
          (cmk_stages_have_index (anchor->stages) ||
           (cmk_stages_draw (anchor->stages, error) && cmk_stages_define (anchor->stages, error))));
}

/* Which of the keys that the index holds the state is under, it may be a state of the next stage, is the current one
 * before the next is drawn anew: else a failure from here to the commit would lose it. */
static gboolean
keep_key (CmkAnchor *anchor, GError **error)
{
  return try_key (anchor, CMK_STAGES_CURRENT) || !try_key (anchor, CMK_STAGES_NEXT) ||
         (cmk_stages_draw_advance (anchor->stages, TRUE, error) && cmk_stages_advance (anchor->stages, error));
}

static gboolean
prepare_acceptance (CmkAnchor *anchor, GError **error)
{
  if (!find_or_define_index (anchor, error))
    return FALSE;
  gboolean have_index = cmk_stages_have_index (anchor->stages);
  if (have_index && !keep_key (anchor, error))
    return FALSE;
  if (!cmk_erasure_has_root_key (anchor->erasure))
    (void) cmk_erasure_try_root_key (anchor->erasure, anchor->key_without_index);
  cmk_stages_distrust_next (anchor->stages);
  return !have_index ||
         (cmk_stages_prepare (anchor->stages, error) && cmk_stages_draw_advance (anchor->stages, TRUE, error));
}

gboolean
cmk_anchor_prepare_acceptance (CmkAnchor *anchor, gboolean *ret_readable, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (!prepare_acceptance (anchor, &local_error))
    return fail_index (local_error, error);
  *ret_readable = cmk_erasure_has_root_key (anchor->erasure);
  return TRUE;
}

gboolean
cmk_anchor_put_accepted (CmkAnchor *anchor, GError **error)
{
  g_autoptr (CmkSecret) key = copy_key (anchor, CMK_STAGES_NEXT, error);
  if (key == NULL)
    return FALSE;
  gboolean done = cmk_erasure_has_root_key (anchor->erasure)
                      ? cmk_erasure_drop (anchor->erasure, CMK_ERASURE_ALL_PAGES, key, error)
                      : cmk_erasure_initialize (anchor->erasure, key, error);
  return done && put_label (anchor, error) && put_next_stage (anchor, error);
}

gboolean
cmk_anchor_conclude_acceptance (CmkAnchor *anchor, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  CmkSecret *key = copy_key (anchor, CMK_STAGES_NEXT, &local_error);
  return (key != NULL && conclude_step (anchor, key, &local_error)) || fail_index (local_error, error);
}
