/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/keys.h"

#include "base/clock.h"
#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/private-key.h"
#include "kms/access.h"
#include "kms/marker.h"
#include "kms/recovery.h"
#include "kms/resident.h"

#include <string.h>

/* The bus daemon turns out whoever sends it too long a message: 32 MiB on the system bus. One key may say 80 KiB. */
#define MAX_PAGE_BYTES (16 * 1024 * 1024)

/* --- metadata --- */

void
cmk_key_metadata_free (CmkKeyMetadata *metadata)
{
  if (metadata == NULL)
    return;
  cmk_key_record_free (metadata->record);
  g_clear_pointer (&metadata->aliases, g_ptr_array_unref);
  g_clear_pointer (&metadata->tags, g_tree_unref);
  g_free (metadata);
}

/* Takes @record over in any case. */
static CmkKeyMetadata *
load_metadata (CmkKms *kms, const CmkCaller *caller, CmkKeyRecord *record, GError **error)
{
  g_autoptr (CmkKeyMetadata) metadata = g_new0 (CmkKeyMetadata, 1);
  metadata->record = record;
  metadata->creator = cmk_accounts_uid (cmk_kms_accounts (kms), record->owner);
  metadata->aliases = cmk_aliases_of_key (kms, caller, &record->id, error);
  if (metadata->aliases == NULL)
    return NULL;
  metadata->tags = cmk_tags_load (kms, &record->id, error);
  return metadata->tags != NULL ? g_steal_pointer (&metadata) : NULL;
}

/* About what it adds to an answer. */
static gsize
estimate_bytes (const CmkKeyMetadata *metadata)
{
  gsize bytes = 1024 + strlen (metadata->record->description);
  for (guint i = 0; i < metadata->aliases->len; i++)
    bytes += 16 + strlen (((const CmkAliasRecord *) metadata->aliases->pdata[i])->name);
  for (GTreeNode *tag = g_tree_node_first (metadata->tags); tag != NULL; tag = g_tree_node_next (tag))
    bytes += 32 + strlen (g_tree_node_key (tag)) + strlen (g_tree_node_value (tag));
  return bytes;
}

/* --- what may be created --- */

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
  if (request->id != NULL && request->origin != CMK_ORIGIN_EXTERNAL)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                           "KeyId goes with Origin EXTERNAL only, for a key whose material is imported here as well");
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_protection_level (CmkKms *kms, const CmkCreateKeyRequest *request, GError **error)
{
  return request->protection_level != CMK_PROTECTION_LEVEL_TPM ||
         cmk_resident_check_spec (cmk_kms_vault (kms), request->spec, error);
}

static gboolean
check_key_count (CmkKms *kms, const CmkCaller *caller, GError **error)
{
  guint count;
  guint limit = cmk_kms_config (kms)->keys_per_user;
  if (!cmk_store_count_keys (cmk_kms_store (kms), cmk_kms_owner (kms, caller), &count, error))
    return FALSE;
  if (count < limit)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
               "you have %u keys, the most that one user may have; an administrator can raise KeysPerUser= in "
               "cmkd.conf",
               count);
  return FALSE;
}

/* Before anything is made; that the id is free the store will see to. */
static gboolean
check_limits (CmkKms *kms, const CmkCaller *caller, const CmkCreateKeyRequest *request, GError **error)
{
  return check_key_count (kms, caller, error) && cmk_tags_check_count (request->tags, error) &&
         (request->alias == NULL || cmk_aliases_check_new (kms, caller, request->alias, NULL, error));
}

/* --- material of our own making --- */

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
  return session != NULL && cmk_kms_seal_material (kms, session, record, material, error);
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
  if (material == NULL || !cmk_kms_seal_material (kms, session, record, material, error))
    return FALSE;
  *ret_public_key = g_bytes_ref (pair->public_key);
  return TRUE;
}

static gboolean
have_material_made (CmkKms *kms, const CmkCaller *caller, CmkKeyRecord *record, GBytes **ret_public_key, GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  if (cmk_key_spec_rsa_bits (record->spec) != 0 && !cmk_kms_charge_tpm_key (kms, caller->uid, error))
    return FALSE;
  g_autoptr (CmkTpmSession) session = cmk_vault_begin_session (vault, error);
  if (session == NULL)
    return FALSE;
  record->envelope = cmk_resident_generate (vault, session, record->spec, ret_public_key, error);
  record->sealed_key = g_bytes_new (NULL, 0);
  return record->envelope != NULL;
}

