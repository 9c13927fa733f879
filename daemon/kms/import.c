/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/import.h"

#include "base/error.h"
#include "cmkd.h"
#include "crypto/unwrap.h"
#include "kms/due.h"
#include "kms/import-token.h"

void
cmk_import_parameters_clear (CmkImportParameters *parameters)
{
  g_clear_pointer (&parameters->token, g_bytes_unref);
  g_clear_pointer (&parameters->public_key, g_bytes_unref);
  cmk_attestation_clear (&parameters->attestation);
}

static CmkKeyRecord *
load_external_key (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id, gint64 now, GError **error)
{
  CmkKeyReference reference = { .id = *key_id };
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, &reference, now, error);
  if (record == NULL)
    return NULL;
  if (record->origin != CMK_ORIGIN_EXTERNAL)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_NOT_EXTERNAL_KEY,
                           "key material can be imported into, and deleted from, keys with Origin EXTERNAL only: "
                           "create one with CreateKey");
      return NULL;
    }
  return g_steal_pointer (&record);
}

/* --- GetParametersForImport --- */

static gboolean
check_carries (CmkWrappingAlgorithm algorithm, CmkKeySpec spec, GError **error)
{
  if (cmk_wrapping_algorithm_carries (algorithm, spec))
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
               "wrapping_algorithm %s cannot carry the material of a key of spec %s: use %s",
               cmk_spec_name (cmk_wrapping_algorithms, (int) algorithm), cmk_spec_name (cmk_key_specs, (int) spec),
               cmk_key_spec_is_asymmetric (spec) ? "RSA_AES_KEY_WRAP_SHA_256" : "RSAES_OAEP_SHA_256");
  return FALSE;
}

/* @n_waiting_*: calls that wait for a pair will each have a set. */
static gboolean
check_set_limits (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id, gint64 now, guint n_waiting_for_key,
                  guint n_waiting_of_uid, GError **error)
{
  const CmkConfig *config = cmk_kms_config (kms);
  guint of_key, of_uid;
  if (!cmk_store_count_import_sets (cmk_kms_store (kms), key_id, cmk_kms_owner (kms, caller), now,
                                    cmk_import_latest_expiry (now), &of_key, &of_uid, error))
    return FALSE;
  of_key += n_waiting_for_key;
  of_uid += n_waiting_of_uid;
  if (of_key < config->import_sets_per_key && of_uid < config->import_sets_per_user)
    return TRUE;
  gboolean key_is_full = of_key >= config->import_sets_per_key;
  g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
               "%u import tokens are outstanding for %s: use one of them, or wait until they expire (24 hours); an "
               "administrator can raise %s= in cmkd.conf",
               key_is_full ? of_key : of_uid, key_is_full ? "this key" : "you",
               key_is_full ? "ImportSetsPerKey" : "ImportSetsPerUser");
  return FALSE;
}

static gboolean
store_set (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request, const CmkWrappingPair *pair,
           gint64 expires_at, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (CmkImportSetRecord) set = cmk_import_set_record_new ();
  set->id = pair->id;
  set->key_id = request->key_id;
  set->owner = cmk_kms_assign_owner (kms, caller);
  set->algorithm = request->algorithm;
  set->wrapping_spec = request->wrapping_spec;
  set->expires_at = expires_at;
  set->sealed_key = g_bytes_ref (pair->sealed_key);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL)
    return FALSE;
  set->envelope = cmk_erasure_protect (cmk_vault_erasure (cmk_kms_vault (kms)), pair->envelope, error);
  return set->envelope != NULL && cmk_kms_write_owner (kms, set->owner, error) &&
         cmk_store_insert_import_set (store, set, error) && cmk_store_commit (transaction, error);
}

static GBytes *
make_token (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request,
            const CmkWrappingPair *pair, gint64 now, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkImportToken token = {
    .store_id = *cmk_vault_store_id (vault),
    .set_id = pair->id,
    .key_id = request->key_id,
    .algorithm = request->algorithm,
    .wrapping_spec = request->wrapping_spec,
    .uid = caller->uid,
    .issued_at = now,
    .expires_at = now + CMKD_TOKEN_LIFETIME_SECONDS,
  };
  if (!cmk_sha256 (g_bytes_get_data (pair->public_key, NULL), g_bytes_get_size (pair->public_key),
                   token.public_key_digest, error))
    return NULL;
  return cmk_import_token_encode (&token, cmk_vault_token_key (vault), error);
}

