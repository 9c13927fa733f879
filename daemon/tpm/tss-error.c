/* SPDX-License-Identifier: Apache-2.0
 *
 * What a TSS code means, and what is done about it before anybody is told. docs/tpm-failures.md has the table. */
#include "tpm/internal.h"

#include "base/error.h"
#include "tpm/transport.h"

#define FIRST_PAUSE_MS 20
#define LAST_PAUSE_MS  2000

#define NOT_THERE                                                                                                      \
  "the TPM cannot be reached; see that it is switched on in the firmware, that who runs cmkd is in the group tss, "    \
  "and what Tcti= in cmkd.conf, or --tcti, names"
#define BUSY   "the TPM is busy; try again"
#define FULL   "other programs hold every slot of the TPM; use /dev/tpmrm0 rather than /dev/tpm0, or try again"
#define LEAKED "programs have left sessions behind in the TPM; remove them with tpm2_flushcontext -s, then try again"
#define LOCKED "the TPM is locked after failed authorisations; wait, or run tpm2_dictionarylockout --clear-lockout"
#define LOCKED_FOR                                                                                                     \
  "the TPM is locked after failed authorisations; it forgives one every %u seconds: wait, or run "                     \
  "tpm2_dictionarylockout --clear-lockout"
#define CHANGED   "this TPM cannot open it: it was cleared or replaced; bring the old TPM back or import the keys again"
#define RESTARTED "the TPM was restarted or cleared meanwhile; try again"
#define TAMPERED                                                                                                       \
  "a session with the TPM failed its check: something altered the traffic between processor and TPM; "                 \
  "have the machine examined if it happens again"
#define MALFORMED                                                                                                      \
  "the TPM, or what lies between it and cmkd, gave an answer that is none; restart the machine if it goes on"
#define FAILED  "the TPM reports a failure of its own; tpm2_gettestresult says more, restart the machine"
#define UNWELL  "the TPM failed at it, though its self-test passes; try again, restart the machine if it goes on"
#define UNABLE  "the TPM, or the resource manager before it, does not know the command; update its firmware"
#define REFUSED "the TPM refused it; update cmkd, or report the code"
#define SILENT                                                                                                         \
  "the TPM has not answered for %u seconds; another program may hold it, or the chip hangs: "                          \
  "restart the machine if it goes on"

static const struct
{
  TSS2_RC rc; /* a base, or what is no answer of the TPM */
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
  { TPM2_RC_COMMAND_CODE, CMK_ERROR_TPM_UNAVAILABLE, UNABLE },
};

static const char *trouble; /* atomic */

/* --- what it says ------------------------------------------------------------------------------------------------ */

/* Resource managers answer for themselves with the TPM's codes under a layer of their own. */
gboolean
cmk_tss_is_answer (TSS2_RC rc)
{
  TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
  return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER;
}

