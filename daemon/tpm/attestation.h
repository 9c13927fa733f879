/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that the TPM vouches for: made inside it for a caller's nonce, and certified as such (TPM2_CertifyCreation) by
 * an attestation key. That is restricted: the TPM signs by it only what it has made itself, so that nobody who may use
 * it can have it sign a statement of their own. Worker thread only. */
#pragma once

#include "tpm/resident-key.h"
#include "tpm/session.h"

/* The longest nonce that every TPM takes is 32 bytes: it is limited by the largest digest that the TPM knows. */
#define CMK_TPM_MAX_NONCE 64

/* r || s of ECDSA with P-256. */
#define CMK_TPM_ATTESTATION_SIGNATURE_SIZE 64

/* A new attestation key: ECDSA with P-256 and SHA-256, under the root key, and usable there only. Blob as of
 * cmk_tpm_seal(). Its name is what others know it by: keep the blob. */
GBytes *cmk_tpm_attestation_key_create (CmkTpmSession *session, CmkTpmPlace place,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* All in the TPM's own encoding (TPM 2.0 part 2), without the sizes before it. */
typedef struct
{
  GBytes *public_area;          /* TPMT_PUBLIC of the key */
  GBytes *creation_data;        /* TPMS_CREATION_DATA: its outsideInfo is the nonce */
  GBytes *attest;               /* TPMS_ATTEST, of type TPM_ST_ATTEST_CREATION: its extraData is the nonce */
  GBytes *attestation_key_area; /* TPMT_PUBLIC of the attestation key */
  guint8 signature[CMK_TPM_ATTESTATION_SIGNATURE_SIZE]; /* of @attest */
} CmkTpmAttestation;

void cmk_tpm_attestation_clear (CmkTpmAttestation *attestation);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkTpmAttestation, cmk_tpm_attestation_clear)

/* As cmk_tpm_resident_generate(), of an RSA @kind, for @nonce; and have it certified by @attestation_key, whose
 * context is kept under @cache_name. May take it a minute. Blob as of cmk_tpm_seal(), for cmk_tpm_resident_rsa().
 * CMK_ERROR_UNSUPPORTED_OPERATION if the nonce is too long for the TPM. */
GBytes *cmk_tpm_create_attested (CmkTpmSession *session, CmkResidentKind kind, GBytes *nonce, GBytes *attestation_key,
                                 const char *cache_name, CmkTpmPlace place, CmkTpmAttestation *ret_attestation,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
