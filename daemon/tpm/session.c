/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/internal.h"

#include "base/error.h"

static gboolean
start_session (CmkTpmSession *session, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPMT_SYM_DEF symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB };
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_StartAuthSession (tpm->esys, session->root.tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                          ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256, &tr));
  /* Format-one codes are about the root key: it has gone from its place, or another lies there. */
  if (cmk_tss_is_answer (rc) && (rc & TPM2_RC_FMT1) != 0)
    cmk_tpm_forget_root (tpm);
  if (!cmk_tpm_ok (tpm, rc, "open a session with the TPM", error))
    return FALSE;
  cmk_tpm_hold (tpm, tr, &session->session);
  return TRUE;
}

static gboolean
try_begin (CmkTpmSession *session, GError **error)
{
  CmkTpm *tpm = session->tpm;
  return cmk_tpm_connect (tpm, error) && (cmk_tpm_has_root (tpm) || cmk_tpm_find_root (tpm, error)) &&
         cmk_tpm_load_root (tpm, &session->root, error) && start_session (session, error);
}

/* Leave nothing of @session in the TPM. */
static void
clear (CmkTpmSession *session)
{
  cmk_tpm_flush (session->tpm, &session->session);
  if (session->root.handle != 0)
    cmk_tpm_flush (session->tpm, &session->root);
  session->root = CMK_TPM_HANDLE_NONE;
  cmk_tpm_settle (session->tpm);
}

gboolean
cmk_tpm_session_restart (CmkTpmSession *session, GError **error)
{
  clear (session);
  return try_begin (session, error);
}

CmkTpmSession *
cmk_tpm_session_begin (CmkTpm *tpm, GError **error)
{
  g_autoptr (CmkTpmSession) session = g_new0 (CmkTpmSession, 1);
  *session = (CmkTpmSession) { .tpm = tpm, .root = CMK_TPM_HANDLE_NONE, .session = CMK_TPM_HANDLE_NONE };
  tpm->patience = (CmkTpmPatience) { 0 };

  g_autoptr (GError) first_error = NULL;
  if (try_begin (session, &first_error))
    return g_steal_pointer (&session);

  /* TPM and resource manager may be restarted, and the root key be moved, between two calls: look again, once. */
  if (tpm->broken || !cmk_tpm_has_root (tpm))
    return cmk_tpm_session_restart (session, error) ? g_steal_pointer (&session) : NULL;
  g_propagate_error (error, g_steal_pointer (&first_error));
  return NULL;
}

void
cmk_tpm_session_end (CmkTpmSession *session)
{
  if (session == NULL)
    return;
  clear (session);
  g_free (session);
}

gboolean
cmk_tpm_session_prepare (CmkTpmSession *session, TPMA_SESSION crypt, CmkTpmPlace place, GError **error)
{
  TPMA_SESSION stay = place == CMK_TPM_LAST ? 0 : TPMA_SESSION_CONTINUESESSION;
  return cmk_tpm_ok (session->tpm,
                     Esys_TRSess_SetAttributes (session->tpm->esys, session->session.tr, crypt | stay, 0xff),
                     "use the session with the TPM", error);
}

gboolean
cmk_tpm_session_ok (CmkTpmSession *session, TSS2_RC rc, CmkTpmPlace place, const char *what, GError **error)
{
  CmkTpm *tpm = session->tpm;
  if (rc == TSS2_RC_SUCCESS && place == CMK_TPM_LAST)
    {
      (void) Esys_TR_Close (tpm->esys, &session->session.tr);
      session->session = CMK_TPM_HANDLE_NONE;
    }
  /* Salted to another key of the same kind a session opens, and fails at its first use. */
  if (cmk_tss_base (rc) == TPM2_RC_BAD_AUTH && !cmk_tpm_root_is_unchanged (tpm))
    rc = TPM2_RC_INTEGRITY;
  return cmk_tpm_ok (tpm, rc, what, error);
}
