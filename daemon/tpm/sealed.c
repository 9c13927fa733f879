/* SPDX-License-Identifier: Apache-2.0
 *
 * The two kinds of objects that cmkd keeps under the root key: sealed data keys and the fingerprint key. Each is loaded
 * for one command and flushed at once, a bare TPM has three slots. noDA and an empty authorisation value on both: they
 * are protected by the hierarchy and the session, and no failure of ours may count towards the TPM's lockout. */
#include "tpm/internal.h"

#include "base/error.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define DATA_KEY_SIZE 32

static const TPM2B_PUBLIC data_key_template = {
  .publicArea = {
    .type = TPM2_ALG_KEYEDHASH,
    .nameAlg = TPM2_ALG_SHA256,
    .objectAttributes =
        TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
    .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
  },
};

static const TPM2B_PUBLIC fingerprint_key_template = {
  .publicArea = {
    .type = TPM2_ALG_KEYEDHASH,
    .nameAlg = TPM2_ALG_SHA256,
    .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH |
                        TPMA_OBJECT_NODA | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_SIGN_ENCRYPT,
    .parameters.keyedHashDetail.scheme = { .scheme = TPM2_ALG_HMAC, .details.hmac.hashAlg = TPM2_ALG_SHA256 },
  },
};

static void
wipe_sensitive_create (TPM2B_SENSITIVE_CREATE *sensitive)
{
  explicit_bzero (sensitive, sizeof *sensitive);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_SENSITIVE_CREATE, wipe_sensitive_create)

static void
wipe_buffer (TPM2B_MAX_BUFFER *buffer)
{
  explicit_bzero (buffer, sizeof *buffer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_MAX_BUFFER, wipe_buffer)

static void
free_sensitive_data (TPM2B_SENSITIVE_DATA *data)
{
  explicit_bzero (data, sizeof *data);
  Esys_Free (data);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TPM2B_SENSITIVE_DATA, free_sensitive_data)

/* --- blobs ------------------------------------------------------------------------------------------------------- */

static GBytes *
marshal_blob (const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, GError **error)
{
  guint8 data[sizeof (TPM2B_PUBLIC) + sizeof (TPM2B_PRIVATE)];
  gsize size = 0;
  if (!cmk_tss_ok (Tss2_MU_TPM2B_PUBLIC_Marshal (public, data, sizeof data, &size), "write down an object", error) ||
      !cmk_tss_ok (Tss2_MU_TPM2B_PRIVATE_Marshal (private, data, sizeof data, &size), "write down an object", error))
    return NULL;
  return g_bytes_new (data, size);
}

static gboolean
unmarshal_blob (GBytes *blob, TPM2B_PUBLIC *public, TPM2B_PRIVATE *private, GError **error)
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

static GBytes *
create (CmkTpmSession *session, const TPM2B_SENSITIVE_CREATE *sensitive, const TPM2B_PUBLIC *template,
        CmkTpmPlace place, const char *what, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  cmk_tpm_auto_free TPM2B_PRIVATE *private = NULL;
  cmk_tpm_auto_free TPM2B_PUBLIC *public = NULL;
  if (!cmk_tpm_session_prepare (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, error))
    return NULL;

  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_Create (tpm->esys, session->root.tr, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, sensitive,
                                template, &no_info, &no_pcrs, &private, &public, NULL, NULL, NULL));
  cmk_tpm_scrub (tpm);
  if (!cmk_tpm_session_ok (session, rc, place, what, error))
    return NULL;
  return marshal_blob (public, private, error);
}

GBytes *
cmk_tpm_seal (CmkTpmSession *session, const CmkSecret *data_key, CmkTpmPlace place, GError **error)
{
  g_return_val_if_fail (cmk_secret_length (data_key) == DATA_KEY_SIZE, NULL);
  g_auto (TPM2B_SENSITIVE_CREATE) sensitive = { .sensitive.data.size = DATA_KEY_SIZE };
  memcpy (sensitive.sensitive.data.buffer, cmk_secret_peek (data_key), DATA_KEY_SIZE);
  return create (session, &sensitive, &data_key_template, place, "seal a data key", error);
}

GBytes *
cmk_tpm_create_fingerprint_key (CmkTpmSession *session, CmkTpmPlace place, GError **error)
{
  g_auto (TPM2B_SENSITIVE_CREATE) sensitive = { 0 };
  return create (session, &sensitive, &fingerprint_key_template, place, "make the fingerprint key", error);
}

/* --- use --------------------------------------------------------------------------------------------------------- */

