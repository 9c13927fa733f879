/* SPDX-License-Identifier: Apache-2.0
 *
 * The Import interface: the bring-your-own-key flow of seeds 000 to 004. Worker thread. */
#pragma once

#include "kms/attested-pair.h"
#include "kms/kms.h"

typedef struct
{
  CmkUuid key_id;
  CmkWrappingAlgorithm algorithm;
  CmkWrappingKeySpec wrapping_spec; /* fits the algorithm */
  CmkAttestationRequest attest;     /* nonce NULL: any pair will do */
} CmkImportParametersRequest;

typedef struct
{
  GBytes *token;
  GBytes *public_key; /* DER SubjectPublicKeyInfo */
  gint64 expires_at;
  CmkAttestation attestation; /* if it was asked for */
} CmkImportParameters;

void cmk_import_parameters_clear (CmkImportParameters *parameters);

/* A fresh wrapping pair for the key. One with a nonce is made now, by the TPM, which may take a minute. Else @pair, if
 * not NULL, is one that the caller waited for and is consumed in any case (back to the pool if the call is refused);
 * without it one is taken from the pool, and CMK_CACHE_MISS says that none is ready: wait with cmk_wrapping_pool_wait()
 * and call again with it. */
gboolean cmk_import_get_parameters (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request,
                                    CmkWrappingPair *pair, CmkImportParameters *ret_parameters,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct
{
  CmkUuid key_id;
  GBytes *encrypted_key_material;
  GBytes *import_token;
  GBytes *encrypted_private_key; /* EncryptedPrivateKey; NULL: none was sent */
  gint64 expires_at;             /* 0 = never; else later than now and not after the year 9999 */
} CmkImportRequest;

CmkKeyRecord *cmk_import_key_material (CmkKms *kms, const CmkCaller *caller, const CmkImportRequest *request,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

CmkKeyRecord *cmk_import_delete_key_material (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id,
                                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
