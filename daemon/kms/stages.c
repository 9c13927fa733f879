/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/stages.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "kms/erasure.h"

#include <string.h>

static const gsize stage_at[] = { [CMK_STAGES_CURRENT] = 0, [CMK_STAGES_NEXT] = CMK_STAGE_SIZE };
static const gsize key_at[] = {
  [CMK_STAGES_CURRENT] = 2 * CMK_STAGE_SIZE,
  [CMK_STAGES_NEXT] = 2 * CMK_STAGE_SIZE + CMK_ERASURE_KEY_SIZE,
};
G_STATIC_ASSERT (2 * CMK_STAGE_SIZE + 2 * CMK_ERASURE_KEY_SIZE == CMK_TPM_NV_SIZE);

struct _CmkStages
{
  CmkTpm *tpm;
  guint8 label[CMK_TPM_NV_LABEL_SIZE];
  CmkSecret *auth;
  CmkTpmSession *session; /* begun, and good for one more command at least */
  CmkTpmNvIndex *index;
  CmkSecret *contents;
  CmkSecret *advanced; /* drawn, and not due yet */
  gboolean is_stale;   /* the index has yet to be told @contents */
  gboolean is_next_ours;
};

CmkStages *
cmk_stages_new (CmkTpm *tpm, const guint8 label[CMK_TPM_NV_LABEL_SIZE], CmkSecret *auth, CmkTpmSession *session)
{
  CmkStages *stages = g_new0 (CmkStages, 1);
  stages->tpm = tpm;
  memcpy (stages->label, label, sizeof stages->label);
  stages->auth = auth;
  stages->session = session;
  return stages;
}

void
cmk_stages_free (CmkStages *stages)
{
  if (stages == NULL)
    return;
  cmk_tpm_session_end (stages->session);
  cmk_tpm_nv_index_free (stages->index);
  cmk_secret_free (stages->contents);
  cmk_secret_free (stages->advanced);
  cmk_secret_free (stages->auth);
  g_free (stages);
}

gboolean
cmk_stages_have_index (const CmkStages *stages)
{
  return stages->index != NULL;
}

const guint8 *
cmk_stages_label (const CmkStages *stages)
{
  return stages->label;
}

guint32
cmk_stages_handle (const CmkStages *stages)
{
  return stages->index != NULL ? cmk_tpm_nv_index_handle (stages->index) : 0;
}

/* --- contents --- */

const guint8 *
cmk_stages_peek_stage (const CmkStages *stages, CmkStagesHalf half)
{
  return cmk_secret_peek (stages->contents) + stage_at[half];
}

CmkSecret *
cmk_stages_copy_key (const CmkStages *stages, CmkStagesHalf half, GError **error)
{
  return cmk_secret_new_copy (cmk_secret_peek (stages->contents) + key_at[half], CMK_ERASURE_KEY_SIZE, error);
}

static void
take_contents (CmkStages *stages, CmkSecret *contents)
{
  cmk_secret_free (stages->contents);
  stages->contents = contents;
}

gboolean
cmk_stages_draw (CmkStages *stages, GError **error)
{
  CmkSecret *contents = cmk_random_secret (CMK_TPM_NV_SIZE, error);
  if (contents != NULL)
    take_contents (stages, contents);
  return contents != NULL;
}

/* Fresh contents, but for a current stage and a current key, which come from these halves of the present ones. */
static CmkSecret *
redraw_next (CmkStages *stages, CmkStagesHalf stage, CmkStagesHalf key, GError **error)
{
  CmkSecret *contents = cmk_random_secret (CMK_TPM_NV_SIZE, error);
  if (contents == NULL)
    return NULL;
  memcpy (cmk_secret_data (contents) + stage_at[CMK_STAGES_CURRENT], cmk_stages_peek_stage (stages, stage),
          CMK_STAGE_SIZE);
  memcpy (cmk_secret_data (contents) + key_at[CMK_STAGES_CURRENT], cmk_secret_peek (stages->contents) + key_at[key],
          CMK_ERASURE_KEY_SIZE);
  return contents;
}

/* --- the index --- */

static CmkTpmSession *
begin_session (CmkStages *stages, GError **error)
{
  return stages->session != NULL ? g_steal_pointer (&stages->session) : cmk_tpm_session_begin (stages->tpm, error);
}

/* Takes @error. TRUE if it says that there is no index of ours. */
static gboolean
is_none_of_ours (GError *error, GError **ret_error)
{
  if (error->domain != CMK_TPM_NV_ERROR)
    {
      g_propagate_error (ret_error, error);
      return FALSE;
    }
  g_error_free (error);
  return TRUE;
}

