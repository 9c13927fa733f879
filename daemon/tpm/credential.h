/* SPDX-License-Identifier: Apache-2.0
 *
 * How somebody finds out that the attestation key and the endorsement key whose certificate he trusts are in one TPM
 * (TPM 2.0 part 1, "Credential Protection"): he encrypts a secret that only this TPM, having both, opens. Worker
 * thread only. */
#pragma once

#include "tpm/session.h"

/* Has @credential the form? CMK_ERROR_INVALID_PARAMETER. */
gboolean cmk_tpm_check_credential (GBytes *credential, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The secret in @credential, TPM2B_ID_OBJECT || TPM2B_ENCRYPTED_SECRET, made for the name of @attestation_key and the
 * endorsement key of template L-1 or L-2 (TCG EK Credential Profile), whichever the length says. That key is made for
 * this, from the seed that the TPM was made with, which may take seconds. CMK_ERROR_INVALID_PARAMETER if it was made
 * for anything else. */
GBytes *cmk_tpm_activate_credential (CmkTpmSession *session, GBytes *attestation_key, GBytes *credential,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
