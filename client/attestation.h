/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking that a wrapping key was made inside a TPM and cannot leave it: what the module cmkctl-attestation.so does,
 * which loads libcrypto. The input comes from the machine that is to be trusted only after this. docs/attestation.md
 * has formats and checks; scripts/verify-attestation does the same with openssl. */
#pragma once

#include "buffer.h"

/* What of an answer of GetParametersForImport is checked. */
typedef enum
{
  CMK_ATTESTED_PUBLIC_KEY,    /* DER SubjectPublicKeyInfo, what material is wrapped under */
  CMK_ATTESTED_PUBLIC_AREA,   /* TPMT_PUBLIC of it */
  CMK_ATTESTED_CREATION_DATA, /* TPMS_CREATION_DATA of it */
  CMK_ATTESTED_STATEMENT,     /* TPMS_ATTEST: that the TPM made it */
  CMK_ATTESTED_SIGNATURE,     /* of the statement, DER */
  CMK_ATTESTED_SIGNER,        /* DER SubjectPublicKeyInfo of the attestation key */
  CMK_ATTESTED_SIGNER_AREA,   /* TPMT_PUBLIC of that */
  CMK_ATTESTED_ENDORSEMENT,   /* DER certificate of the TPM; empty: none */
  CMK_ATTESTED_SECRET,        /* what the credential held that was sent; empty: none was */
  CMK_ATTESTED_PARTS
} CmkAttestedPart;

typedef struct
{
  CmkBuffer parts[CMK_ATTESTED_PARTS];
  CmkBuffer nonce;
  CmkBuffer known_signer; /* TPMT_PUBLIC of an attestation key that is known already; empty: none is */
  CmkBuffer secret;       /* what the credential held when it was made; empty: not to be checked */
  const char *trust;      /* file of certificates to trust, PEM; NULL: no certificate is checked */
} CmkAttestation;

/* What follows from an attestation in which nothing is wrong, beyond that its signer says what it should. */
typedef struct
{
  unsigned modulus_bits;
  bool is_known_signer;  /* it is known_signer */
  bool is_genuine_maker; /* the certificate is one of a TPM, by who is trusted; not: of the TPM that answered */
  bool is_credential_opened;
} CmkFindings;

typedef struct
{
  /* NULL, or what is wrong. */
  const char *(*verify) (const CmkAttestation *attestation, CmkFindings *ret_findings);
} CmkAttestationModule;

#define CMK_ATTESTATION_MODULE_SYMBOL "cmk_attestation_module"

extern const CmkAttestationModule cmk_attestation_module;
