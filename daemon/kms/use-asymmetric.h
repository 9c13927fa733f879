/* SPDX-License-Identifier: Apache-2.0
 *
 * Use of RSA, EC and SM2 keys: the asymmetric part of the Crypto interface. What needs the public half only asks
 * neither the TPM nor the caches of secrets. With CMK_EFFORT_CACHED on the calculator, with CMK_EFFORT_FULL on the
 * worker. */
#pragma once

#include "base/algorithm.h"
#include "kms/kms.h"

typedef struct
{
  CmkKeyReference key;
  CmkSigningAlgorithm algorithm;
  CmkMessageType type;
  GBytes *message; /* of CMK_MESSAGE_DIGEST as long as the digest of the algorithm */
} CmkSigningRequest;

GBytes *cmk_use_sign (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkSigningRequest *request,
                      CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* *ret_valid: anything that is no signature of the message by the key is not. */
gboolean cmk_use_verify (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkSigningRequest *request,
                         GBytes *signature, gboolean *ret_valid, CmkUuid *ret_key_id,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_INVALID_PARAMETER if @plaintext is longer than key and algorithm allow. */
GBytes *cmk_use_asymmetric_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                                    CmkEncryptionAlgorithm algorithm, const CmkSecret *plaintext, CmkUuid *ret_key_id,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_INVALID_CIPHERTEXT, one text, whatever is wrong; CMK_ERROR_THROTTLED after too many of them. */
CmkSecret *cmk_use_asymmetric_decrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort,
                                       const CmkKeyReference *key, CmkEncryptionAlgorithm algorithm, GBytes *ciphertext,
                                       CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Of a key with any usage, enabled or not, for as long as there is material. */
GBytes *cmk_use_public_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, CmkUuid *ret_key_id,
                            CmkKeySpec *ret_spec, GError **error) G_GNUC_WARN_UNUSED_RESULT;
