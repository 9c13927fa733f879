/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/keys.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/private-key.h"
#include "kms/marker.h"

static gboolean
check_supported (const CmkCreateKeyRequest *request, GError **error)
{
  if (!cmk_key_spec_supports_usage (request->spec, request->usage))
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "a key of spec %s cannot have usage %s",
                   cmk_spec_name (cmk_key_specs, (int) request->spec),
                   cmk_spec_name (cmk_key_usages, (int) request->usage));
      return FALSE;
    }
  if (request->protection_level != CMK_PROTECTION_LEVEL_SOFTWARE)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                           "ProtectionLevel TPM is not supported by this version: use SOFTWARE");
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_limit (CmkKms *kms, const CmkCaller *caller, GError **error)
{
  guint count;
  guint limit = cmk_kms_config (kms)->keys_per_user;
  if (!cmk_store_count_keys (cmk_vault_store (cmk_kms_vault (kms)), caller->uid, &count, error))
    return FALSE;
  if (count < limit)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
               "you have %u keys, the most that one user may have; an administrator can raise KeysPerUser= in "
               "cmkd.conf",
               count);
  return FALSE;
}

/* --- material of our own making --- */

static gboolean
seal_material (CmkKms *kms, CmkTpmSession *session, CmkKeyRecord *record, const CmkSecret *material, GError **error)
{
  CmkSecretIdentity identity = cmk_kms_material_identity (record);
  return cmk_vault_seal (cmk_kms_vault (kms), session, &identity, material, CMK_TPM_LAST, &record->sealed_key,
                         &record->envelope, error);
}

/* An EC pair is made in less time than it takes to ask somebody else for it. */
static CmkSecret *
generate_ec_material (CmkKeySpec spec, GBytes **ret_public_key, GError **error)
{
  g_autoptr (CmkPrivateKey) key = cmk_private_key_generate (spec, NULL, error);
  *ret_public_key = key != NULL ? cmk_private_key_public_der (key, error) : NULL;
  return *ret_public_key != NULL ? cmk_private_key_encode (key, error) : NULL;
}

static gboolean
generate_material (CmkKms *kms, CmkKeyRecord *record, GBytes **ret_public_key, GError **error)
{
  g_autoptr (CmkSecret) material = cmk_key_spec_is_asymmetric (record->spec)
                                       ? generate_ec_material (record->spec, ret_public_key, error)
                                       : cmk_random_secret (cmk_key_spec_material_bytes (record->spec), error);
  g_autoptr (CmkTpmSession) session = material != NULL ? cmk_vault_begin_session (cmk_kms_vault (kms), error) : NULL;
  return session != NULL && seal_material (kms, session, record, material, error);
}

/* The private half of @pair, sealed anew as the material of @record. */
static gboolean
adopt_pair (CmkKms *kms, CmkKeyRecord *record, const CmkWrappingPair *pair, GBytes **ret_public_key, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkSecretIdentity identity = cmk_wrapping_pair_identity (&pair->id, pair->spec);
  g_autoptr (CmkTpmSession) session = cmk_vault_begin_session (vault, error);
  if (session == NULL)
    return FALSE;
  g_autoptr (CmkSecret) material = cmk_vault_unseal (vault, session, &identity, pair->sealed_key, pair->envelope,
                                                     CMK_UNSEAL_ONCE, CMK_TPM_MORE, error);
  if (material == NULL || !seal_material (kms, session, record, material, error))
    return FALSE;
  *ret_public_key = g_bytes_ref (pair->public_key);
  return TRUE;
}

static gboolean
make_material (CmkKms *kms, CmkKeyRecord *record, CmkWrappingPair *waited_pair, GBytes **ret_public_key, GError **error)
{
  if (cmk_key_spec_rsa_bits (record->spec) == 0)
    return generate_material (kms, record, ret_public_key, error);
  g_autoptr (CmkWrappingPair) pair = waited_pair;
  if (pair == NULL)
    pair = cmk_wrapping_pool_take (cmk_kms_pool (kms), cmk_keys_pair_spec (record->spec));
  if (pair != NULL)
    return adopt_pair (kms, record, pair, ret_public_key, error);
  g_set_error_literal (error, CMK_CACHE_MISS, 0, "no RSA key pair is ready");
  return FALSE;
}

/* --- CreateKey --- */

CmkWrappingKeySpec
cmk_keys_pair_spec (CmkKeySpec spec)
{
  for (const CmkSpecName *pair_spec = cmk_wrapping_key_specs; pair_spec->name != NULL; pair_spec++)
    if (cmk_wrapping_key_spec_key ((CmkWrappingKeySpec) pair_spec->value) == spec)
      return (CmkWrappingKeySpec) pair_spec->value;
  g_return_val_if_reached (CMK_WRAPPING_KEY_RSA_2048);
}

