/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection, and the promise that no handle is left in the TPM. A resource manager keeps it for us when the
 * connection goes; a TPM without one (swtpm, /dev/tpm0) keeps what is loaded, so that after a broken connection the
 * handles are flushed over the next. What a TPM would not flush is tried a second time in the same way. */
#include "tpm/internal.h"

#include "tpm/transport.h"

void
cmk_tpm_disconnect (CmkTpm *tpm)
{
  if (tpm->kept_session.tr != ESYS_TR_NONE)
    g_array_append_val (tpm->stranded, tpm->kept_session.handle);
  tpm->kept_session = CMK_TPM_HANDLE_NONE;
  tpm->root = ESYS_TR_NONE;
  tpm->broken = FALSE;
  if (tpm->esys != NULL)
    Esys_Finalize (&tpm->esys);
  cmk_transport_close (&tpm->connection);
}

gboolean
cmk_tpm_connect (CmkTpm *tpm, GError **error)
{
  if (tpm->esys != NULL && !tpm->broken)
    return TRUE;

  cmk_tpm_disconnect (tpm);
  if (!cmk_tss_ok (cmk_transport_open (tpm->tcti, &tpm->connection), "connect", error))
    return FALSE;
  return cmk_tss_ok (Esys_Initialize (&tpm->esys, tpm->connection, NULL), "talk to the TPM", error);
}

void
cmk_tpm_hold (CmkTpm *tpm, ESYS_TR tr, CmkTpmHandle *handle)
{
  handle->tr = tr;
  if (Esys_TR_GetTpmHandle (tpm->esys, tr, &handle->handle) != TSS2_RC_SUCCESS)
    handle->handle = 0;
  cmk_tpm_note (tpm, handle);
}

void
cmk_tpm_flush (CmkTpm *tpm, CmkTpmHandle *handle)
{
  if (handle->tr == ESYS_TR_NONE)
    return;

  TSS2_RC rc = TSS2_ESYS_RC_BAD_SEQUENCE;
  if (!tpm->broken)
    CMK_TPM_COMMAND (tpm, rc, Esys_FlushContext (tpm->esys, handle->tr));
  if (!cmk_tpm_ok (tpm, rc, "flush", NULL))
    {
      (void) Esys_TR_Close (tpm->esys, &handle->tr);
      g_array_append_val (tpm->stranded, handle->handle);
    }
  else
    cmk_tpm_unnote (tpm, handle->handle);
  *handle = CMK_TPM_HANDLE_NONE;
}

static void
flush_stranded (CmkTpm *tpm, TPM2_HANDLE handle)
{
  if (handle >> TPM2_HR_SHIFT == TPM2_HT_TRANSIENT)
    cmk_tpm_flush_object_by_number (tpm, handle);
  else
    cmk_tpm_flush_session_by_number (tpm, handle);
}

void
cmk_tpm_settle (CmkTpm *tpm)
{
  if (tpm->stranded->len == 0)
    return;

  /* Once and at once: later the TPM may have been restarted and the same handles be somebody else's. */
  gboolean is_there = cmk_tpm_connect (tpm, NULL);
  for (guint i = 0; i < tpm->stranded->len && !tpm->broken; i++)
    if (is_there)
      flush_stranded (tpm, g_array_index (tpm->stranded, TPM2_HANDLE, i));
    else
      cmk_transport_leave (g_array_index (tpm->stranded, TPM2_HANDLE, i));
  for (guint i = 0; i < tpm->stranded->len; i++)
    cmk_tpm_unnote (tpm, g_array_index (tpm->stranded, TPM2_HANDLE, i));
  g_array_set_size (tpm->stranded, 0);
}
