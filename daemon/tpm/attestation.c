/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/attestation.h"

#include "base/error.h"
#include "tpm/internal.h"
#include "tpm/resident-kind.h"
#include "tpm/wiped.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define ANY_TPM_NONCE 32

void
cmk_tpm_attestation_clear (CmkTpmAttestation *attestation)
{
  g_clear_pointer (&attestation->public_area, g_bytes_unref);
  g_clear_pointer (&attestation->creation_data, g_bytes_unref);
  g_clear_pointer (&attestation->attest, g_bytes_unref);
  g_clear_pointer (&attestation->attestation_key_area, g_bytes_unref);
}

GBytes *
cmk_tpm_attestation_key_create (CmkTpmSession *session, CmkTpmPlace place, GError **error)
{
  g_auto (TPM2B_SENSITIVE_CREATE) nothing = { 0 };
  TPM2B_PUBLIC template;
  cmk_tpm_resident_template (CMK_RESIDENT_EC_P256, &template);
  template.publicArea.objectAttributes |= TPMA_OBJECT_RESTRICTED;
  return cmk_tpm_object_create (session, &nothing, &template, place, "make the attestation key", error);
}

/* --- the TPM's own encoding --- */

static GBytes *
encode_public_area (const TPM2B_PUBLIC *public, GError **error)
{
  guint8 data[sizeof (TPMT_PUBLIC)];
  gsize size = 0;
  if (!cmk_tss_ok (Tss2_MU_TPMT_PUBLIC_Marshal (&public->publicArea, data, sizeof data, &size), "write down a key",
                   error))
    return NULL;
  return g_bytes_new (data, size);
}

static GBytes *
encode_creation_data (const TPM2B_CREATION_DATA *creation, GError **error)
{
  guint8 data[sizeof (TPMS_CREATION_DATA)];
  gsize size = 0;
  if (!cmk_tss_ok (Tss2_MU_TPMS_CREATION_DATA_Marshal (&creation->creationData, data, sizeof data, &size),
                   "write down how a key was made", error))
    return NULL;
  return g_bytes_new (data, size);
}

/* --- making and certifying --- */

/* What TPM2_Create says of the key that it made. */
typedef struct
{
  TPM2B_PRIVATE *private;
  TPM2B_PUBLIC *public;
  TPM2B_CREATION_DATA *creation_data;
  TPM2B_DIGEST *creation_hash;
  TPMT_TK_CREATION *ticket;
} Created;

static void
clear_created (Created *created)
{
  Esys_Free (created->private);
  Esys_Free (created->public);
  Esys_Free (created->creation_data);
  Esys_Free (created->creation_hash);
  Esys_Free (created->ticket);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Created, clear_created)

static TPM2B_DATA
nonce_data (GBytes *nonce)
{
  TPM2B_DATA data = { .size = (guint16) g_bytes_get_size (nonce) };
  memcpy (data.buffer, g_bytes_get_data (nonce, NULL), data.size);
  return data;
}

static gboolean
refuse_nonce (TSS2_RC rc, GError **error)
{
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
               "Nonce: this TPM does not take one of this length; use 32 bytes (TPM code 0x%x)", rc);
  return FALSE;
}

static gboolean
create (CmkTpmSession *session, CmkResidentKind kind, GBytes *nonce, Created *created, GError **error)
{
  CmkTpm *tpm = session->tpm;
  const TPM2B_DATA outside_info = nonce_data (nonce);
  const TPML_PCR_SELECTION no_pcrs = { 0 };
  g_auto (TPM2B_SENSITIVE_CREATE) nothing = { 0 };
  TPM2B_PUBLIC template;
  cmk_tpm_resident_template (kind, &template);
  if (!cmk_tpm_session_need_root (session, error))
    return FALSE;

  TSS2_RC rc;
  CMK_TPM_ROOT_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, CMK_TPM_MORE, rc,
                        Esys_Create (tpm->esys, session->root.tr, ESYS_TR_PASSWORD, session->session.tr, ESYS_TR_NONE,
                                     &nothing, &template, &outside_info, &no_pcrs, &created->private, &created->public,
                                     &created->creation_data, &created->creation_hash, &created->ticket));
  gboolean ok = cmk_tpm_session_ok (session, rc, CMK_TPM_MORE, "make a wrapping key", error);
  if (ok || cmk_tss_base (rc) != TPM2_RC_SIZE || outside_info.size <= ANY_TPM_NONCE)
    return ok;
  g_clear_error (error);
  return refuse_nonce (rc, error);
}