static CmkKeyRecord *
new_record (const CmkCaller *caller, const CmkCreateKeyRequest *request, gint64 now)
{
  CmkKeyRecord *record = cmk_key_record_new ();
  record->id = cmk_uuid_new ();
  record->owner_uid = caller->uid;
  record->created_at = now;
  record->spec = request->spec;
  record->usage = request->usage;
  record->origin = request->origin;
  record->protection_level = request->protection_level;
  g_free (record->description);
  record->description = g_strdup (request->description);
  record->state = request->origin == CMK_ORIGIN_CMKD_KMS ? CMK_KEY_STATE_ENABLED : CMK_KEY_STATE_PENDING_IMPORT;
  return record;
}

static gboolean
insert_key (CmkKms *kms, CmkKeyRecord *record, GBytes *public_key, GError **error)
{
  CmkStore *store = cmk_vault_store (cmk_kms_vault (kms));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL || !cmk_store_insert_key (store, record, error) ||
      (public_key != NULL && !cmk_store_put_public_key (store, &record->id, public_key, error)) ||
      !cmk_store_commit (transaction, error))
    return FALSE;
  cmk_kms_tell (kms, &record->id, record->state, "Created");
  return TRUE;
}

CmkKeyRecord *
cmk_keys_create (CmkKms *kms, const CmkCaller *caller, const CmkCreateKeyRequest *request, CmkWrappingPair *waited_pair,
                 GError **error)
{
  g_autoptr (CmkWrappingPair) pair = waited_pair;
  gint64 now;
  if (!check_supported (request, error) || !cmk_kms_begin (kms, &now, error) || !check_limit (kms, caller, error))
    {
      cmk_wrapping_pool_give_back (cmk_kms_pool (kms), g_steal_pointer (&pair));
      return NULL;
    }
  g_autoptr (CmkKeyRecord) record = new_record (caller, request, now);
  g_autoptr (GBytes) public_key = NULL;
  if (request->origin == CMK_ORIGIN_CMKD_KMS &&
      !make_material (kms, record, g_steal_pointer (&pair), &public_key, error))
    return NULL;
  return insert_key (kms, record, public_key, error) ? g_steal_pointer (&record) : NULL;
}

CmkKeyRecord *
cmk_keys_describe (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GError **error)
{
  gint64 now;
  return cmk_kms_begin (kms, &now, error) ? cmk_kms_load_key (kms, caller, key, now, error) : NULL;
}

GPtrArray *
cmk_keys_list (CmkKms *kms, const CmkCaller *caller, const CmkListKeysRequest *request, char **ret_next_marker,
               GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  CmkVault *vault = cmk_kms_vault (kms);
  const CmkSecret *marker_key = cmk_vault_marker_key (vault);
  CmkKeyFilter filter = {
    .owner_uid = caller->uid == 0 ? -1 : (gint64) caller->uid,
    .state = request->state,
    .spec = request->spec,
    .origin = request->origin,
    .limit = request->limit,
  };
  if (*request->marker != '\0' &&
      !cmk_marker_decode (request->marker, caller->uid, marker_key, &filter.after_serial, error))
    return NULL;

  gboolean more;
  g_autoptr (GPtrArray) records = cmk_store_list_keys (cmk_vault_store (vault), &filter, &more, error);
  if (records == NULL)
    return NULL;
  for (guint i = 0; i < records->len; i++)
    cmk_kms_strip_if_expired (g_ptr_array_index (records, i), now);
  g_autofree char *next_marker = g_strdup ("");
  if (more)
    {
      const CmkKeyRecord *last = g_ptr_array_index (records, records->len - 1);
      g_free (next_marker);
      next_marker = cmk_marker_encode (last->serial, caller->uid, marker_key, error);
      if (next_marker == NULL)
        return NULL;
    }
  *ret_next_marker = g_steal_pointer (&next_marker);
  return g_steal_pointer (&records);
}

CmkKeyRecord *
cmk_keys_set_enabled (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, gboolean enabled,
                      GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_keys_describe (kms, caller, key, error);
  if (record == NULL)
    return NULL;
  CmkKeyState wanted = enabled ? CMK_KEY_STATE_ENABLED : CMK_KEY_STATE_DISABLED;
  if (record->state == wanted)
    return g_steal_pointer (&record);
  if (record->state != CMK_KEY_STATE_DISABLED && !cmk_kms_require_enabled (record->state, error))
    return NULL;
  record->state = wanted;
  if (!cmk_kms_commit_key (kms, record, enabled ? "Enabled" : "Disabled", error))
    return NULL;
  return g_steal_pointer (&record);
}

CmkKeyRecord *
cmk_keys_update_description (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, const char *description,
                             GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_keys_describe (kms, caller, key, error);
  if (record == NULL)
    return NULL;
  if (record->state == CMK_KEY_STATE_PENDING_DELETION && !cmk_kms_require_enabled (record->state, error))
    return NULL;
  if (g_str_equal (record->description, description))
    return g_steal_pointer (&record);
  g_free (record->description);
  record->description = g_strdup (description);
  if (!cmk_kms_commit_key (kms, record, "Updated", error))
    return NULL;
  return g_steal_pointer (&record);
}