static gboolean
make_material (CmkKms *kms, const CmkCaller *caller, CmkKeyRecord *record, CmkWrappingPair *waited_pair,
               GBytes **ret_public_key, GError **error)
{
  if (record->protection_level == CMK_PROTECTION_LEVEL_TPM)
    return have_material_made (kms, caller, record, ret_public_key, error);
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
new_record (gint64 owner, const CmkCreateKeyRequest *request, gint64 now)
{
  CmkKeyRecord *record = cmk_key_record_new ();
  record->id = request->id != NULL ? *request->id : cmk_uuid_new ();
  record->owner = owner;
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

static void
free_alias (gpointer alias)
{
  cmk_alias_record_free (alias);
}

static CmkKeyMetadata *
new_metadata (const CmkCaller *caller, gint64 owner, const CmkCreateKeyRequest *request, gint64 now)
{
  CmkKeyMetadata *metadata = g_new0 (CmkKeyMetadata, 1);
  metadata->record = new_record (owner, request, now);
  metadata->creator = caller->uid;
  metadata->aliases = g_ptr_array_new_with_free_func (free_alias);
  if (request->alias != NULL)
    g_ptr_array_add (metadata->aliases, cmk_alias_record_new (owner, request->alias, &metadata->record->id));
  metadata->tags = g_tree_ref (request->tags);
  return metadata;
}

static gboolean
insert_key (CmkKms *kms, CmkKeyMetadata *metadata, GBytes *public_key, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  CmkKeyRecord *record = metadata->record;
  g_autoptr (GBytes) tags = cmk_tags_encode (metadata->tags);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL || (record->envelope != NULL && !cmk_kms_protect_material (kms, record, error)) ||
      !cmk_kms_write_owner (kms, record->owner, error) || !cmk_store_insert_key (store, record, error) ||
      (public_key != NULL && !cmk_store_put_public_key (store, &record->id, public_key, error)) ||
      !cmk_store_put_tags (store, &record->id, tags, error))
    return FALSE;
  for (guint i = 0; i < metadata->aliases->len; i++)
    if (!cmk_store_insert_alias (store, g_ptr_array_index (metadata->aliases, i), error))
      return FALSE;
  if (!cmk_store_commit (transaction, error))
    return FALSE;
  cmk_kms_tell (kms, &record->id, record->state, "Created");
  return TRUE;
}

static gboolean
require_creation (CmkKms *kms, const CmkCaller *caller, const CmkCreateKeyRequest *request, GError **error)
{
  g_autoptr (CmkKeyRecord) record = new_record (cmk_kms_owner (kms, caller), request, 0);
  return cmk_access_require (kms, caller, request->id, record, error);
}

CmkKeyMetadata *
cmk_keys_create (CmkKms *kms, const CmkCaller *caller, const CmkCreateKeyRequest *request, CmkWrappingPair *waited_pair,
                 GError **error)
{
  g_autoptr (CmkWrappingPair) pair = waited_pair;
  gint64 now;
  if (!require_creation (kms, caller, request, error) || !check_supported (request, error) ||
      !cmk_kms_begin (kms, &now, error) || !check_protection_level (kms, request, error) ||
      !check_limits (kms, caller, request, error))
    {
      cmk_wrapping_pool_give_back (cmk_kms_pool (kms), g_steal_pointer (&pair));
      return NULL;
    }
  g_autoptr (CmkKeyMetadata) metadata = new_metadata (caller, cmk_kms_assign_owner (kms, caller), request, now);
  g_autoptr (GBytes) public_key = NULL;
  if (request->origin == CMK_ORIGIN_CMKD_KMS &&
      !make_material (kms, caller, metadata->record, g_steal_pointer (&pair), &public_key, error))
    return NULL;
  if (!insert_key (kms, metadata, public_key, error))
    return NULL;
  cmk_access_note_key (caller, &metadata->record->id);
  return g_steal_pointer (&metadata);
}

/* --- the others --- */

CmkKeyMetadata *
cmk_keys_describe (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GError **error)
{
  gint64 now;
  g_autoptr (CmkKeyRecord) record =
      cmk_kms_begin_reading (kms, &now, error) ? cmk_kms_load_key (kms, caller, key, now, error) : NULL;
  return record != NULL ? load_metadata (kms, caller, g_steal_pointer (&record), error) : NULL;
}

static void
free_metadata (gpointer metadata)
{
  cmk_key_metadata_free (metadata);
}

/* Appends the metadata of @record. What is damaged of a key is that key's misfortune: it is left out. */
static gboolean
append_listed (CmkKms *kms, const CmkCaller *caller, CmkKeyRecord *record, GPtrArray *keys, gsize *bytes,
               GError **error)
{
  g_autoptr (GError) local_error = NULL;
  CmkKeyMetadata *metadata = load_metadata (kms, caller, record, &local_error);
  if (metadata != NULL)
    {
      g_ptr_array_add (keys, metadata);
      *bytes += estimate_bytes (metadata);
      return TRUE;
    }
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED))
    {
      g_warning ("a key is left out: %s", local_error->message);
      return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* The keys of @records, up to what an answer can hold. *ret_last is the serial of the last one that was looked at, and
 * *more is set if others are left after it. */
static GPtrArray *
collect_listed (CmkKms *kms, const CmkCaller *caller, GPtrArray *records, gint64 now, gint64 *ret_last, gboolean *more,
                GError **error)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (free_metadata);
  gsize bytes = 0;
  for (guint i = 0; i < records->len; i++)
    {
      g_autoptr (CmkKeyRecord) record = g_steal_pointer (&g_ptr_array_index (records, i));
      if (bytes >= MAX_PAGE_BYTES)
        {
          *more = TRUE;
          break;
        }
      *ret_last = record->serial;
      cmk_kms_strip_if_expired (record, now);
      if (!cmk_kms_is_deleted (record) && !append_listed (kms, caller, g_steal_pointer (&record), keys, &bytes, error))
        return NULL;
    }
  return g_steal_pointer (&keys);
}

