/* SPDX-License-Identifier: Apache-2.0
 *
 * HMAC inside the TPM. A MAC may be the key of a message, so that it is encrypted on the way like the message itself. A
 * sequence object is left with an empty authorisation value: it is noDA (part 1, "Sequence objects"), and whoever could
 * use it without one could use the key beside it, too. */
#include "tpm/resident-key.h"

#include "base/error.h"
#include "tpm/resident-kind.h"
#include "tpm/wiped.h"

#include <string.h>

/* What every TPM takes at once: PC Client profile, TPM_PT_INPUT_BUFFER. */
#define MAX_PIECE 1024

GBytes *
cmk_tpm_resident_import_hmac (CmkTpmSession *session, CmkResidentKind kind, const CmkSecret *key, CmkTpmPlace place,
                              GError **error)
{
  g_auto (TPM2B_SENSITIVE_CREATE) sensitive = { .sensitive.data.size = (guint16) cmk_secret_length (key) };
  g_return_val_if_fail (cmk_secret_length (key) <= CMK_TPM_MAX_SENSITIVE_DATA, NULL);
  memcpy (sensitive.sensitive.data.buffer, cmk_secret_peek (key), cmk_secret_length (key));
  TPM2B_PUBLIC template;
  cmk_tpm_resident_template (kind, &template);
  template.publicArea.objectAttributes &= ~(TPMA_OBJECT) TPMA_OBJECT_SENSITIVEDATAORIGIN;
  return cmk_tpm_object_create (session, &sensitive, &template, place, "put a key into the TPM", error);
}

typedef struct
{
  const CmkTpmKindTraits *kind;
  const guint8 *message;
  gsize size;
  guint8 *ret_mac;
} Job;

static gboolean
take (const Job *job, const TPM2B_DIGEST *mac, GError **error)
{
  if (mac->size != job->kind->size)
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, "use an HMAC key", error);
  memcpy (job->ret_mac, mac->buffer, mac->size);
  return TRUE;
}

static void
fill (TPM2B_MAX_BUFFER *piece, const Job *job, gsize offset)
{
  piece->size = (guint16) MIN (MAX_PIECE, job->size - offset);
  if (piece->size > 0)
    memcpy (piece->buffer, job->message + offset, piece->size);
}

static gboolean
mac_at_once (CmkTpmSession *session, ESYS_TR key, CmkTpmPlace place, const Job *job, GError **error)
{
  CmkTpm *tpm = session->tpm;
  g_auto (TPM2B_MAX_BUFFER) message = { 0 };
  fill (&message, job, 0);

  g_autoptr (TPM2B_DIGEST) mac = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (
      session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
      Esys_HMAC (tpm->esys, key, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &message, job->kind->hash, &mac));
  cmk_tpm_scrub (tpm);
  return cmk_tpm_session_ok (session, rc, place, "use an HMAC key", error) && take (job, mac, error);
}

/* --- more than fits into one command ------------------------------------------------------------------------------ */

static gboolean
start (CmkTpmSession *session, ESYS_TR key, const Job *job, CmkTpmHandle *sequence, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPM2B_AUTH no_auth = { 0 };
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, 0, CMK_TPM_MORE, rc,
                           Esys_HMAC_Start (tpm->esys, key, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
                                            job->kind->hash, &tr));
  if (!cmk_tpm_session_ok (session, rc, CMK_TPM_MORE, "use an HMAC key", error))
    return FALSE;
  cmk_tpm_hold (tpm, tr, sequence);
  return TRUE;
}

static gboolean
update (CmkTpmSession *session, const CmkTpmHandle *sequence, const TPM2B_MAX_BUFFER *piece, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (
      session, TPMA_SESSION_DECRYPT, CMK_TPM_MORE, rc,
      Esys_SequenceUpdate (tpm->esys, sequence->tr, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, piece));
  return cmk_tpm_session_ok (session, rc, CMK_TPM_MORE, "use an HMAC key", error);
}

static gboolean
complete (CmkTpmSession *session, CmkTpmHandle *sequence, const TPM2B_MAX_BUFFER *piece, CmkTpmPlace place,
          const Job *job, GError **error)
{
  CmkTpm *tpm = session->tpm;
  g_autoptr (TPM2B_DIGEST) mac = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
                           Esys_SequenceComplete (tpm->esys, sequence->tr, session->session.tr, ESYS_TR_NONE,
                                                  ESYS_TR_NONE, piece, ESYS_TR_RH_NULL, &mac, NULL));
  if (rc == TSS2_RC_SUCCESS)
    {
      cmk_tpm_unnote (tpm, sequence->handle);
      *sequence = CMK_TPM_HANDLE_NONE; /* gone from the TPM, and from ESYS */
    }
  return cmk_tpm_session_ok (session, rc, place, "use an HMAC key", error) && take (job, mac, error);
}

static gboolean
mac_in_pieces (CmkTpmSession *session, ESYS_TR key, CmkTpmPlace place, const Job *job, GError **error)
{
  CmkTpmHandle sequence = CMK_TPM_HANDLE_NONE;
  g_auto (TPM2B_MAX_BUFFER) piece = { 0 };
  if (!start (session, key, job, &sequence, error))
    return FALSE;
  gboolean ok = TRUE;
  gsize offset = 0;
  for (; ok && job->size - offset > MAX_PIECE; offset += MAX_PIECE)
    {
      fill (&piece, job, offset);
      ok = update (session, &sequence, &piece, error);
    }
  if (ok)
    {
      fill (&piece, job, offset);
      ok = complete (session, &sequence, &piece, place, job, error);
    }
  cmk_tpm_scrub (session->tpm);
  cmk_tpm_flush (session->tpm, &sequence);
  return ok;
}

static gboolean
mac (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data, GError **error)
{
  const Job *job = data;
  return job->size <= MAX_PIECE ? mac_at_once (session, object, place, job, error)
                                : mac_in_pieces (session, object, place, job, error);
}

gboolean
cmk_tpm_resident_hmac (CmkTpmSession *session, GBytes *blob, const char *cache_name, CmkResidentKind kind,
                       const guint8 *message, gsize size, CmkTpmPlace place, guint8 ret_mac[CMK_RESIDENT_MAX_MAC],
                       GError **error)
{
  Job job = { .kind = cmk_tpm_kind_traits (kind), .message = message, .size = size, .ret_mac = ret_mac };
  return cmk_tpm_object_use (session, blob, cache_name, place, mac, &job, error);
}
