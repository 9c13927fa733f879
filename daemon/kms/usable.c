/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/usable.h"

#include "base/clock.h"
#include "base/error.h"
#include "kms/access.h"
#include "kms/recovery.h"

void
cmk_usable_clear (CmkUsable *usable)
{
  g_clear_pointer (&usable->material, cmk_secret_free);
  g_clear_pointer (&usable->resident, cmk_resident_close);
  g_clear_pointer (&usable->public_key, g_bytes_unref);
}

/* "A, B or C": the specs of @purpose. */
static char *
list_specs (const CmkPurpose *purpose)
{
  CmkSpecName fitting[32 + 1] = { { 0, NULL } };
  gsize n_fitting = 0;
  for (const CmkSpecName *spec = cmk_key_specs; spec->name != NULL; spec++)
    if ((purpose->specs & CMK_KEY_SPEC_BIT (spec->value)) != 0)
      fitting[n_fitting++] = *spec;
  return cmk_spec_list (fitting);
}

static gboolean
check_purpose (const CmkPurpose *purpose, CmkKeySpec spec, CmkKeyUsage usage, GError **error)
{
  if (usage != purpose->usage)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "the key is for %s: use a key with KeyUsage %s",
                   cmk_spec_name (cmk_key_usages, (int) usage), cmk_spec_name (cmk_key_usages, (int) purpose->usage));
      return FALSE;
    }
  if ((purpose->specs & CMK_KEY_SPEC_BIT (spec)) != 0)
    return TRUE;
  g_autofree char *specs = list_specs (purpose);
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "%s takes a key of spec %s, and this one is %s",
               purpose->name, specs, cmk_spec_name (cmk_key_specs, (int) spec));
  return FALSE;
}

static gboolean
miss (GError **error)
{
  g_set_error_literal (error, CMK_CACHE_MISS, 0, "not cached");
  return FALSE;
}

/* FALSE with CMK_CACHE_MISS, or with the contract's error if what is cached says no. */
static gboolean
get_cached (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkPurpose *purpose, CmkUsable *ret_usable,
            GError **error)
{
  g_auto (CmkActiveKey) key = { 0 };
  if (!cmk_active_keys_lookup (cmk_kms_active_keys (kms), id, &key))
    return miss (error);
  if (!cmk_access_require_active (kms, caller, &key, error))
    return FALSE;
  if (!check_purpose (purpose, key.spec, key.usage, error))
    return FALSE;
  /* The refusal comes from the worker, after what has expired is out of reach. */
  if (key.expires_at != 0 && key.expires_at <= cmk_clock_now ())
    return miss (error);
  CmkSecret *material = NULL;
  if (!purpose->needs_public_only)
    {
      material = cmk_keyring_lookup_material (cmk_vault_keyring (cmk_kms_vault (kms)), id);
      if (material == NULL)
        return miss (error);
    }
  *ret_usable = (CmkUsable) {
    .id = key.id,
    .spec = key.spec,
    .material = material,
    .hmac_key = { .secret = material },
    .public_key = g_steal_pointer (&key.public_key),
  };
  return TRUE;
}

static CmkSecret *
unseal_material (CmkKms *kms, const CmkKeyRecord *record, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  CmkSecretIdentity identity = cmk_kms_material_identity (record);
  g_autoptr (GBytes) envelope = cmk_erasure_reveal (cmk_vault_erasure (vault), record->envelope, error);
  g_autoptr (CmkTpmSession) session = envelope != NULL ? cmk_vault_begin_session (vault, error) : NULL;
  if (session == NULL)
    return NULL;
  return cmk_vault_unseal (vault, session, &identity, record->sealed_key, envelope, CMK_UNSEAL_AGAIN, CMK_TPM_LAST,
                           error);
}

static gboolean
open_secret (CmkKms *kms, const CmkKeyRecord *record, CmkUsable *usable, GError **error)
{
  if (record->protection_level == CMK_PROTECTION_LEVEL_TPM)
    {
      usable->resident = cmk_resident_open (cmk_kms_vault (kms), record, error);
      if (usable->resident != NULL)
        usable->hmac_key = cmk_resident_hmac_key (usable->resident);
      return usable->resident != NULL;
    }
  usable->material = unseal_material (kms, record, error);
  usable->hmac_key.secret = usable->material;
  return usable->material != NULL;
}

static gboolean
get_from_store (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkPurpose *purpose,
                CmkUsable *ret_usable, GError **error)
{
  gint64 now;
  const CmkKeyReference reference = { .id = *id };
  if (!cmk_kms_begin (kms, &now, error))
    return FALSE;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, &reference, now, error);
  if (record == NULL || !check_purpose (purpose, record->spec, record->usage, error) ||
      !cmk_recovery_require_not_lost (record, error) || !cmk_kms_require_enabled (record->state, error))
    return FALSE;
  g_auto (CmkUsable) usable = { .id = record->id, .spec = record->spec };
  if (cmk_key_spec_is_asymmetric (record->spec))
    {
      usable.public_key = cmk_store_get_public_key (cmk_kms_store (kms), &record->id, error);
      if (usable.public_key == NULL)
        return FALSE;
    }
  if (!purpose->needs_public_only && !open_secret (kms, record, &usable, error))
    return FALSE;
  cmk_kms_keep_active (kms, record, usable.material, usable.public_key);
  *ret_usable = usable;
  usable = (CmkUsable) { 0 };
  return TRUE;
}

/* Aliases are not cached: a call by alias goes to the worker, but not to the TPM if the key is in use. */
static gboolean
find_id (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *reference, CmkUuid *ret_id,
         GError **error)
{
  gint64 now;
  if (reference->alias != NULL && effort == CMK_EFFORT_CACHED)
    return miss (error);
  if (reference->alias != NULL && !cmk_kms_begin (kms, &now, error))
    return FALSE;
  return cmk_kms_resolve (kms, caller, reference, ret_id, error);
}

gboolean
cmk_usable_get (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *reference,
                const CmkPurpose *purpose, CmkUsable *ret_usable, GError **error)
{
  CmkUuid id;
  if (!find_id (kms, caller, effort, reference, &id, error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  if (get_cached (kms, caller, &id, purpose, ret_usable, &local_error))
    return TRUE;
  /* What another call unsealed while this one was queued serves this one as well. */
  if (effort == CMK_EFFORT_FULL && local_error->domain == CMK_CACHE_MISS)
    return get_from_store (kms, caller, &id, purpose, ret_usable, error);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

CmkPrivateKey *
cmk_usable_private_key (const CmkUsable *usable, GError **error)
{
  if (usable->resident == NULL)
    return cmk_private_key_decode (usable->spec, usable->material, error);
  return cmk_private_key_held (usable->spec, usable->public_key, cmk_resident_holder (usable->resident), error);
}