GPtrArray *
cmk_keys_list (CmkKms *kms, const CmkCaller *caller, const CmkListKeysRequest *request, char **ret_next_marker,
               GError **error)
{
  gint64 now;
  if (!cmk_access_require (kms, caller, NULL, NULL, error) || !cmk_kms_begin_reading (kms, &now, error))
    return NULL;
  CmkVault *vault = cmk_kms_vault (kms);
  const CmkSecret *marker_key = cmk_vault_marker_key (vault);
  CmkKeyFilter filter = {
    .owner = caller->uid == 0 ? CMK_OWNER_ANY : cmk_kms_owner (kms, caller),
    .groups = caller->groups,
    .n_groups = caller->n_groups,
    .state = request->state,
    .now = now,
    .spec = request->spec,
    .origin = request->origin,
    .limit = request->limit,
  };
  if (*request->marker != '\0' &&
      !cmk_marker_decode (CMK_MARKER_KEYS, request->marker, filter.owner, marker_key, &filter.after_serial, error))
    return NULL;

  gboolean more;
  gint64 last = 0;
  g_autoptr (GPtrArray) records = cmk_store_list_keys (cmk_vault_store (vault), &filter, &more, error);
  g_autoptr (GPtrArray) keys = records != NULL ? collect_listed (kms, caller, records, now, &last, &more, error) : NULL;
  if (keys == NULL)
    return NULL;
  g_autofree char *next_marker =
      more ? cmk_marker_encode (CMK_MARKER_KEYS, last, filter.owner, marker_key, error) : g_strdup ("");
  if (next_marker == NULL)
    return NULL;
  *ret_next_marker = g_steal_pointer (&next_marker);
  return g_steal_pointer (&keys);
}

CmkKeyRecord *
cmk_keys_set_enabled (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, gboolean enabled,
                      GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_kms_begin_with_key (kms, caller, key, error);
  if (record == NULL || !cmk_recovery_require_not_lost (record, error))
    return NULL;
  CmkKeyState wanted = enabled ? CMK_KEY_STATE_ENABLED : CMK_KEY_STATE_DISABLED;
  if (record->state == wanted)
    {
      cmk_settling_require_owed (cmk_kms_settling (kms));
      return g_steal_pointer (&record);
    }
  if (record->state != CMK_KEY_STATE_DISABLED && !cmk_kms_require_enabled (record->state, error))
    return NULL;
  record->state = wanted;
  if ((!enabled && !cmk_settling_require (cmk_kms_settling (kms), caller->uid, error)) ||
      !cmk_kms_commit_key (kms, record, enabled ? "Enabled" : "Disabled", error))
    return NULL;
  return g_steal_pointer (&record);
}

CmkKeyRecord *
cmk_keys_update_description (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, const char *description,
                             GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, key, cmk_clock_confirmed (), error);
  if (record == NULL || !cmk_kms_require_no_deletion (record->state, error))
    return NULL;
  if (g_str_equal (record->description, description))
    return g_steal_pointer (&record);
  g_free (record->description);
  record->description = g_strdup (description);
  if (!cmk_kms_commit_key (kms, record, "Updated", error))
    return NULL;
  return g_steal_pointer (&record);
}
