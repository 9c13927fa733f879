/* SPDX-License-Identifier: Apache-2.0
 *
 * When the TPM takes note of what was committed (kms/anchor.h). What takes away is answered after that; such calls
 * share one step, made when the worker has nothing else to do or after a few more jobs. All else follows within
 * AnchorSeconds, with the next step, or at the end. Each step wears the memory of the TPM, so each user has a budget
 * for a day. Worker thread but where it is said otherwise. */
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

/* What @uid does will have a step of its own some day. CMK_ERROR_THROTTLED if @uid has had too many. */
gboolean cmk_settling_charge (CmkSettling *settling, guint32 uid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same, and the call under way, of @uid, is to be answered after a step. */
gboolean cmk_settling_require (CmkSettling *settling, guint32 uid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Is the budget of anybody not full again yet (kms/budget.h)? Any thread. */
gboolean cmk_settling_has_charged (CmkSettling *settling);

/* The call under way has nothing to do, because it was done: if the step after that has failed it is to be answered
 * after another. */
void cmk_settling_require_owed (CmkSettling *settling);

/* Something was erased on the way: a step is to follow soon, and whatever is answered now is answered after it. */
void cmk_settling_note_erasure (CmkSettling *settling);

/* Why the answer of a call is held. */
typedef enum
{
  CMK_SETTLING_NOT_HELD,
  CMK_SETTLING_HELD,     /* for what others have had erased: whether that succeeds is not the caller's affair */
  CMK_SETTLING_REQUIRED, /* for what the call itself has done */
} CmkSettlingHold;

/* A call begins. */
void cmk_settling_begin (CmkSettling *settling);

/* Is the call that has ended now, and has @done what it was to do, to be answered after a step? */
CmkSettlingHold cmk_settling_end (CmkSettling *settling, gboolean done);

/* Call @settled when the step is made, or has failed with @error; NULL too if that is not the caller's affair. */
typedef void (*CmkSettledFunc) (gpointer data, const GError *error);
void cmk_settling_wait (CmkSettling *settling, CmkSettlingHold hold, CmkSettledFunc settled, gpointer data);

/* Make the step now, if one is due. */
void cmk_settling_run (CmkSettling *settling);
