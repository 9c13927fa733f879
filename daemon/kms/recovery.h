/* SPDX-License-Identifier: Apache-2.0
 *
 * What an administrator decides when the state can no longer be served as it is: to go on with another TPM, or from an
 * older copy of the state. Worker thread. */
#pragma once

#include "kms/kms.h"

/* What is the matter, and is accepted. */
typedef enum
{
  CMK_RECOVERY_TPM_CHANGED = 1,
  CMK_RECOVERY_ROLLBACK_DETECTED,
} CmkRecoveryCause;

/* By their names on the bus. */
extern const CmkSpecName cmk_recovery_causes[];

typedef struct
{
  GPtrArray *pending_import; /* CmkKeyRecord of EXTERNAL keys whose material is gone and can be imported again */
  GPtrArray *lost;           /* CmkKeyRecord of CMKD_KMS keys whose material is gone for good */
} CmkRecovery;

void cmk_recovery_clear (CmkRecovery *recovery);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkRecovery, cmk_recovery_clear)

/* Wholly or not at all; the journal has who did it and what was lost. CMK_ERROR_ACCESS_DENIED to all but
 * administrators, CMK_ERROR_STATE_NOT_ALLOWED if @cause is not what is the matter. */
gboolean cmk_recovery_run (CmkKms *kms, const CmkCaller *caller, CmkRecoveryCause cause, CmkRecovery *ret_recovery,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* FALSE, with the way out, if cmkd made the material of @record itself and it is gone; unless that way is taken
 * already: then the key is as good as any that is to be deleted. */
gboolean cmk_recovery_require_not_lost (const CmkKeyRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;
