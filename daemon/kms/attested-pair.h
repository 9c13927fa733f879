/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrapping pairs that the TPM makes, for a custodian who first wants to know that nobody can have a copy of the
 * private half: certified by the TPM, with a nonce of the custodian's, and used inside it only. What is stored of such
 * a pair is the TPM's object, as the envelope; there is no sealed data key, which is how an import set of this kind is
 * known. Worker thread. */
#pragma once

#include "crypto/private-key.h"
#include "kms/vault.h"
#include "kms/wrapping-pool.h"

/* What the custodian checks (docs/attestation.md). */
typedef struct
{
  GBytes *public_area;             /* TPMT_PUBLIC of the wrapping key */
  GBytes *creation_data;           /* TPMS_CREATION_DATA */
  GBytes *statement;               /* TPMS_ATTEST */
  GBytes *signature;               /* DER */
  GBytes *attestation_key;         /* DER SubjectPublicKeyInfo */
  GBytes *attestation_key_area;    /* TPMT_PUBLIC */
  GBytes *endorsement_certificate; /* DER; NULL: the TPM has none */
  GBytes *credential_secret;       /* what a credential held; NULL: none was sent */
} CmkAttestation;

void cmk_attestation_clear (CmkAttestation *attestation);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkAttestation, cmk_attestation_clear)

/* What the custodian asks. */
typedef struct
{
  GBytes *nonce;
  GBytes *credential; /* see cmk_tpm_activate_credential(); NULL: none */
} CmkAttestationRequest;

/* Before anything is made: CMK_ERROR_UNSUPPORTED_OPERATION if the TPM makes no pairs of @spec, saying why;
 * CMK_ERROR_INVALID_PARAMETER if the credential has not the form. */
gboolean cmk_attested_pair_check (CmkVault *vault, CmkWrappingKeySpec spec, const CmkAttestationRequest *request,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A fresh pair, certified for the nonce by the attestation key of the store, which is made with the first. May take
 * the TPM a minute. CMK_ERROR_INVALID_PARAMETER for a credential that does not open. */
CmkWrappingPair *cmk_attested_pair_make (CmkVault *vault, CmkWrappingKeySpec spec, const CmkAttestationRequest *request,
                                         CmkAttestation *ret_attestation, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_attested_pair_is (const CmkImportSetRecord *set);

/* The private half while an import uses it. */
typedef struct
{
  CmkPrivateKeyHolder holder;
  CmkVault *vault;
  CmkTpmSession *session;
  GBytes *object; /* the envelope of the import set, revealed */
} CmkAttestedHold;

void cmk_attested_hold_clear (CmkAttestedHold *hold);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkAttestedHold, cmk_attested_hold_clear)

/* The key of @hold, all of which is set but the holder; @hold must outlive it. */
CmkPrivateKey *cmk_attested_pair_open (CmkAttestedHold *hold, CmkWrappingKeySpec spec,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