TSS2_RC
cmk_tss_base (TSS2_RC rc)
{
  if (!cmk_tss_is_answer (rc))
    return rc;
  rc &= ~(TSS2_RC) TSS2_RC_LAYER_MASK;
  return (rc & TPM2_RC_FMT1) != 0 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

/* Of what the TPM did not say: it was not reached, or did not make sense. */
static const char *
explain_lost (TSS2_RC rc)
{
  if (rc == CMK_TRANSPORT_RC_SILENT)
    {
      g_autofree char *text = g_strdup_printf (SILENT, cmk_transport_answer_seconds ());
      return g_intern_string (text); /* as many as there are settings: one */
    }
  gboolean is_from_below = (rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER;
  return rc == TSS2_ESYS_RC_BAD_SEQUENCE || (is_from_below && rc != TSS2_TCTI_RC_MALFORMED_RESPONSE) ? NOT_THERE
                                                                                                     : MALFORMED;
}

static const char *
explain (TSS2_RC rc, CmkError *ret_code)
{
  *ret_code = CMK_ERROR_TPM_UNAVAILABLE;
  for (gsize i = 0; i < G_N_ELEMENTS (meanings); i++)
    if (meanings[i].rc == cmk_tss_base (rc))
      {
        *ret_code = meanings[i].code;
        return meanings[i].why;
      }
  return cmk_tss_is_answer (rc) ? REFUSED : explain_lost (rc);
}

gboolean
cmk_tss_fail (TSS2_RC rc, const char *what, CmkError code, const char *why, GError **error)
{
  if (error != NULL)
    g_atomic_pointer_set (&trouble, why);
  g_set_error (error, CMK_ERROR, (int) code, "cannot %s: %s (TPM code 0x%x)", what, why, rc);
  return FALSE;
}

const char *
cmk_tpm_trouble (void)
{
  return g_atomic_pointer_get (&trouble);
}

gboolean
cmk_tss_ok (TSS2_RC rc, const char *what, GError **error)
{
  if (rc == TSS2_RC_SUCCESS)
    return TRUE;
  CmkError code;
  const char *why = explain (rc, &code);
  return cmk_tss_fail (rc, what, code, why, error);
}

/* libtpms before 0.10 says FAILURE where it should say VALUE. A TPM that has failed answers nothing else but this. */
static gboolean
is_well (CmkTpm *tpm)
{
  cmk_tpm_auto_free TPM2B_MAX_BUFFER *data = NULL;
  TPM2_RC result = TPM2_RC_FAILURE;
  return Esys_GetTestResult (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &data, &result) == TSS2_RC_SUCCESS &&
         result != TPM2_RC_FAILURE;
}

/* How long others' failed attempts lock it is for its owner to say. */
static const char *
explain_lockout (CmkTpm *tpm)
{
  cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
  TSS2_RC rc = Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
                                   TPM2_PT_LOCKOUT_INTERVAL, 1, NULL, &data);
  if (rc != TSS2_RC_SUCCESS || data->capability != TPM2_CAP_TPM_PROPERTIES || data->data.tpmProperties.count == 0)
    return LOCKED;
  g_autofree char *text = g_strdup_printf (LOCKED_FOR, data->data.tpmProperties.tpmProperty[0].value);
  return g_intern_string (text); /* one, unless the owner changes it */
}

gboolean
cmk_tpm_ok (CmkTpm *tpm, TSS2_RC rc, const char *what, GError **error)
{
  /* ESYS refuses every further command after an error below the TPM, and says BAD_SEQUENCE for ever. */
  if (!cmk_tss_is_answer (rc) && !tpm->broken)
    {
      tpm->broken = TRUE;
      tpm->broken_by = rc;
    }
  if (tpm->broken && rc == TSS2_ESYS_RC_BAD_SEQUENCE)
    rc = tpm->broken_by;
  if (error != NULL && cmk_tss_base (rc) == TPM2_RC_FAILURE && is_well (tpm))
    return cmk_tss_fail (rc, what, CMK_ERROR_TPM_UNAVAILABLE, UNWELL, error);
  if (error != NULL && cmk_tss_base (rc) == TPM2_RC_LOCKOUT)
    return cmk_tss_fail (rc, what, CMK_ERROR_TPM_LOCKOUT, explain_lockout (tpm), error);
  return cmk_tss_ok (rc, what, error);
}

/* --- what is tried again ------------------------------------------------------------------------------------------ */

/* ESYS itself sends such a command five times, but without a pause. */
static gboolean
wait_a_little (CmkTpmPatience *patience)
{
  guint limit = cmk_transport_answer_seconds () * 1000 / 3 * 2;
  guint pause = CLAMP (patience->next_ms, FIRST_PAUSE_MS, LAST_PAUSE_MS);
  if (patience->waited_ms + pause > limit || pause * 1000 > cmk_transport_time_left ())
    return FALSE;
  g_usleep (pause * 1000);
  cmk_transport_spend (pause * 1000);
  patience->waited_ms += pause;
  patience->next_ms = 2 * pause;
  return TRUE;
}

/* A TPM that tests itself bit by bit may wait to be told to. */
static gboolean
wait_for_test (CmkTpm *tpm)
{
  if (!tpm->patience.tested)
    (void) cmk_tpm_ok (tpm, Esys_SelfTest (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_NO), "test", NULL);
  tpm->patience.tested = TRUE;
  return !tpm->broken && wait_a_little (&tpm->patience);
}

/* What is ours and not in use makes room; what is somebody else's, where there is no resource manager, may go soon. */
static gboolean
make_room (CmkTpm *tpm)
{
  CmkTpmPatience *patience = &tpm->patience;
  if (patience->room_made)
    return FALSE;
  patience->room_made = TRUE;
  cmk_tpm_flush (tpm, &tpm->kept_session);
  cmk_tpm_settle (tpm);
  return !tpm->broken && wait_a_little (patience);
}

/* A virtual machine may leave it to us to start its TPM. Whether it worked shows when the command is repeated. */
static gboolean
start (CmkTpm *tpm)
{
  if (tpm->patience.started)
    return FALSE;
  tpm->patience.started = TRUE;
  (void) cmk_tpm_ok (tpm, Esys_Startup (tpm->esys, TPM2_SU_CLEAR), "start the TPM", NULL);
  return !tpm->broken;
}

gboolean
cmk_tpm_again (CmkTpm *tpm, TSS2_RC rc)
{
  switch (cmk_tss_base (rc))
    {
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_NV_RATE:
    case TPM2_RC_NV_UNAVAILABLE:
      return wait_a_little (&tpm->patience);

    case TPM2_RC_TESTING:
      return wait_for_test (tpm);

    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_SESSION_HANDLES:
    case TPM2_RC_CONTEXT_GAP:
      return make_room (tpm);

    case TPM2_RC_INITIALIZE:
      return start (tpm);

    default:
      return FALSE;
    }
}
