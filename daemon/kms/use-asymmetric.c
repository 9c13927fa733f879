/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/use-asymmetric.h"

#include "base/error.h"
#include "crypto/asymmetric-cipher.h"
#include "crypto/signature.h"
#include "kms/recovery.h"
#include "kms/usable.h"

static CmkPurpose
signing_purpose (CmkSigningAlgorithm algorithm, gboolean needs_public_only)
{
  return (CmkPurpose) {
    .usage = CMK_KEY_USAGE_SIGN_VERIFY,
    .specs = cmk_signing_algorithm_specs (algorithm),
    .name = cmk_spec_name (cmk_signing_algorithms, (int) algorithm),
    .needs_public_only = needs_public_only,
  };
}

static CmkPurpose
encryption_purpose (CmkEncryptionAlgorithm algorithm, gboolean needs_public_only)
{
  return (CmkPurpose) {
    .usage = CMK_KEY_USAGE_ENCRYPT_DECRYPT,
    .specs = cmk_encryption_algorithm_specs (algorithm),
    .name = cmk_spec_name (cmk_encryption_algorithms, (int) algorithm),
    .needs_public_only = needs_public_only,
  };
}

GBytes *
cmk_use_sign (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkSigningRequest *request,
              CmkUuid *ret_key_id, GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  const CmkPurpose purpose = signing_purpose (request->algorithm, FALSE);
  if (!cmk_usable_get (kms, caller, effort, &request->key, &purpose, &usable, error))
    return NULL;
  *ret_key_id = usable.id;
  g_autoptr (CmkPrivateKey) key = cmk_usable_private_key (&usable, error);
  return key != NULL ? cmk_signature_make (key, request->algorithm, request->type, request->message, error) : NULL;
}

gboolean
cmk_use_verify (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkSigningRequest *request,
                GBytes *signature, gboolean *ret_valid, CmkUuid *ret_key_id, GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  const CmkPurpose purpose = signing_purpose (request->algorithm, TRUE);
  if (!cmk_usable_get (kms, caller, effort, &request->key, &purpose, &usable, error))
    return FALSE;
  *ret_key_id = usable.id;
  return cmk_signature_check (usable.public_key, request->algorithm, request->type, request->message, signature,
                              ret_valid, error);
}

GBytes *
cmk_use_asymmetric_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                            CmkEncryptionAlgorithm algorithm, const CmkSecret *plaintext, CmkUuid *ret_key_id,
                            GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  const CmkPurpose purpose = encryption_purpose (algorithm, TRUE);
  if (!cmk_usable_get (kms, caller, effort, key, &purpose, &usable, error))
    return NULL;
  gsize limit = cmk_encryption_algorithm_max_plaintext (algorithm, usable.spec);
  if (cmk_secret_length (plaintext) > limit)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                   "plaintext: %s takes 1 to %" G_GSIZE_FORMAT
                   " bytes with a key of spec %s; encrypt more with a symmetric key, and that key with this one",
                   purpose.name, limit, cmk_spec_name (cmk_key_specs, (int) usable.spec));
      return NULL;
    }
  *ret_key_id = usable.id;
  return cmk_asymmetric_encrypt (usable.public_key, algorithm, plaintext, error);
}

CmkSecret *
cmk_use_asymmetric_decrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *reference,
                            CmkEncryptionAlgorithm algorithm, GBytes *ciphertext, CmkUuid *ret_key_id, GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  const CmkPurpose purpose = encryption_purpose (algorithm, FALSE);
  CmkBudgets *failures = cmk_kms_decrypt_failures (kms);
  if (!cmk_usable_get (kms, caller, effort, reference, &purpose, &usable, error) ||
      !cmk_budgets_charge (failures, &usable.id, caller->uid, g_get_monotonic_time (), error))
    return NULL;
  *ret_key_id = usable.id;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkPrivateKey) key = cmk_usable_private_key (&usable, &local_error);
  g_autoptr (CmkSecret) plaintext =
      key != NULL ? cmk_asymmetric_decrypt (key, algorithm, ciphertext, &local_error) : NULL;
  if (!g_error_matches (local_error, CMK_ERROR, CMK_ERROR_INVALID_CIPHERTEXT))
    cmk_budgets_refund (failures, &usable.id, caller->uid);
  if (plaintext == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return g_steal_pointer (&plaintext);
}

GBytes *
cmk_use_public_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, CmkUuid *ret_key_id,
                    CmkKeySpec *ret_spec, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, key, now, error);
  if (record == NULL)
    return NULL;
  if (!cmk_key_spec_is_asymmetric (record->spec))
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "a key of spec %s has no public key",
                   cmk_spec_name (cmk_key_specs, (int) record->spec));
      return NULL;
    }
  if (!cmk_recovery_require_not_lost (record, error) ||
      (record->envelope == NULL && !cmk_kms_require_enabled (record->state, error)))
    return NULL;
  *ret_key_id = record->id;
  *ret_spec = record->spec;
  return cmk_store_get_public_key (cmk_kms_store (kms), &record->id, error);
}