static gboolean
check_parameters_request (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request, gint64 now,
                          gboolean has_waited, GError **error)
{
  g_autoptr (CmkKeyRecord) record = load_external_key (kms, caller, &request->key_id, now, error);
  if (record == NULL || !check_carries (request->algorithm, record->spec, error) ||
      (request->attest.nonce != NULL &&
       !cmk_attested_pair_check (cmk_kms_vault (kms), request->wrapping_spec, &request->attest, error)) ||
      !cmk_kms_require_no_deletion (record->state, error))
    return FALSE;
  guint n_waiting_for_key = 0, n_waiting_of_uid = 0;
  if (!has_waited)
    cmk_wrapping_pool_count_waiting (cmk_kms_pool (kms), &request->key_id, caller->uid, &n_waiting_for_key,
                                     &n_waiting_of_uid);
  return check_set_limits (kms, caller, &request->key_id, now, n_waiting_for_key, n_waiting_of_uid, error);
}

static gboolean
issue_parameters (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request,
                  const CmkWrappingPair *pair, gint64 now, CmkImportParameters *ret_parameters, GError **error)
{
  g_autoptr (GBytes) token = make_token (kms, caller, request, pair, now, error);
  gint64 expires_at = now + CMKD_TOKEN_LIFETIME_SECONDS;
  if (token == NULL || !store_set (kms, caller, request, pair, expires_at, error))
    return FALSE;
  cmk_due_note_set_expiry (cmk_kms_due (kms), expires_at);
  cmk_import_windows_open (cmk_kms_import_windows (kms), &pair->id);
  ret_parameters->token = g_steal_pointer (&token);
  ret_parameters->public_key = g_bytes_ref (pair->public_key);
  ret_parameters->expires_at = expires_at;
  return TRUE;
}

static gboolean
issue_attested (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request, gint64 now,
                CmkImportParameters *ret_parameters, GError **error)
{
  g_auto (CmkAttestation) attestation = { 0 };
  if (!cmk_kms_charge_tpm_key (kms, caller->uid, error) ||
      (request->attest.credential != NULL && !cmk_kms_charge_tpm_key (kms, caller->uid, error)))
    return FALSE;
  g_autoptr (CmkWrappingPair) pair =
      cmk_attested_pair_make (cmk_kms_vault (kms), request->wrapping_spec, &request->attest, &attestation, error);
  if (pair == NULL || !issue_parameters (kms, caller, request, pair, now, ret_parameters, error))
    return FALSE;
  ret_parameters->attestation = attestation;
  attestation = (CmkAttestation) { 0 };
  return TRUE;
}

gboolean
cmk_import_get_parameters (CmkKms *kms, const CmkCaller *caller, const CmkImportParametersRequest *request,
                           CmkWrappingPair *waited_pair, CmkImportParameters *ret_parameters, GError **error)
{
  g_autoptr (CmkWrappingPair) pair = waited_pair;
  CmkWrappingPool *pool = cmk_kms_pool (kms);
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error) || !check_parameters_request (kms, caller, request, now, pair != NULL, error))
    {
      cmk_wrapping_pool_give_back (pool, g_steal_pointer (&pair));
      return FALSE;
    }
  if (request->attest.nonce != NULL)
    return issue_attested (kms, caller, request, now, ret_parameters, error);
  if (pair == NULL)
    pair = cmk_wrapping_pool_take (pool, request->wrapping_spec);
  if (pair == NULL)
    {
      g_set_error_literal (error, CMK_CACHE_MISS, 0, "no wrapping key is ready");
      return FALSE;
    }
  return issue_parameters (kms, caller, request, pair, now, ret_parameters, error);
}

/* --- ImportKeyMaterial --- */

