/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects under the root key, of whatever kind: made, written down, and loaded for one use. Each is flushed as soon as
 * it was used, a bare TPM has three slots. */
#include "tpm/internal.h"

#include "base/error.h"

#include <tss2/tss2_mu.h>

GBytes *
cmk_tpm_object_marshal (const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, GError **error)
{
  guint8 data[sizeof (TPM2B_PUBLIC) + sizeof (TPM2B_PRIVATE)];
  gsize size = 0;
  if (!cmk_tss_ok (Tss2_MU_TPM2B_PUBLIC_Marshal (public, data, sizeof data, &size), "write down an object", error) ||
      !cmk_tss_ok (Tss2_MU_TPM2B_PRIVATE_Marshal (private, data, sizeof data, &size), "write down an object", error))
    return NULL;
  return g_bytes_new (data, size);
}

gboolean
cmk_tpm_object_unmarshal (GBytes *blob, TPM2B_PUBLIC *public, TPM2B_PRIVATE *private, GError **error)
{
  gsize size, offset = 0;
  const guint8 *data = g_bytes_get_data (blob, &size);
  if (Tss2_MU_TPM2B_PUBLIC_Unmarshal (data, size, &offset, public) == TSS2_RC_SUCCESS &&
      Tss2_MU_TPM2B_PRIVATE_Unmarshal (data, size, &offset, private) == TSS2_RC_SUCCESS && offset == size)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                       "a sealed object in the state is damaged; restore the state directory from a backup");
  return FALSE;
}

GBytes *
cmk_tpm_object_create (CmkTpmSession *session, const TPM2B_SENSITIVE_CREATE *sensitive, const TPM2B_PUBLIC *template,
                       CmkTpmPlace place, const char *what, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  cmk_tpm_auto_free TPM2B_PRIVATE *private = NULL;
  cmk_tpm_auto_free TPM2B_PUBLIC *public = NULL;
  if (!cmk_tpm_session_need_root (session, error))
    return NULL;

  TSS2_RC rc;
  CMK_TPM_ROOT_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
                        Esys_Create (tpm->esys, session->root.tr, ESYS_TR_PASSWORD, session->session.tr, ESYS_TR_NONE,
                                     sensitive, template, &no_info, &no_pcrs, &private, &public, NULL, NULL, NULL));
  cmk_tpm_scrub (tpm);
  if (!cmk_tpm_session_ok (session, rc, place, what, error))
    return NULL;
  return cmk_tpm_object_marshal (public, private, error);
}

static gboolean
load (CmkTpmSession *session, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, CmkTpmHandle *object,
      GError **error)
{
  CmkTpm *tpm = session->tpm;
  if (!cmk_tpm_session_need_root (session, error))
    return FALSE;
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  cmk_tpm_announce (tpm, public);
  CMK_TPM_ROOT_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, CMK_TPM_MORE, rc,
                        Esys_Load (tpm->esys, session->root.tr, ESYS_TR_PASSWORD, session->session.tr, ESYS_TR_NONE,
                                   private, public, &tr));
  if (!cmk_tpm_session_ok (session, rc, CMK_TPM_MORE, "load a sealed object", error))
    {
      cmk_tpm_withdraw (tpm);
      return FALSE;
    }
  cmk_tpm_hold (tpm, tr, object);
  return TRUE;
}

static gboolean
load_and_use (CmkTpmSession *session, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, const char *cache_name,
              CmkTpmPlace place, CmkTpmObjectUse use, gpointer data, GError **error)
{
  CmkTpm *tpm = session->tpm;
  CmkTpmHandle object = CMK_TPM_HANDLE_NONE;
  if (tpm->broken && !cmk_tpm_session_restart (session, error))
    return FALSE;
  if (!load (session, public, private, &object, error))
    return FALSE;
  cmk_tpm_context_keep (tpm, cache_name, &object);
  gboolean ok = use == NULL || use (session, object.tr, place, data, error);
  cmk_tpm_flush (tpm, &object);
  return ok;
}

gboolean
cmk_tpm_object_use (CmkTpmSession *session, GBytes *blob, const char *cache_name, CmkTpmPlace place,
                    CmkTpmObjectUse use, gpointer data, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPM2B_PUBLIC public = { 0 };
  TPM2B_PRIVATE private = { 0 };
  if (!cmk_tpm_object_unmarshal (blob, &public, &private, error))
    return FALSE;

  CmkTpmHandle object = CMK_TPM_HANDLE_NONE;
  if (cmk_tpm_context_load (tpm, cache_name, &public, &object))
    {
      gboolean ok = use == NULL || use (session, object.tr, place, data, NULL);
      cmk_tpm_flush (tpm, &object);
      if (ok)
        return TRUE;
      cmk_tpm_context_drop (tpm, cache_name);
    }

  gboolean had_begun_again = session->has_begun_again;
  g_autoptr (GError) local_error = NULL;
  if (load_and_use (session, &public, &private, cache_name, place, use, data, &local_error))
    return TRUE;
  /* The session was lost between the two commands, to a reset of the TPM, and the object with it. */
  if (session->has_begun_again && !had_begun_again && !tpm->broken)
    return load_and_use (session, &public, &private, cache_name, place, use, data, error);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}
