/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/use.h"

#include "base/clock.h"
#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/message.h"

/* A key that may be used now, and its material. */
typedef struct
{
  CmkUuid id;
  CmkKeySpec spec;
  CmkSecret *material;
} Usable;

static void
usable_clear (Usable *usable)
{
  g_clear_pointer (&usable->material, cmk_secret_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Usable, usable_clear)

static gboolean
require_encryption_usage (CmkKeyUsage usage, GError **error)
{
  if (usage == CMK_KEY_USAGE_ENCRYPT_DECRYPT)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
               "the key is for %s: use a key with KeyUsage ENCRYPT_DECRYPT",
               cmk_spec_name (cmk_key_usages, (int) usage));
  return FALSE;
}

/* FALSE with CMK_CACHE_MISS, or with the contract's error if what is cached says no. */
static gboolean
get_cached (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, Usable *ret_usable, GError **error)
{
  CmkActiveKey key;
  CmkSecret *material = NULL;
  if (reference->alias == NULL && cmk_active_keys_lookup (cmk_kms_active_keys (kms), &reference->id, &key))
    {
      if (caller->uid != 0 && caller->uid != key.owner_uid)
        {
          cmk_kms_refuse_unknown_key (error);
          return FALSE;
        }
      if (!require_encryption_usage (key.usage, error))
        return FALSE;
      if (key.expires_at != 0 && key.expires_at <= cmk_clock_now ())
        return cmk_kms_require_enabled (CMK_KEY_STATE_PENDING_IMPORT, error);
      material = cmk_keyring_lookup_material (cmk_vault_keyring (cmk_kms_vault (kms)), &reference->id);
    }
  if (material == NULL)
    {
      g_set_error_literal (error, CMK_CACHE_MISS, 0, "not cached");
      return FALSE;
    }
  *ret_usable = (Usable) { .id = key.id, .spec = key.spec, .material = material };
  return TRUE;
}

static CmkSecret *
unseal_material (CmkKms *kms, const CmkKeyRecord *record, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkSecretIdentity identity = cmk_kms_material_identity (record);
  g_autoptr (CmkTpmSession) session = cmk_vault_begin_session (vault, error);
  if (session == NULL)
    return NULL;
  return cmk_vault_unseal (vault, session, &identity, record->sealed_key, record->envelope, CMK_UNSEAL_AGAIN,
                           CMK_TPM_LAST, error);
}

static gboolean
get_from_store (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, Usable *ret_usable,
                GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return FALSE;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, reference, now, error);
  if (record == NULL || !require_encryption_usage (record->usage, error) ||
      !cmk_kms_require_enabled (record->state, error))
    return FALSE;
  CmkSecret *material = unseal_material (kms, record, error);
  if (material == NULL)
    return FALSE;
  cmk_kms_keep_material (kms, record, material);
  *ret_usable = (Usable) { .id = record->id, .spec = record->spec, .material = material };
  return TRUE;
}

static gboolean
get_usable (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *reference,
            Usable *ret_usable, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (get_cached (kms, caller, reference, ret_usable, &local_error))
    return TRUE;
  /* What another call unsealed while this one was queued serves this one as well. */
  if (effort == CMK_EFFORT_FULL && local_error->domain == CMK_CACHE_MISS)
    return get_from_store (kms, caller, reference, ret_usable, error);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

GBytes *
cmk_use_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key, GBytes *context,
                 const CmkSecret *plaintext, CmkUuid *ret_key_id, GError **error)
{
  g_auto (Usable) usable = { 0 };
  if (!get_usable (kms, caller, effort, key, &usable, error))
    return NULL;
  *ret_key_id = usable.id;
  return cmk_message_seal (usable.material, usable.spec, &usable.id, context, plaintext, error);
}

static gboolean
get_usable_of_blob (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, Usable *ret_usable,
                    GError **error)
{
  CmkKeyReference named = { 0 };
  if (!cmk_message_key_id (blob, &named.id, error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  if (get_usable (kms, caller, effort, &named, ret_usable, &local_error))
    return TRUE;
  /* A key that is unknown, deleted or another's is not told from a blob that was altered. */
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND))
    cmk_message_set_invalid (error);
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
check_expected_key (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob,
                    const CmkKeyReference *expected, GError **error)
{
  if (effort == CMK_EFFORT_CACHED)
    {
      CmkActiveKey key;
      if (expected->alias != NULL || !cmk_active_keys_lookup (cmk_kms_active_keys (kms), &expected->id, &key) ||
          (caller->uid != 0 && caller->uid != key.owner_uid))
        {
          g_set_error_literal (error, CMK_CACHE_MISS, 0, "not cached");
          return FALSE;
        }
    }
  else
    {
      gint64 now;
      if (!cmk_kms_begin (kms, &now, error))
        return FALSE;
      g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, expected, now, error);
      if (record == NULL)
        return FALSE;
    }
  CmkUuid named;
  if (!cmk_message_key_id (blob, &named, error))
    return FALSE;
  if (cmk_uuid_equal (&named, &expected->id))
    return TRUE;
  cmk_message_set_invalid (error);
  return FALSE;
}

CmkSecret *
cmk_use_decrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, GBytes *context,
                 const CmkKeyReference *expected_key, CmkUuid *ret_key_id, GError **error)
{
  g_auto (Usable) usable = { 0 };
  if (expected_key != NULL && !check_expected_key (kms, caller, effort, blob, expected_key, error))
    return NULL;
  if (!get_usable_of_blob (kms, caller, effort, blob, &usable, error))
    return NULL;
  *ret_key_id = usable.id;
  return cmk_message_open (usable.material, usable.spec, blob, context, error);
}

GBytes *
cmk_use_re_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, GBytes *source_context,
                    const CmkKeyReference *destination, GBytes *destination_context, CmkUuid *ret_source_key_id,
                    CmkUuid *ret_key_id, GError **error)
{
  g_autoptr (CmkSecret) plaintext =
      cmk_use_decrypt (kms, caller, effort, blob, source_context, NULL, ret_source_key_id, error);
  if (plaintext == NULL)
    return NULL;
  return cmk_use_encrypt (kms, caller, effort, destination, destination_context, plaintext, ret_key_id, error);
}

CmkSecret *
cmk_use_generate_data_key (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                           GBytes *context, gsize size, GBytes **ret_blob, CmkUuid *ret_key_id, GError **error)
{
  g_autoptr (CmkSecret) data_key = cmk_random_secret (size, error);
  if (data_key == NULL)
    return NULL;
  *ret_blob = cmk_use_encrypt (kms, caller, effort, key, context, data_key, ret_key_id, error);
  return *ret_blob != NULL ? g_steal_pointer (&data_key) : NULL;
}
