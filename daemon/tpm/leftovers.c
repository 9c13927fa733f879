/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions of ours that we hold no ESYS_TR of any more: their number is all that is known, and a TPM gives numbers away
 * again. A resource manager has flushed what was ours when the connection went, and shows no session as loaded while no
 * command runs: whatever it saved is somebody's. So a session is flushed by its number only while it is loaded, which
 * says that there is no resource manager, and that nobody has given the number back meanwhile. */
#include "tpm/internal.h"

static gboolean
is_loaded (CmkTpm *tpm, TPM2_HANDLE handle)
{
  cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
  TSS2_RC rc;
  TPM2_HANDLE first = TPM2_LOADED_SESSION_FIRST + (handle & TPM2_HR_HANDLE_MASK);
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first, 1,
                                       NULL, &data));
  return cmk_tpm_ok (tpm, rc, "list the loaded sessions", NULL) && data->data.handles.count > 0 &&
         data->data.handles.handle[0] == handle;
}

void
cmk_tpm_flush_session_by_number (CmkTpm *tpm, TPM2_HANDLE handle)
{
  TPM2_HT type = (TPM2_HT) (handle >> TPM2_HR_SHIFT);
  if ((type != TPM2_HT_HMAC_SESSION && type != TPM2_HT_POLICY_SESSION) || !is_loaded (tpm, handle))
    return;
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc = Esys_TR_FromTPMPublic (tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
  if (rc == TSS2_RC_SUCCESS)
    rc = Esys_FlushContext (tpm->esys, tr);
  if (rc != TSS2_RC_SUCCESS && tr != ESYS_TR_NONE && cmk_tss_is_answer (rc))
    (void) Esys_TR_Close (tpm->esys, &tr);
  (void) cmk_tpm_ok (tpm, rc, "flush", NULL);
}
