/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/credential.h"

#include "base/error.h"
#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

/* PolicySecret (TPM_RH_ENDORSEMENT): "PolicyA" of the profile. */
/* clang-format off */
#define ENDORSEMENT_POLICY { .size = 32, .buffer = { \
  0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, \
  0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa } }
/* clang-format on */

#define ENDORSEMENT_ATTRIBUTES                                                                                         \
  (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |    \
   TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

#define SYMMETRIC                                                                                                      \
  {                                                                                                                    \
    .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB                                            \
  }

#define MODULUS_SIZE 256
#define POINT_SIZE   68 /* TPMS_ECC_POINT of P-256 */

/* TCG EK Credential Profile, B.3.3 (L-1) and B.3.4 (L-2); the unique fields are zeros, as many as the key will have. */
static const TPM2B_PUBLIC rsa_template = {
  .publicArea = {
    .type = TPM2_ALG_RSA,
    .nameAlg = TPM2_ALG_SHA256,
    .objectAttributes = ENDORSEMENT_ATTRIBUTES,
    .authPolicy = ENDORSEMENT_POLICY,
    .parameters.rsaDetail = { .symmetric = SYMMETRIC, .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048 },
    .unique.rsa.size = MODULUS_SIZE,
  },
};

static const TPM2B_PUBLIC ecc_template = {
  .publicArea = {
    .type = TPM2_ALG_ECC,
    .nameAlg = TPM2_ALG_SHA256,
    .objectAttributes = ENDORSEMENT_ATTRIBUTES,
    .authPolicy = ENDORSEMENT_POLICY,
    .parameters.eccDetail = { .symmetric = SYMMETRIC,
                              .scheme.scheme = TPM2_ALG_NULL,
                              .curveID = TPM2_ECC_NIST_P256,
                              .kdf.scheme = TPM2_ALG_NULL },
    .unique.ecc = { .x.size = 32, .y.size = 32 },
  },
};

static gboolean
refuse (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                       "Credential: must be TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, made for the name of this "
                       "AttestationKeyPublicArea and for the endorsement key of this TPM (RSA 2048 or ECC P-256 by the "
                       "TCG's default template)");
  return FALSE;
}

typedef struct
{
  TPM2B_ID_OBJECT object;
  TPM2B_ENCRYPTED_SECRET seed;
  ESYS_TR endorsement_key;
  ESYS_TR policy;
  GBytes *secret;
} Activation;

static const TPM2B_PUBLIC *
choose_template (const Activation *job)
{
  if (job->seed.size == MODULUS_SIZE)
    return &rsa_template;
  return job->seed.size == POINT_SIZE ? &ecc_template : NULL;
}

static gboolean
parse (GBytes *credential, Activation *job, GError **error)
{
  gsize size, offset = 0;
  const guint8 *data = g_bytes_get_data (credential, &size);
  return (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal (data, size, &offset, &job->object) == TSS2_RC_SUCCESS &&
          Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal (data, size, &offset, &job->seed) == TSS2_RC_SUCCESS &&
          offset == size && choose_template (job) != NULL) ||
         refuse (error);
}

/* What the owner has made of the endorsement hierarchy is no trouble of the TPM's: all else goes on. NULL: something
 * else is the matter. */
static const char *
explain (TSS2_RC rc)
{
  switch (cmk_tss_base (rc))
    {
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_AUTH_FAIL:
      return "the endorsement hierarchy of this TPM has a password";
    case TPM2_RC_HIERARCHY:
      return "the endorsement hierarchy of this TPM is switched off, in the firmware or by tpm2_hierarchycontrol";
    case TPM2_RC_LOCKOUT:
      return "the TPM takes no authorisations for now, after some that failed";
    default:
      return NULL;
    }
}