static CmkImportSetRecord *
find_set (CmkKms *kms, const CmkImportRequest *request, gint64 now, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkImportToken token;
  if (!cmk_import_token_decode (request->import_token, cmk_vault_token_key (vault), &token, error))
    return NULL;
  if (!cmk_uuid_equal (&token.store_id, cmk_vault_store_id (vault)) ||
      !cmk_uuid_equal (&token.key_id, &request->key_id) || token.expires_at > cmk_import_latest_expiry (now))
    {
      cmk_import_token_refuse (error);
      return NULL;
    }
  if (token.expires_at <= now)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_EXPIRED_IMPORT_TOKEN,
                           "the import token has expired (24 hours): call GetParametersForImport again and wrap with "
                           "the new public key");
      return NULL;
    }
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkImportSetRecord) set = cmk_store_get_import_set (cmk_vault_store (vault), &token.set_id, &local_error);
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  else if (set == NULL || set->failures >= CMKD_UNWRAP_FAILURE_BUDGET)
    cmk_import_token_refuse (error);
  else
    return g_steal_pointer (&set);
  return NULL;
}

static gboolean
store_attempts (CmkKms *kms, const CmkImportSetRecord *set, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  return transaction != NULL && cmk_store_update_import_set (store, set, error) &&
         cmk_store_commit (transaction, error);
}

/* An attempt is charged, durably, before anything is unwrapped, and refunded if it was no failure of the importer's. So
 * neither a crash nor a full disk gives a free try, and the uniform error is no oracle. */
static gboolean
charge_attempt (CmkKms *kms, CmkImportSetRecord *set, GError **error)
{
  set->failures++;
  return store_attempts (kms, set, error);
}

static void
refund_attempt (CmkKms *kms, CmkImportSetRecord *set)
{
  g_autoptr (GError) error = NULL;
  set->failures--;
  if (!store_attempts (kms, set, &error))
    g_message ("an import that failed through no fault of its own counts all the same: %s", error->message);
}

static gboolean
erase_set (CmkKms *kms, const CmkUuid *id, GError **error)
{
  cmk_import_windows_close (cmk_kms_import_windows (kms), id);
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  return transaction != NULL && cmk_store_delete_import_set (store, id, error) && cmk_store_commit (transaction, error);
}

/* The charge stands. The last one destroys the wrapping key; before that, whoever failed once tries again. */
static void
conclude_failure (CmkKms *kms, CmkTpmSession *session, CmkImportSetRecord *set)
{
  g_autoptr (GError) error = NULL;
  if (set->failures < CMKD_UNWRAP_FAILURE_BUDGET)
    {
      if (!cmk_attested_pair_is (set))
        cmk_vault_keep_handle (cmk_kms_vault (kms), session, set->sealed_key);
    }
  else if (!erase_set (kms, &set->id, &error))
    g_warning ("a wrapping key that must not be used any more is not erased yet: %s", error->message);
}

/* The wrapping key of @set; @hold, zeroed, must outlive it. */
static CmkPrivateKey *
open_wrapping_key (CmkKms *kms, CmkTpmSession *session, const CmkImportSetRecord *set, CmkAttestedHold *hold,
                   GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkSecretIdentity identity = cmk_wrapping_pair_identity (&set->id, set->wrapping_spec);
  g_autoptr (GBytes) envelope = cmk_erasure_reveal (cmk_vault_erasure (vault), set->envelope, error);
  if (envelope == NULL)
    return NULL;
  if (cmk_attested_pair_is (set))
    {
      *hold = (CmkAttestedHold) { .vault = vault, .session = session, .object = g_steal_pointer (&envelope) };
      return cmk_attested_pair_open (hold, set->wrapping_spec, error);
    }
  g_autoptr (CmkSecret) private_key =
      cmk_vault_unseal (vault, session, &identity, set->sealed_key, envelope, CMK_UNSEAL_ONCE, CMK_TPM_MORE, error);
  return private_key != NULL
             ? cmk_private_key_decode (cmk_wrapping_key_spec_key (set->wrapping_spec), private_key, error)
             : NULL;
}

