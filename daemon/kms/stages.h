/* SPDX-License-Identifier: Apache-2.0
 *
 * What the NV index of a store holds: a current and a next stage, and a current and a next root key of erasure. All
 * four are random. To advance is to make the next ones current, with fresh ones behind them, in a single write; what
 * was current is then nowhere any more. Worker thread only. */
#pragma once

#include "base/secret.h"
#include "store/store.h"
#include "tpm/nv-index.h"

typedef struct _CmkStages CmkStages;

typedef enum
{
  CMK_STAGES_CURRENT,
  CMK_STAGES_NEXT,
} CmkStagesHalf;

/* @auth and @session (may be NULL; it is used first) are taken. */
CmkStages *cmk_stages_new (CmkTpm *tpm, const guint8 label[CMK_TPM_NV_LABEL_SIZE], CmkSecret *auth,
                           CmkTpmSession *session);
void cmk_stages_free (CmkStages *stages);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkStages, cmk_stages_free)

/* Is there an index that is ours and can be used? Only then the functions at the end may be called. */
gboolean cmk_stages_have_index (const CmkStages *stages);
/* That of the index, or that which it will have. */
const guint8 *cmk_stages_label (const CmkStages *stages);
guint32 cmk_stages_handle (const CmkStages *stages);

/* Open the index at @handle. TRUE, and there is no index, if what is there is not ours. */
gboolean cmk_stages_open (CmkStages *stages, guint32 handle, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What bears our label, that of the directory, and is not ours. */
typedef enum
{
  CMK_STAGES_NOBODY,
  CMK_STAGES_SOMEBODY_ELSE,
} CmkStagesNamesake;

/* Open the index that is ours, whatever its label; there may be none. Another system on this machine may well have one
 * by the same label. What an interrupted define() has left under it is removed. */
gboolean cmk_stages_search (CmkStages *stages, CmkStagesNamesake *ret_namesake,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forget the index, which is gone. */
void cmk_stages_forget (CmkStages *stages);

/* Draw what a new index will hold. */
gboolean cmk_stages_draw (CmkStages *stages, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Define the index, with what was drawn. TRUE, and there is no index, if the TPM gives us none; it has been told in the
 * log. */
gboolean cmk_stages_define (CmkStages *stages, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Of what was drawn or is there. */
const guint8 *cmk_stages_peek_stage (const CmkStages *stages, CmkStagesHalf half);
CmkSecret *cmk_stages_copy_key (const CmkStages *stages, CmkStagesHalf half, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The next halves of the index may be those that another process, which a crash ended, had already used: from here on
 * they are fresh. */
void cmk_stages_distrust_next (CmkStages *stages);

/* Make the index ready to be advanced: mend what is stale, and see to next halves that nobody else has ever used.
 * CMK_TPM_NV_ERROR if the index is gone. */
gboolean cmk_stages_prepare (CmkStages *stages, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Before a commit: make in memory what cmk_stages_advance() will write, so that only the TPM can fail after it. The
 * next stage will be the current one, and so will the next key if @with_key; else the current key stays. */
gboolean cmk_stages_draw_advance (CmkStages *stages, gboolean with_key, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* After the commit. If it fails the index is stale. */
gboolean cmk_stages_advance (CmkStages *stages, GError **error) G_GNUC_WARN_UNUSED_RESULT;