typedef struct
{
  GBytes *nonce;
  const Created *created;
  GBytes *key; /* blob of what was created */
  ESYS_TR attestation_key;
  CmkTpmAttestation *attestation;
} Certification;

static gboolean
certify (CmkTpmSession *session, ESYS_TR key, CmkTpmPlace place, gpointer data, GError **error)
{
  const Certification *job = data;
  CmkTpm *tpm = session->tpm;
  const char *what = "certify a wrapping key";
  const TPM2B_DATA nonce = nonce_data (job->nonce);
  const TPMT_SIG_SCHEME scheme_of_key = { .scheme = TPM2_ALG_NULL };
  cmk_tpm_auto_free TPM2B_ATTEST *attest = NULL;
  cmk_tpm_auto_free TPMT_SIGNATURE *signature = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
                           Esys_CertifyCreation (tpm->esys, job->attestation_key, key, session->session.tr,
                                                 ESYS_TR_NONE, ESYS_TR_NONE, &nonce, job->created->creation_hash,
                                                 &scheme_of_key, job->created->ticket, &attest, &signature));
  if ((rc & ~(TSS2_RC) TSS2_RC_LAYER_MASK) == TPM2_RC_COMMAND_CODE)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                   "Attest: this TPM lacks the TPM2_CertifyCreation command (TPM code 0x%x)", rc);
      return FALSE;
    }
  if (!cmk_tpm_session_ok (session, rc, place, what, error))
    return FALSE;
  guint8 *numbers = job->attestation->signature;
  if (!cmk_tpm_split_ecdsa (signature, numbers, CMK_TPM_ATTESTATION_SIGNATURE_SIZE / 2))
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, what, error);
  g_clear_pointer (&job->attestation->attest, g_bytes_unref);
  job->attestation->attest = g_bytes_new (attest->attestationData, attest->size);
  return TRUE;
}

/* With the attestation key loaded: load what it is to vouch for. */
static gboolean
load_and_certify (CmkTpmSession *session, ESYS_TR attestation_key, CmkTpmPlace place, gpointer data, GError **error)
{
  Certification *job = data;
  job->attestation_key = attestation_key;
  return cmk_tpm_object_use (session, job->key, NULL, place, certify, job, error);
}

static gboolean
describe (const Created *created, GBytes *attestation_key, CmkTpmAttestation *attestation, GError **error)
{
  TPM2B_PUBLIC public = { 0 };
  TPM2B_PRIVATE private = { 0 };
  return cmk_tpm_object_unmarshal (attestation_key, &public, &private, error) &&
         (attestation->attestation_key_area = encode_public_area (&public, error)) != NULL &&
         (attestation->public_area = encode_public_area (created->public, error)) != NULL &&
         (attestation->creation_data = encode_creation_data (created->creation_data, error)) != NULL;
}

GBytes *
cmk_tpm_create_attested (CmkTpmSession *session, CmkResidentKind kind, GBytes *nonce, GBytes *attestation_key,
                         const char *cache_name, CmkTpmPlace place, CmkTpmAttestation *ret_attestation, GError **error)
{
  g_return_val_if_fail (kind == CMK_RESIDENT_RSA_2048 || kind == CMK_RESIDENT_RSA_3072, NULL);
  g_return_val_if_fail (g_bytes_get_size (nonce) <= CMK_TPM_MAX_NONCE, NULL);
  g_auto (Created) created = { 0 };
  g_auto (CmkTpmAttestation) attestation = { 0 };
  if (!create (session, kind, nonce, &created, error))
    return NULL;
  g_autoptr (GBytes) key = cmk_tpm_object_marshal (created.public, created.private, error);
  Certification job = { .nonce = nonce, .created = &created, .key = key, .attestation = &attestation };
  if (key == NULL || !describe (&created, attestation_key, &attestation, error) ||
      !cmk_tpm_object_use (session, attestation_key, cache_name, place, load_and_certify, &job, error))
    return NULL;
  *ret_attestation = attestation;
  attestation = (CmkTpmAttestation) { 0 };
  return g_steal_pointer (&key);
}
