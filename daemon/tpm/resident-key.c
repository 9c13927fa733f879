/* SPDX-License-Identifier: Apache-2.0
 *
 * Resident keys that the TPM makes, and the private operations of RSA and EC. TPM2_Sign answers with a structure, which
 * a session cannot encrypt; a signature is no secret. */
#include "tpm/resident-key.h"

#include "base/error.h"
#include "tpm/resident-kind.h"
#include "tpm/wiped.h"

#include <string.h>

GBytes *
cmk_tpm_resident_generate (CmkTpmSession *session, CmkResidentKind kind, CmkTpmPlace place, GError **error)
{
  g_auto (TPM2B_SENSITIVE_CREATE) nothing = { 0 };
  TPM2B_PUBLIC template;
  cmk_tpm_resident_template (kind, &template);
  return cmk_tpm_object_create (session, &nothing, &template, place, "make a key", error);
}

/* --- the public half --------------------------------------------------------------------------------------------- */

void
cmk_resident_public_clear (CmkResidentPublic *public)
{
  g_clear_pointer (&public->modulus, g_bytes_unref);
  g_clear_pointer (&public->x, g_bytes_unref);
  g_clear_pointer (&public->y, g_bytes_unref);
}

/* @number with the leading zeros that a TPM may leave out. */
static gboolean
pad (const guint8 *number, gsize number_size, guint8 *ret_padded, gsize size)
{
  if (number_size > size)
    return FALSE;
  memset (ret_padded, 0, size - number_size);
  memcpy (ret_padded + size - number_size, number, number_size);
  return TRUE;
}

gboolean
cmk_tpm_split_ecdsa (const TPMT_SIGNATURE *signature, guint8 *ret_numbers, gsize size)
{
  const TPMS_SIGNATURE_ECC *ecdsa = &signature->signature.ecdsa;
  return signature->sigAlg == TPM2_ALG_ECDSA &&
         pad (ecdsa->signatureR.buffer, ecdsa->signatureR.size, ret_numbers, size) &&
         pad (ecdsa->signatureS.buffer, ecdsa->signatureS.size, ret_numbers + size, size);
}

static GBytes *
padded_bytes (const guint8 *number, gsize number_size, gsize size)
{
  guint8 padded[CMK_RESIDENT_MAX_RSA];
  return pad (number, number_size, padded, size) ? g_bytes_new (padded, size) : NULL;
}

gboolean
cmk_tpm_resident_public (GBytes *blob, CmkResidentPublic *ret_public, GError **error)
{
  TPM2B_PUBLIC public = { 0 };
  TPM2B_PRIVATE private = { 0 };
  g_auto (CmkResidentPublic) found = { 0 };
  if (!cmk_tpm_object_unmarshal (blob, &public, &private, error))
    return FALSE;

  const TPMU_PUBLIC_ID *unique = &public.publicArea.unique;
  gboolean is_ours = cmk_tpm_kind_of (&public, &found.kind);
  gsize size = cmk_tpm_kind_traits (found.kind)->size;
  if (is_ours && public.publicArea.type == TPM2_ALG_RSA)
    {
      guint32 exponent = public.publicArea.parameters.rsaDetail.exponent;
      found.exponent = exponent == 0 ? CMK_TPM_RSA_EXPONENT : exponent;
      found.modulus = padded_bytes (unique->rsa.buffer, unique->rsa.size, size);
    }
  else if (is_ours && public.publicArea.type == TPM2_ALG_ECC)
    {
      found.x = padded_bytes (unique->ecc.x.buffer, unique->ecc.x.size, size);
      found.y = padded_bytes (unique->ecc.y.buffer, unique->ecc.y.size, size);
    }
  if (found.modulus == NULL && (found.x == NULL || found.y == NULL))
    {
      g_set_error_literal (
          error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
          "a sealed object in the state is no RSA or EC key; restore the state directory from a backup");
      return FALSE;
    }
  *ret_public = found;
  found = (CmkResidentPublic) { 0 };
  return TRUE;
}

/* --- use --------------------------------------------------------------------------------------------------------- */

typedef struct
{
  const guint8 *input;
  gsize size;
  guint8 *ret_output;
} Job;

static gboolean
decrypt (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data, GError **error)
{
  const Job *job = data;
  CmkTpm *tpm = session->tpm;
  TPMT_RSA_DECRYPT raw = { .scheme = TPM2_ALG_NULL };
  TPM2B_DATA no_label = { 0 };
  g_auto (TPM2B_PUBLIC_KEY_RSA) input = { .size = (guint16) job->size };
  memcpy (input.buffer, job->input, job->size);

  g_autoptr (TPM2B_PUBLIC_KEY_RSA) output = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
                           Esys_RSA_Decrypt (tpm->esys, object, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &input,
                                             &raw, &no_label, &output));
  cmk_tpm_scrub (tpm);
  if (!cmk_tpm_session_ok (session, rc, place, "use an RSA key", error))
    return FALSE;
  if (!pad (output->buffer, output->size, job->ret_output, job->size))
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, "use an RSA key", error);
  return TRUE;
}

gboolean
cmk_tpm_resident_rsa (CmkTpmSession *session, GBytes *blob, const char *cache_name, const guint8 *input, gsize size,
                      CmkTpmPlace place, guint8 ret_output[CMK_RESIDENT_MAX_RSA], GError **error)
{
  g_return_val_if_fail (size <= CMK_RESIDENT_MAX_RSA, FALSE);
  Job job = { .input = input, .size = size, .ret_output = ret_output };
  return cmk_tpm_object_use (session, blob, cache_name, place, decrypt, &job, error);
}

static gboolean
sign (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data, GError **error)
{
  const Job *job = data;
  CmkTpm *tpm = session->tpm;
  TPMT_SIG_SCHEME scheme_of_key = { .scheme = TPM2_ALG_NULL };
  TPMT_TK_HASHCHECK no_ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
  TPM2B_DIGEST digest = { .size = (guint16) job->size };
  memcpy (digest.buffer, job->input, job->size);

  cmk_tpm_auto_free TPMT_SIGNATURE *signature = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT, place, rc,
                           Esys_Sign (tpm->esys, object, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                      &scheme_of_key, &no_ticket, &signature));
  if (!cmk_tpm_session_ok (session, rc, place, "use an EC key", error))
    return FALSE;
  if (!cmk_tpm_split_ecdsa (signature, job->ret_output, job->size))
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, "use an EC key", error);
  return TRUE;
}

/* The digest is as long as the order with both curves. */
gboolean
cmk_tpm_resident_ecdsa (CmkTpmSession *session, GBytes *blob, const char *cache_name, const guint8 *digest, gsize size,
                        CmkTpmPlace place, guint8 *ret_signature, GError **error)
{
  g_return_val_if_fail (size <= sizeof (TPMU_HA), FALSE);
  Job job = { .input = digest, .size = size, .ret_output = ret_signature };
  return cmk_tpm_object_use (session, blob, cache_name, place, sign, &job, error);
}
