/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/internal.h"

#include "base/error.h"

#define PATIENCE_MS    10000 /* of one call, over all its commands */
#define FIRST_PAUSE_MS 20
#define LAST_PAUSE_MS  2000

#define NOT_THERE "the TPM does not answer; check that it is there, that cmkd may open it, and what --tcti names"
#define BUSY      "the TPM is busy; try again"
#define FULL      "other programs hold every slot of the TPM; use /dev/tpmrm0 rather than /dev/tpm0, or try again"
#define LEAKED    "other programs have left sessions behind in the TPM; remove them with tpm2_flushcontext -s, try again"
#define LOCKED    "the TPM is locked after failed authorisations; wait, or run tpm2_dictionarylockout --clear-lockout"
#define CHANGED   "this TPM cannot open it: it was cleared or replaced; bring the old TPM back or import the keys again"
#define RESTARTED "the TPM was restarted or cleared meanwhile; try again"
#define TAMPERED  "the session with the TPM failed its check: something altered the traffic between processor and TPM"
#define FAILED    "the TPM reports a failure of its own; tpm2_gettestresult says more"

static const struct
{
  TSS2_RC base;
  CmkError code;
  const char *why;
} meanings[] = {
  { TPM2_RC_LOCKOUT, CMK_ERROR_TPM_LOCKOUT, LOCKED },
  { TPM2_RC_INTEGRITY, CMK_ERROR_TPM_CHANGED, CHANGED },
  { TPM2_RC_BINDING, CMK_ERROR_TPM_CHANGED, CHANGED },
  { TPM2_RC_BAD_AUTH, CMK_ERROR_TPM_UNAVAILABLE, TAMPERED },
  { TPM2_RC_AUTH_FAIL, CMK_ERROR_TPM_UNAVAILABLE, TAMPERED },
  { TSS2_ESYS_RC_RSP_AUTH_FAILED, CMK_ERROR_TPM_UNAVAILABLE, TAMPERED },
  { TPM2_RC_RETRY, CMK_ERROR_TPM_UNAVAILABLE, BUSY },
  { TPM2_RC_YIELDED, CMK_ERROR_TPM_UNAVAILABLE, BUSY },
  { TPM2_RC_TESTING, CMK_ERROR_TPM_UNAVAILABLE, BUSY },
  { TPM2_RC_NV_RATE, CMK_ERROR_TPM_UNAVAILABLE, BUSY },
  { TPM2_RC_NV_UNAVAILABLE, CMK_ERROR_TPM_UNAVAILABLE, BUSY },
  { TPM2_RC_OBJECT_MEMORY, CMK_ERROR_TPM_UNAVAILABLE, FULL },
  { TPM2_RC_SESSION_MEMORY, CMK_ERROR_TPM_UNAVAILABLE, FULL },
  { TPM2_RC_OBJECT_HANDLES, CMK_ERROR_TPM_UNAVAILABLE, FULL },
  { TPM2_RC_SESSION_HANDLES, CMK_ERROR_TPM_UNAVAILABLE, LEAKED },
  { TPM2_RC_CONTEXT_GAP, CMK_ERROR_TPM_UNAVAILABLE, LEAKED },
  { TPM2_RC_REFERENCE_H0, CMK_ERROR_TPM_UNAVAILABLE, RESTARTED },
  { TPM2_RC_REFERENCE_S0, CMK_ERROR_TPM_UNAVAILABLE, RESTARTED },
  { TPM2_RC_HANDLE, CMK_ERROR_TPM_UNAVAILABLE, RESTARTED },
  { TPM2_RC_INITIALIZE, CMK_ERROR_TPM_UNAVAILABLE, RESTARTED },
  { TPM2_RC_FAILURE, CMK_ERROR_TPM_UNAVAILABLE, FAILED },
};

TSS2_RC
cmk_tss_base (TSS2_RC rc) { return (rc & TPM2_RC_FMT1) != 0 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc; }

gboolean
cmk_tss_is_answer (TSS2_RC rc)
{
  return (rc & TSS2_RC_LAYER_MASK) == 0;
}

gboolean
cmk_tss_ok (TSS2_RC rc, const char *what, GError **error)
{
  if (rc == TSS2_RC_SUCCESS)
    return TRUE;

  CmkError code = CMK_ERROR_TPM_UNAVAILABLE;
  const char *why = cmk_tss_is_answer (rc) ? "the TPM refused it" : NOT_THERE;
  for (gsize i = 0; i < G_N_ELEMENTS (meanings); i++)
    if (meanings[i].base == (cmk_tss_is_answer (rc) ? cmk_tss_base (rc) : rc))
      {
        code = meanings[i].code;
        why = meanings[i].why;
      }
  g_set_error (error, CMK_ERROR, code, "cannot %s: %s (TPM code 0x%x)", what, why, rc);
  return FALSE;
}

gboolean
cmk_tpm_ok (CmkTpm *tpm, TSS2_RC rc, const char *what, GError **error)
{
  /* ESYS refuses every further command after an error below the TPM, and says BAD_SEQUENCE for ever. */
  if (!cmk_tss_is_answer (rc))
    tpm->broken = TRUE;
  return cmk_tss_ok (rc, what, error);
}

/* ESYS itself sends such a command five times, but without a pause. */
static gboolean
wait_a_little (CmkTpmPatience *patience)
{
  guint pause = CLAMP (patience->next_ms, FIRST_PAUSE_MS, LAST_PAUSE_MS);
  if (patience->waited_ms + pause > PATIENCE_MS)
    return FALSE;
  g_usleep (pause * 1000);
  patience->waited_ms += pause;
  patience->next_ms = 2 * pause;
  return TRUE;
}

gboolean
cmk_tpm_again (CmkTpm *tpm, TSS2_RC rc)
{
  CmkTpmPatience *patience = &tpm->patience;
  switch (rc)
    {
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_TESTING:
    case TPM2_RC_NV_RATE:
    case TPM2_RC_NV_UNAVAILABLE:
      return wait_a_little (patience);

    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_SESSION_MEMORY:
      /* Somebody else's object, without a resource manager: it may go soon. */
      if (patience->memory_retried)
        return FALSE;
      patience->memory_retried = TRUE;
      return wait_a_little (patience);

    case TPM2_RC_INITIALIZE:
      /* A virtual machine may leave it to us to start its TPM. Whether it worked shows when the command is repeated. */
      if (patience->started)
        return FALSE;
      patience->started = TRUE;
      (void) cmk_tpm_ok (tpm, Esys_Startup (tpm->esys, TPM2_SU_CLEAR), "start the TPM", NULL);
      return !tpm->broken;

    default:
      return FALSE;
    }
}
