/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of ProtectionLevel TPM: their material is inside the TPM, and what is stored is the TPM's object in place of the
 * envelope, without a sealed data key. Part of the vault. Worker thread only. */
#pragma once

#include "crypto/hmac-key.h"
#include "crypto/private-key.h"
#include "kms/vault.h"

/* Can a key of @spec be used inside the TPM that is here? Else CMK_ERROR_UNSUPPORTED_OPERATION saying why not. */
gboolean cmk_resident_check_spec (CmkVault *vault, CmkKeySpec spec, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The object for @material, which is as it is sealed for other keys. CMK_ERROR_UNSUPPORTED_OPERATION if the TPM does
 * not take this one. */
GBytes *cmk_resident_import (CmkVault *vault, CmkTpmSession *session, CmkKeySpec spec, const CmkSecret *material,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* DER SubjectPublicKeyInfo of the RSA or EC key in @object. */
GBytes *cmk_resident_public_der (GBytes *object, CmkKeySpec spec, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An object that the TPM makes, RSA in up to a minute. *ret_public_key is its DER; NULL of a symmetric key. */
GBytes *cmk_resident_generate (CmkVault *vault, CmkTpmSession *session, CmkKeySpec spec, GBytes **ret_public_key,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A key in use. The TPM is asked when what it gives out is used, in a session that begins then. */
typedef struct _CmkResident CmkResident;

/* The object in @record. */
CmkResident *cmk_resident_open (CmkVault *vault, const CmkKeyRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_resident_close (CmkResident *resident);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkResident, cmk_resident_close)

/* Both as long as @resident. */
CmkHmacKey cmk_resident_hmac_key (CmkResident *resident);
const CmkPrivateKeyHolder *cmk_resident_holder (CmkResident *resident);

/* Nothing of the key @id is cached any more. */
void cmk_resident_forget (CmkVault *vault, const CmkUuid *id);