static gboolean
load (CmkTpmSession *session, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, CmkTpmHandle *object,
      GError **error)
{
  CmkTpm *tpm = session->tpm;
  if (!cmk_tpm_session_prepare (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, CMK_TPM_MORE, error))
    return FALSE;
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (
      tpm, rc,
      Esys_Load (tpm->esys, session->root.tr, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, private, public, &tr));
  if (!cmk_tpm_session_ok (session, rc, CMK_TPM_MORE, "load a sealed object", error))
    return FALSE;
  cmk_tpm_hold (tpm, tr, object);
  return TRUE;
}

/* What is done with a loaded object. */
typedef gboolean (*ObjectUse) (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data,
                               GError **error);

/* Do @use with the object of @blob, loaded from its kept context or else from the blob. */
static gboolean
use_object (CmkTpmSession *session, GBytes *blob, const char *cache_name, CmkTpmPlace place, ObjectUse use,
            gpointer data, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPM2B_PUBLIC public = { 0 };
  TPM2B_PRIVATE private = { 0 };
  if (!unmarshal_blob (blob, &public, &private, error))
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

  if (tpm->broken && !cmk_tpm_session_restart (session, error))
    return FALSE;
  if (!load (session, &public, &private, &object, error))
    return FALSE;
  cmk_tpm_context_keep (tpm, cache_name, &object);
  gboolean ok = use == NULL || use (session, object.tr, place, data, error);
  cmk_tpm_flush (tpm, &object);
  return ok;
}

static gboolean
unseal (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data, GError **error)
{
  CmkSecret **ret_data_key = data;
  CmkTpm *tpm = session->tpm;
  /* Unseal has no parameter to encrypt, only its answer. */
  if (!cmk_tpm_session_prepare (session, TPMA_SESSION_ENCRYPT, place, error))
    return FALSE;
  g_autoptr (CmkSecret) data_key = cmk_secret_new (DATA_KEY_SIZE, error);
  if (data_key == NULL)
    return FALSE;

  g_autoptr (TPM2B_SENSITIVE_DATA) plain = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_Unseal (tpm->esys, object, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &plain));
  cmk_tpm_scrub (tpm);
  if (!cmk_tpm_session_ok (session, rc, place, "unseal a data key", error))
    return FALSE;
  if (plain->size != DATA_KEY_SIZE)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED, "a sealed data key has %u bytes instead of %d",
                   plain->size, DATA_KEY_SIZE);
      return FALSE;
    }
  memcpy (cmk_secret_data (data_key), plain->buffer, DATA_KEY_SIZE);
  *ret_data_key = g_steal_pointer (&data_key);
  return TRUE;
}

CmkSecret *
cmk_tpm_unseal (CmkTpmSession *session, GBytes *sealed, const char *cache_name, CmkTpmPlace place, GError **error)
{
  CmkSecret *data_key = NULL;
  return use_object (session, sealed, cache_name, place, unseal, &data_key, error) ? data_key : NULL;
}

void
cmk_tpm_keep_context (CmkTpmSession *session, GBytes *sealed, const char *cache_name)
{
  (void) use_object (session, sealed, cache_name, CMK_TPM_MORE, NULL, NULL, NULL);
}

typedef struct
{
  TPM2B_MAX_BUFFER *message;
  guint8 *ret_fingerprint;
} Fingerprint;

static gboolean
fingerprint (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data, GError **error)
{
  Fingerprint *job = data;
  CmkTpm *tpm = session->tpm;
  if (!cmk_tpm_session_prepare (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, error))
    return FALSE;
  cmk_tpm_auto_free TPM2B_DIGEST *digest = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_HMAC (tpm->esys, object, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, job->message,
                              TPM2_ALG_SHA256, &digest));
  cmk_tpm_scrub (tpm);
  if (!cmk_tpm_session_ok (session, rc, place, "take a fingerprint", error))
    return FALSE;
  if (digest->size != CMK_TPM_FINGERPRINT_SIZE)
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, "take a fingerprint", error);
  memcpy (job->ret_fingerprint, digest->buffer, CMK_TPM_FINGERPRINT_SIZE);
  return TRUE;
}

gboolean
cmk_tpm_fingerprint (CmkTpmSession *session, GBytes *fingerprint_key, const char *cache_name, const guint8 *data,
                     gsize size, CmkTpmPlace place, guint8 ret_fingerprint[CMK_TPM_FINGERPRINT_SIZE], GError **error)
{
  g_auto (TPM2B_MAX_BUFFER) message = { .size = (guint16) size };
  g_return_val_if_fail (size <= sizeof message.buffer, FALSE);
  memcpy (message.buffer, data, size);
  Fingerprint job = { .message = &message, .ret_fingerprint = ret_fingerprint };
  return use_object (session, fingerprint_key, cache_name, place, fingerprint, &job, error);
}
