/* SPDX-License-Identifier: Apache-2.0
 *
 * When the TPM takes note of what was committed (kms/anchor.h). What takes away is answered after that; such calls share
 * one step, made when the worker has nothing else to do or after a few more jobs. All else follows within AnchorSeconds,
 * with the next step, or at the end. Each step wears the memory of the TPM, so each user has a budget for a day. Worker
 * thread but where it is said otherwise. */
#pragma once

#include "base/config.h"
#include "kms/vault.h"
#include "kms/worker.h"

typedef struct _CmkSettling CmkSettling;

/* Main thread, before @worker has jobs. The arguments must outlive it. */
CmkSettling *cmk_settling_new (const CmkConfig *config, CmkVault *vault, CmkWorker *worker);
/* Main thread, after the worker has ended: a last step, if one is due. */
void cmk_settling_conclude (CmkSettling *settling);
void cmk_settling_free (CmkSettling *settling);

/* The call under way, of @uid, is to be answered after a step. CMK_ERROR_THROTTLED if @uid has had too many. */
gboolean cmk_settling_require (CmkSettling *settling, guint32 uid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Something was erased: a step is to follow soon, and the call under way is to be answered after it. */
void cmk_settling_note_erasure (CmkSettling *settling);

/* Is the call that has ended now to be answered after a step? Asked once for each. */
gboolean cmk_settling_take_required (CmkSettling *settling);

/* Call @settled when the step is made, or has failed with @error. */
typedef void (*CmkSettledFunc) (gpointer data, const GError *error);
void cmk_settling_wait (CmkSettling *settling, CmkSettledFunc settled, gpointer data);

/* Before anything is served: finish what was erased just now. */
void cmk_settling_run_required (CmkSettling *settling);