/* The material, if it unwraps and is the one that the key is bound to, if it is. *ret_fingerprint is that of the
 * material. */
static CmkSecret *
unwrap_material (CmkKms *kms, CmkTpmSession *session, const CmkWrapped *wrapped, const CmkKeyRecord *record,
                 const CmkImportSetRecord *set, GBytes **ret_fingerprint, GError **error)
{
  g_auto (CmkAttestedHold) hold = { 0 };
  g_autoptr (CmkPrivateKey) wrapping_key = open_wrapping_key (kms, session, set, &hold, error);
  if (wrapping_key == NULL)
    return NULL;
  g_autoptr (CmkSecret) material = cmk_unwrap (wrapping_key, wrapped, error);
  if (material == NULL)
    return NULL;
  g_autoptr (GBytes) fingerprint =
      cmk_vault_fingerprint (cmk_kms_vault (kms), session, &record->id, material, CMK_TPM_MORE, error);
  if (fingerprint == NULL)
    return NULL;
  if (record->fingerprint != NULL && !g_bytes_equal (record->fingerprint, fingerprint))
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_MATERIAL_MISMATCH,
                           "the key is bound for ever to the first material that was imported into it, and this is "
                           "another: import the same material, or create a new key");
      return NULL;
    }
  *ret_fingerprint = g_steal_pointer (&fingerprint);
  return g_steal_pointer (&material);
}

static gboolean
check_expiry (gint64 expires_at, gint64 now, GError **error)
{
  if (expires_at == 0 || (expires_at > now && expires_at <= CMKD_LAST_SECOND))
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                       "KeyMaterialExpireUnix: must be 0 (never) or later than now and not after the year 9999, in "
                       "Unix seconds (not milliseconds)");
  return FALSE;
}

static CmkKeyRecord *
load_importable_key (CmkKms *kms, const CmkCaller *caller, const CmkImportRequest *request, gint64 now, GError **error)
{
  g_autoptr (CmkKeyRecord) record = load_external_key (kms, caller, &request->key_id, now, error);
  if (record == NULL)
    return NULL;
  if (request->encrypted_private_key != NULL && !cmk_key_spec_is_asymmetric (record->spec))
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                           "EncryptedPrivateKey belongs to private keys, and this key is none: leave it out");
      return NULL;
    }
  if (record->state != CMK_KEY_STATE_PENDING_IMPORT && !cmk_kms_require_enabled (record->state, error))
    return NULL;
  return g_steal_pointer (&record);
}

/* The public half of @material, and TRUE; NULL of a symmetric key. */
static gboolean
derive_public_key (CmkKeySpec spec, const CmkSecret *material, GBytes **ret_public_key, GError **error)
{
  if (!cmk_key_spec_is_asymmetric (spec))
    return TRUE;
  g_autoptr (CmkPrivateKey) key = cmk_private_key_decode (spec, material, error);
  *ret_public_key = key != NULL ? cmk_private_key_public_der (key, error) : NULL;
  return *ret_public_key != NULL;
}

/* Bind and keep the sealed material of @record; the attempt is refunded in the same commit. */
static gboolean
commit_import (CmkKms *kms, CmkKeyRecord *record, CmkImportSetRecord *set, GBytes *public_key, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  set->failures--;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL || !cmk_store_update_import_set (store, set, error) ||
      !cmk_kms_protect_material (kms, record, error) || !cmk_store_update_key (store, record, error) ||
      (public_key != NULL && !cmk_store_put_public_key (store, &record->id, public_key, error)) ||
      !cmk_store_commit (transaction, error))
    {
      set->failures++;
      return FALSE;
    }
  cmk_kms_key_changed (kms, &record->id, record->state, "MaterialImported");
  cmk_due_note_expiry (cmk_kms_due (kms), record->expires_at);
  cmk_import_windows_close (cmk_kms_import_windows (kms), &set->id);
  return TRUE;
}

