/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/keys.h"

#include "base/error.h"
#include "crypto/crypto.h"
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
  if (cmk_key_spec_material_bytes (request->spec) == 0)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                   "keys of spec %s are not supported by this version: use AES_256 or SM4",
                   cmk_spec_name (cmk_key_specs, (int) request->spec));
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

static CmkSecret *
generate_material (CmkKms *kms, CmkKeyRecord *record, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkSecretIdentity identity = cmk_kms_material_identity (record);
  g_autoptr (CmkSecret) material = cmk_random_secret (cmk_key_spec_material_bytes (record->spec), error);
  g_autoptr (CmkTpmSession) session = material != NULL ? cmk_vault_begin_session (vault, error) : NULL;
  if (session == NULL || !cmk_vault_seal (vault, session, &identity, material, CMK_TPM_LAST, &record->sealed_key,
                                          &record->envelope, error))
    return NULL;
  return g_steal_pointer (&material);
}

CmkKeyRecord *
cmk_keys_create (CmkKms *kms, const CmkCaller *caller, const CmkCreateKeyRequest *request, GError **error)
{
  gint64 now;
  if (!check_supported (request, error) || !cmk_kms_begin (kms, &now, error) || !check_limit (kms, caller, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = cmk_key_record_new ();
  record->id = cmk_uuid_new ();
  record->owner_uid = caller->uid;
  record->created_at = now;
  record->spec = request->spec;
  record->usage = request->usage;
  record->origin = request->origin;
  record->protection_level = request->protection_level;
  g_free (record->description);
  record->description = g_strdup (request->description);
  record->state = CMK_KEY_STATE_PENDING_IMPORT;
  if (request->origin == CMK_ORIGIN_CMKD_KMS)
    {
      g_autoptr (CmkSecret) material = generate_material (kms, record, error);
      if (material == NULL)
        return NULL;
      record->state = CMK_KEY_STATE_ENABLED;
    }

  CmkStore *store = cmk_vault_store (cmk_kms_vault (kms));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL || !cmk_store_insert_key (store, record, error) || !cmk_store_commit (transaction, error))
    return NULL;
  cmk_kms_tell (kms, &record->id, record->state, "Created");
  return g_steal_pointer (&record);
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