static gboolean
hierarchy_ok (CmkTpm *tpm, TSS2_RC rc, const char *what, GError **error)
{
  const char *why = explain (rc);
  if (why == NULL)
    return cmk_tpm_ok (tpm, rc, what, error);
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
               "Credential: cannot %s: %s; leave Credential out (TPM code 0x%x)", what, why, rc);
  return FALSE;
}

static gboolean
make_endorsement_key (CmkTpm *tpm, const TPM2B_PUBLIC *template, CmkTpmHandle *key, GError **error)
{
  const TPM2B_SENSITIVE_CREATE nothing = { 0 };
  const TPM2B_DATA no_info = { 0 };
  const TPML_PCR_SELECTION no_pcrs = { 0 };
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_CreatePrimary (tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &nothing, template, &no_info, &no_pcrs, &tr, NULL, NULL, NULL, NULL));
  if (!hierarchy_ok (tpm, rc, "make the endorsement key", error))
    return FALSE;
  cmk_tpm_hold (tpm, tr, key);
  return TRUE;
}

/* A session that may use an endorsement key. No secret goes through it. */
static gboolean
start_policy (CmkTpm *tpm, CmkTpmHandle *policy, GError **error)
{
  const TPMT_SYM_DEF no_symmetric = { .algorithm = TPM2_ALG_NULL };
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_StartAuthSession (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                          ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &no_symmetric, TPM2_ALG_SHA256, &tr));
  if (!cmk_tpm_ok (tpm, rc, "begin to use the endorsement key", error))
    return FALSE;
  cmk_tpm_hold (tpm, tr, policy);
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_PolicySecret (tpm->esys, ESYS_TR_RH_ENDORSEMENT, tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                      ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL));
  return hierarchy_ok (tpm, rc, "use the endorsement key", error);
}

/* Whatever the TPM finds wrong with the two parameters. Some say FAILURE to a seed that does not decrypt (libtpms
 * before 0.10). */
static gboolean
is_callers_fault (TSS2_RC rc)
{
  return rc == TPM2_RC_FAILURE || (cmk_tss_is_answer (rc) && (rc & TPM2_RC_FMT1) != 0 && (rc & TPM2_RC_P) != 0);
}

static gboolean
activate (CmkTpmSession *session, ESYS_TR attestation_key, CmkTpmPlace place, gpointer data, GError **error)
{
  Activation *job = data;
  CmkTpm *tpm = session->tpm;
  cmk_tpm_auto_free TPM2B_DIGEST *secret = NULL;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
                           Esys_ActivateCredential (tpm->esys, attestation_key, job->endorsement_key,
                                                    session->session.tr, job->policy, ESYS_TR_NONE, &job->object,
                                                    &job->seed, &secret));
  if (is_callers_fault (rc))
    return refuse (error);
  if (!cmk_tpm_session_ok (session, rc, place, "open a credential", error))
    return FALSE;
  job->secret = g_bytes_new (secret->buffer, secret->size);
  return TRUE;
}

gboolean
cmk_tpm_check_credential (GBytes *credential, GError **error)
{
  Activation job;
  return parse (credential, &job, error);
}

GBytes *
cmk_tpm_activate_credential (CmkTpmSession *session, GBytes *attestation_key, GBytes *credential, GError **error)
{
  CmkTpm *tpm = session->tpm;
  CmkTpmHandle key = CMK_TPM_HANDLE_NONE, policy = CMK_TPM_HANDLE_NONE;
  Activation job = { .secret = NULL };
  if (!parse (credential, &job, error))
    return NULL;
  if (make_endorsement_key (tpm, choose_template (&job), &key, error) && start_policy (tpm, &policy, error))
    {
      job.endorsement_key = key.tr;
      job.policy = policy.tr;
      /* From its blob: a second try, over another connection, would not have the other two. */
      (void) cmk_tpm_object_use (session, attestation_key, NULL, CMK_TPM_MORE, activate, &job, error);
    }
  cmk_tpm_flush (tpm, &policy);
  cmk_tpm_flush (tpm, &key);
  return job.secret;
}
