/* SPDX-License-Identifier: Apache-2.0
 *
 * The two kinds of objects that cmkd keeps under the root key: sealed data keys and the fingerprint key. noDA and an
 * empty authorisation value on both: they are protected by the hierarchy and the session, and no failure of ours may
 * count towards the TPM's lockout. */
#include "tpm/internal.h"

#include "base/error.h"
#include "tpm/wiped.h"

#include <string.h>

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

GBytes *
cmk_tpm_seal (CmkTpmSession *session, const CmkSecret *data_key, CmkTpmPlace place, GError **error)
{
  g_return_val_if_fail (cmk_secret_length (data_key) == DATA_KEY_SIZE, NULL);
  g_auto (TPM2B_SENSITIVE_CREATE) sensitive = { .sensitive.data.size = DATA_KEY_SIZE };
  memcpy (sensitive.sensitive.data.buffer, cmk_secret_peek (data_key), DATA_KEY_SIZE);
  return cmk_tpm_object_create (session, &sensitive, &data_key_template, place, "seal a data key", error);
}

GBytes *
cmk_tpm_create_fingerprint_key (CmkTpmSession *session, CmkTpmPlace place, GError **error)
{
  g_auto (TPM2B_SENSITIVE_CREATE) sensitive = { 0 };
  return cmk_tpm_object_create (session, &sensitive, &fingerprint_key_template, place, "make the fingerprint key",
                                error);
}

static gboolean
unseal (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data, GError **error)
{
  CmkSecret **ret_data_key = data;
  CmkTpm *tpm = session->tpm;
  g_autoptr (CmkSecret) data_key = cmk_secret_new (DATA_KEY_SIZE, error);
  if (data_key == NULL)
    return FALSE;

  g_autoptr (TPM2B_SENSITIVE_DATA) plain = NULL;
  TSS2_RC rc;
  /* Unseal has no parameter to encrypt, only its answer. */
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_ENCRYPT, place, rc,
                           Esys_Unseal (tpm->esys, object, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &plain));
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
  return cmk_tpm_object_use (session, sealed, cache_name, place, unseal, &data_key, error) ? data_key : NULL;
}

void
cmk_tpm_keep_context (CmkTpmSession *session, GBytes *sealed, const char *cache_name)
{
  (void) cmk_tpm_object_use (session, sealed, cache_name, CMK_TPM_MORE, NULL, NULL, NULL);
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
  cmk_tpm_auto_free TPM2B_DIGEST *digest = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
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
  return cmk_tpm_object_use (session, fingerprint_key, cache_name, place, fingerprint, &job, error);
}