static gboolean
bind_material (CmkKms *kms, CmkTpmSession *session, gint64 expires_at, CmkKeyRecord *record, CmkImportSetRecord *set,
               const CmkSecret *material, GBytes *fingerprint, GError **error)
{
  g_autoptr (GBytes) public_key = NULL;
  record->state = CMK_KEY_STATE_ENABLED;
  record->expires_at = expires_at;
  if (record->fingerprint == NULL)
    record->fingerprint = g_bytes_ref (fingerprint);
  if (!derive_public_key (record->spec, material, &public_key, error) ||
      !cmk_kms_seal_material (kms, session, record, material, error) ||
      !commit_import (kms, record, set, public_key, error))
    return FALSE;
  cmk_kms_keep_active (kms, record, material, public_key);
  return TRUE;
}

static gboolean
is_importers_failure (const GError *error)
{
  return g_error_matches (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL) ||
         g_error_matches (error, CMK_ERROR, CMK_ERROR_MATERIAL_MISMATCH);
}

/* Another import changes how long the material may be used, and puts its former sealed form out of reach. A first one
 * takes nothing from anybody; its expiry will. */
static gboolean
pay_for_step (CmkKms *kms, const CmkCaller *caller, const CmkKeyRecord *record, gint64 expires_at, GError **error)
{
  CmkSettling *settling = cmk_kms_settling (kms);
  if (record->fingerprint != NULL)
    return cmk_settling_require (settling, caller->uid, error);
  return expires_at == 0 || cmk_settling_charge (settling, caller->uid, error);
}

/* From the charged attempt to the commit. */
static gboolean
import_material (CmkKms *kms, const CmkCaller *caller, CmkTpmSession *session, const CmkWrapped *wrapped,
                 gint64 expires_at, CmkKeyRecord *record, CmkImportSetRecord *set, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) fingerprint = NULL;
  g_autoptr (CmkSecret) material = unwrap_material (kms, session, wrapped, record, set, &fingerprint, &local_error);
  if (material != NULL && pay_for_step (kms, caller, record, expires_at, &local_error) &&
      bind_material (kms, session, expires_at, record, set, material, fingerprint, &local_error))
    return TRUE;
  if (is_importers_failure (local_error))
    conclude_failure (kms, session, set);
  else
    refund_attempt (kms, set);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

CmkKeyRecord *
cmk_import_key_material (CmkKms *kms, const CmkCaller *caller, const CmkImportRequest *request, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error) || !check_expiry (request->expires_at, now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = load_importable_key (kms, caller, request, now, error);
  if (record == NULL)
    return NULL;
  g_autoptr (CmkImportSetRecord) set = find_set (kms, request, now, error);
  if (set == NULL)
    return NULL;
  const CmkWrapped wrapped = {
    .algorithm = set->algorithm,
    .wrapping_spec = set->wrapping_spec,
    .spec = record->spec,
    .encrypted_key_material = request->encrypted_key_material,
    .encrypted_private_key = request->encrypted_private_key,
  };
  if (!cmk_wrapped_check (&wrapped, error))
    return NULL;
  g_autoptr (CmkTpmSession) session = cmk_vault_begin_session (cmk_kms_vault (kms), error);
  if (session == NULL || !charge_attempt (kms, set, error) ||
      !import_material (kms, caller, session, &wrapped, request->expires_at, record, set, error))
    return NULL;
  return g_steal_pointer (&record);
}

/* --- DeleteKeyMaterial --- */

CmkKeyRecord *
cmk_import_delete_key_material (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = load_external_key (kms, caller, key_id, now, error);
  if (record == NULL)
    return NULL;
  gboolean had_material = record->envelope != NULL;
  /* Material that has expired may still be there. */
  g_autoptr (CmkKeyRecord) stored = cmk_store_get_key (cmk_kms_store (kms), key_id, error);
  if (stored == NULL)
    return NULL;
  if (stored->envelope == NULL)
    {
      cmk_settling_require_owed (cmk_kms_settling (kms));
      return g_steal_pointer (&record);
    }
  cmk_kms_strip_material (record);
  if (!cmk_settling_require (cmk_kms_settling (kms), caller->uid, error) ||
      !cmk_kms_commit_key (kms, record, had_material ? "MaterialDeleted" : "MaterialExpired", error))
    return NULL;
  return g_steal_pointer (&record);
}
