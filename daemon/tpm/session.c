/* SPDX-License-Identifier: Apache-2.0
 *
 * A session costs the TPM an ECDH, on most chips the dearest command of a call: so it stays open from one call to the
 * next. Nobody tells us when it is lost meanwhile, by a reset of the TPM or a restart of its resource manager, so what
 * a kept session is told to do and fails at is tried again in a new one. A TPM that answers with an error has done
 * nothing. */
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
  /* Format-one codes are about the root key: it has gone from its place, or another lies there. So is this one, when
   * the TPM was reset after it had been loaded. */
  if (cmk_tss_is_answer (rc) && ((rc & TPM2_RC_FMT1) != 0 || cmk_tss_base (rc) == TPM2_RC_REFERENCE_H0))
    cmk_tpm_forget_root (tpm);
  if (!cmk_tpm_ok (tpm, rc, "open a session with the TPM", error))
    return FALSE;
  cmk_tpm_hold (tpm, tr, &session->session);
  return TRUE;
}

static gboolean
refuse_root (TSS2_RC rc, GError **error)
{
  return cmk_tss_fail (rc, "use the storage root key", CMK_ERROR_TPM_UNAVAILABLE,
                       "the key at 0x81000001 has a password; an administrator must put one without there "
                       "(tpm2_evictcontrol), then restart cmkd",
                       error);
}

/* A key that is guarded against guesses has had one counted: there is no second. */
static void
note_refusal (CmkTpm *tpm)
{
  TPM2B_PUBLIC public = { 0 };
  tpm->root_has_password = tpm->root != ESYS_TR_NONE && cmk_tpm_read_root_public (tpm, &public) &&
                           (public.publicArea.objectAttributes & TPMA_OBJECT_NODA) == 0;
}

gboolean
cmk_tpm_session_need_root (CmkTpmSession *session, GError **error)
{
  CmkTpm *tpm = session->tpm;
  if (tpm->root_has_password)
    return refuse_root (TPM2_RC_AUTH_FAIL, error);
  return session->root.tr != ESYS_TR_NONE ||
         ((cmk_tpm_has_root (tpm) || cmk_tpm_find_root (tpm, error)) && cmk_tpm_load_root (tpm, &session->root, error));
}

static gboolean
try_begin (CmkTpmSession *session, GError **error)
{
  if (!cmk_tpm_connect (session->tpm, error))
    return FALSE;
  cmk_tpm_settle (session->tpm);
  return cmk_tpm_session_need_root (session, error) && start_session (session, error);
}

static void
give_back_root (CmkTpmSession *session)
{
  if (session->root.handle != 0)
    cmk_tpm_flush (session->tpm, &session->root);
  session->root = CMK_TPM_HANDLE_NONE;
}

/* Leave nothing of @session in the TPM. */
static void
clear (CmkTpmSession *session)
{
  cmk_tpm_flush (session->tpm, &session->session);
  give_back_root (session);
  cmk_tpm_settle (session->tpm);
}

static gboolean
begin_anew (CmkTpmSession *session, GError **error)
{
  CmkTpm *tpm = session->tpm;
  g_autoptr (GError) first_error = NULL;
  session->was_kept = FALSE;
  if (try_begin (session, &first_error))
    return TRUE;

  /* TPM and resource manager may be restarted, and the root key be moved, between two calls: look again, once. */
  if (tpm->broken || !cmk_tpm_has_root (tpm))
    {
      clear (session);
      return try_begin (session, error);
    }
  g_propagate_error (error, g_steal_pointer (&first_error));
  return FALSE;
}

gboolean
cmk_tpm_session_restart (CmkTpmSession *session, GError **error)
{
  clear (session);
  return begin_anew (session, error);
}

/* --- from call to call ------------------------------------------------------------------------------------------- */

static gboolean
is_kept (const CmkTpm *tpm)
{
  return tpm->session_seconds != 0 && tpm->gap_is_wide;
}

void
cmk_tpm_keep_sessions (CmkTpm *tpm, guint seconds)
{
  tpm->session_seconds = seconds;
}

static void
keep (CmkTpmSession *session)
{
  CmkTpm *tpm = session->tpm;
  tpm->kept_session = session->session;
  tpm->kept_since = g_get_monotonic_time ();
  session->session = CMK_TPM_HANDLE_NONE;
}

static gboolean
take_kept (CmkTpmSession *session)
{
  CmkTpm *tpm = session->tpm;
  if (tpm->broken || tpm->kept_session.tr == ESYS_TR_NONE)
    return FALSE;
  session->session = tpm->kept_session;
  session->was_kept = TRUE;
  tpm->kept_session = CMK_TPM_HANDLE_NONE;
  return TRUE;
}

void
cmk_tpm_rest (CmkTpm *tpm)
{
  tpm->patience = (CmkTpmPatience) { 0 };
  if (!tpm->broken)
    cmk_tpm_flush_abandoned (tpm);
  if (g_get_monotonic_time () - tpm->kept_since >= (gint64) tpm->session_seconds * G_USEC_PER_SEC)
    cmk_tpm_flush (tpm, &tpm->kept_session);
  cmk_tpm_settle (tpm);
}