static gboolean
open_labelled (CmkStages *stages, guint32 handle, const guint8 label[CMK_TPM_NV_LABEL_SIZE], GError **error)
{
  GError *local_error = NULL;
  g_autoptr (CmkTpmNvIndex) index = cmk_tpm_nv_index_open (stages->tpm, handle, label, stages->auth, &local_error);
  g_autoptr (CmkTpmSession) session = index != NULL ? begin_session (stages, &local_error) : NULL;
  CmkSecret *contents = session != NULL ? cmk_tpm_nv_index_read (session, index, CMK_TPM_LAST, &local_error) : NULL;
  if (contents == NULL)
    return is_none_of_ours (local_error, error);
  take_contents (stages, contents);
  memmove (stages->label, label, sizeof stages->label);
  stages->index = g_steal_pointer (&index);
  return TRUE;
}

gboolean
cmk_stages_open (CmkStages *stages, guint32 handle, GError **error)
{
  return open_labelled (stages, handle, stages->label, error);
}

/* TRUE also if the TPM refuses: there is one more index that nobody needs. */
static gboolean
remove_unwritten (CmkStages *stages, guint32 handle, GError **error)
{
  GError *local_error = NULL;
  g_autoptr (CmkTpmSession) session = begin_session (stages, error);
  if (session == NULL)
    return FALSE;
  return cmk_tpm_nv_index_remove (session, handle, CMK_TPM_LAST, &local_error) || is_none_of_ours (local_error, error);
}

gboolean
cmk_stages_search (CmkStages *stages, CmkStagesNamesake *ret_namesake, GError **error)
{
  g_autoptr (GArray) entries = cmk_tpm_nv_index_list (stages->tpm, error);
  if (entries == NULL)
    return FALSE;
  *ret_namesake = CMK_STAGES_NOBODY;
  for (guint i = 0; i < entries->len && stages->index == NULL; i++)
    {
      const CmkTpmNvEntry *entry = &g_array_index (entries, CmkTpmNvEntry, i);
      gboolean is_namesake = memcmp (entry->label, stages->label, sizeof stages->label) == 0;
      if (entry->is_written && !open_labelled (stages, entry->handle, entry->label, error))
        return FALSE;
      if (entry->is_written && is_namesake && stages->index == NULL)
        *ret_namesake = CMK_STAGES_SOMEBODY_ELSE;
      if (!entry->is_written && is_namesake && !remove_unwritten (stages, entry->handle, error))
        return FALSE;
    }
  return TRUE;
}

void
cmk_stages_forget (CmkStages *stages)
{
  g_clear_pointer (&stages->index, cmk_tpm_nv_index_free);
  stages->is_stale = stages->is_next_ours = FALSE;
}

gboolean
cmk_stages_define (CmkStages *stages, GError **error)
{
  g_autoptr (CmkTpmSession) session = begin_session (stages, error);
  if (session == NULL)
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  stages->index =
      cmk_tpm_nv_index_define (session, stages->label, stages->auth, stages->contents, CMK_TPM_LAST, &local_error);
  stages->is_next_ours = stages->index != NULL;
  if (stages->index != NULL)
    return TRUE;
  if (local_error->domain != CMK_TPM_NV_ERROR)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  g_warning (
      "the TPM keeps no NV index for cmkd: an older copy of the state would not be noticed, and what is deleted is "
      "not out of reach of whoever has such a copy and this TPM: %s",
      local_error->message);
  return TRUE;
}

/* --- advancing --- */

static gboolean
write_contents (CmkStages *stages, CmkTpmSession *session, CmkTpmPlace place, GError **error)
{
  stages->is_stale = TRUE;
  if (!cmk_tpm_nv_index_write (session, stages->index, stages->contents, place, error))
    return FALSE;
  stages->is_stale = FALSE;
  return TRUE;
}

void
cmk_stages_distrust_next (CmkStages *stages)
{
  stages->is_next_ours = FALSE;
}

gboolean
cmk_stages_prepare (CmkStages *stages, GError **error)
{
  g_autoptr (CmkTpmSession) session = begin_session (stages, error);
  if (session == NULL)
    return FALSE;
  if (!stages->is_next_ours)
    {
      CmkSecret *contents = redraw_next (stages, CMK_STAGES_CURRENT, CMK_STAGES_CURRENT, error);
      if (contents == NULL)
        return FALSE;
      take_contents (stages, contents);
      stages->is_next_ours = stages->is_stale = TRUE;
    }
  if (stages->is_stale && !write_contents (stages, session, CMK_TPM_MORE, error))
    return FALSE;
  stages->session = g_steal_pointer (&session);
  return TRUE;
}

gboolean
cmk_stages_draw_advance (CmkStages *stages, gboolean with_key, GError **error)
{
  g_clear_pointer (&stages->advanced, cmk_secret_free);
  stages->advanced = redraw_next (stages, CMK_STAGES_NEXT, with_key ? CMK_STAGES_NEXT : CMK_STAGES_CURRENT, error);
  return stages->advanced != NULL;
}

gboolean
cmk_stages_advance (CmkStages *stages, GError **error)
{
  take_contents (stages, g_steal_pointer (&stages->advanced));
  stages->is_next_ours = stages->is_stale = TRUE;
  g_autoptr (CmkTpmSession) session = begin_session (stages, error);
  return session != NULL && write_contents (stages, session, CMK_TPM_LAST, error);
}