CmkTpmSession *
cmk_tpm_session_begin (CmkTpm *tpm, GError **error)
{
  g_autoptr (CmkTpmSession) session = g_new0 (CmkTpmSession, 1);
  *session = (CmkTpmSession) { .tpm = tpm, .root = CMK_TPM_HANDLE_NONE, .session = CMK_TPM_HANDLE_NONE };
  tpm->patience = (CmkTpmPatience) { 0 };
  return take_kept (session) || begin_anew (session, error) ? g_steal_pointer (&session) : NULL;
}

void
cmk_tpm_session_end (CmkTpmSession *session)
{
  if (session == NULL)
    return;
  CmkTpm *tpm = session->tpm;
  if (is_kept (tpm) && !tpm->broken && tpm->kept_session.tr == ESYS_TR_NONE && session->session.tr != ESYS_TR_NONE)
    keep (session);
  clear (session);
  g_clear_error (&session->failure);
  g_free (session);
}

/* --- each command ------------------------------------------------------------------------------------------------ */

/* The TPM has no such session loaded any more, or no such object: when it was reset it looks for the object first. */
static gboolean
is_lost (TSS2_RC rc)
{
  rc = cmk_tss_base (rc);
  return rc >= TPM2_RC_REFERENCE_H0 && rc <= TPM2_RC_REFERENCE_S6;
}

static void
drop_lost (CmkTpmSession *session)
{
  TPM2_HANDLE handle = session->session.handle;
  (void) Esys_TR_Close (session->tpm->esys, &session->session.tr);
  session->session = CMK_TPM_HANDLE_NONE;
  cmk_tpm_flush_session_by_number (session->tpm, handle);
  cmk_tpm_unnote (session->tpm, handle);
}

static gboolean
is_bad_authorisation (TSS2_RC rc)
{
  return cmk_tss_base (rc) == TPM2_RC_BAD_AUTH || cmk_tss_base (rc) == TPM2_RC_AUTH_FAIL;
}

/* The kept session, or the root key since it was opened, may be why @rc was answered. */
static gboolean
is_suspect (const CmkTpmSession *session, TSS2_RC rc)
{
  return session->was_kept &&
         (is_bad_authorisation (rc) || cmk_tss_base (rc) == TPM2_RC_HANDLE || cmk_tss_base (rc) == TPM2_RC_CONTEXT_GAP);
}

/* Of the authorisations of a command the first, which is the password of the root key. */
static gboolean
is_refused_by_root (const CmkTpmSession *session, TSS2_RC rc)
{
  return session->is_under_root && is_bad_authorisation (rc) &&
         (rc & (TPM2_RC_S | TPM2_RC_N_MASK)) == TPM2_RC_S + TPM2_RC_1;
}

gboolean
cmk_tpm_session_again (CmkTpmSession *session, TSS2_RC rc)
{
  CmkTpm *tpm = session->tpm;
  if (cmk_tpm_again (tpm, rc))
    return TRUE;
  session->root_refused = is_refused_by_root (session, rc);
  if (rc == TSS2_RC_SUCCESS || !cmk_tss_is_answer (rc) || session->has_begun_again || session->root_refused ||
      !(is_lost (rc) || is_suspect (session, rc)))
    return FALSE;
  session->has_begun_again = TRUE;
  session->check_failed = is_bad_authorisation (rc);
  if (is_lost (rc))
    drop_lost (session);
  return cmk_tpm_session_restart (session, &session->failure);
}

TSS2_RC
cmk_tpm_session_make_ready (CmkTpmSession *session, TPMA_SESSION crypt, CmkTpmPlace place)
{
  TPMA_SESSION stay = place == CMK_TPM_LAST && !is_kept (session->tpm) ? 0 : TPMA_SESSION_CONTINUESESSION;
  return Esys_TRSess_SetAttributes (session->tpm->esys, session->session.tr, crypt | stay, 0xff);
}

gboolean
cmk_tpm_session_ok (CmkTpmSession *session, TSS2_RC rc, CmkTpmPlace place, const char *what, GError **error)
{
  CmkTpm *tpm = session->tpm;
  if (rc == TSS2_RC_SUCCESS && place == CMK_TPM_LAST && !is_kept (tpm))
    {
      (void) Esys_TR_Close (tpm->esys, &session->session.tr);
      cmk_tpm_unnote (tpm, session->session.handle);
      session->session = CMK_TPM_HANDLE_NONE;
    }
  if (session->failure != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&session->failure));
      return FALSE;
    }
  if (session->root_refused)
    {
      note_refusal (tpm);
      return refuse_root (rc, error);
    }
  if (rc == TSS2_RC_SUCCESS && session->check_failed)
    g_warning (
        "a session with the TPM failed its check, and a new one did not: something may alter the traffic between "
        "processor and TPM");
  session->check_failed = FALSE;
  /* Salted to another key of the same kind a session opens, and fails at its first use. If that key is guarded against
   * guesses the TPM has counted one, so the next call is to look before. */
  if (is_bad_authorisation (rc) && !cmk_tpm_root_is_unchanged (tpm))
    {
      cmk_tpm_forget_root (tpm);
      rc = TPM2_RC_INTEGRITY;
    }
  return cmk_tpm_ok (tpm, rc, what, error);
}
