/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/aliases.h"

#include "base/error.h"
#include "cmkd.h"
#include "kms/access.h"
#include "kms/marker.h"

/* --- changes --- */

static gboolean
check_limit (CmkKms *kms, const CmkUuid *key_id, GError **error)
{
  guint count;
  if (!cmk_store_count_aliases (cmk_kms_store (kms), key_id, &count, error))
    return FALSE;
  if (count < CMKD_MAX_ALIASES_PER_KEY)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
               "the key has %u aliases, the most that a key may have: delete another first", count);
  return FALSE;
}

gboolean
cmk_aliases_check_new (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkUuid *key_id, GError **error)
{
  return (key_id == NULL || check_limit (kms, key_id, error)) &&
         cmk_store_check_alias_free (cmk_kms_store (kms), cmk_kms_owner (kms, caller), name, error);
}

gboolean
cmk_aliases_create (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkKeyReference *key,
                    CmkUuid *ret_key_id, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return FALSE;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, key, now, error);
  if (record == NULL || !cmk_kms_require_no_deletion (record->state, error) ||
      !cmk_aliases_check_new (kms, caller, name, &record->id, error))
    return FALSE;
  g_autoptr (CmkAliasRecord) alias = cmk_alias_record_new (cmk_kms_assign_owner (kms, caller), name, &record->id);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (cmk_kms_store (kms), error);
  if (transaction == NULL || !cmk_kms_write_owner (kms, alias->owner, error) ||
      !cmk_store_insert_alias (cmk_kms_store (kms), alias, error) || !cmk_store_commit (transaction, error))
    return FALSE;
  cmk_kms_tell (kms, &record->id, record->state, "Updated");
  *ret_key_id = record->id;
  return TRUE;
}

/* Of the key @id, whose alias has gone. A key that is damaged is in no state to tell of. */
static void
tell_updated (CmkKms *kms, const CmkUuid *id)
{
  g_autoptr (CmkKeyRecord) record = cmk_store_get_key (cmk_kms_store (kms), id, NULL);
  if (record != NULL)
    cmk_kms_tell (kms, id, record->state, "Updated");
}

static gboolean
move_alias (CmkKms *kms, CmkAliasRecord *alias, const CmkKeyRecord *target, GError **error)
{
  if (!check_limit (kms, &target->id, error))
    return FALSE;
  CmkUuid source_id = alias->key_id;
  alias->key_id = target->id;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (cmk_kms_store (kms), error);
  if (transaction == NULL || !cmk_store_update_alias (cmk_kms_store (kms), alias, error) ||
      !cmk_store_commit (transaction, error))
    return FALSE;
  tell_updated (kms, &source_id);
  cmk_kms_tell (kms, &target->id, target->state, "Updated");
  return TRUE;
}

gboolean
cmk_aliases_update (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkKeyReference *key,
                    CmkUuid *ret_key_id, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return FALSE;
  g_autoptr (CmkKeyRecord) target = cmk_kms_load_key (kms, caller, key, now, error);
  g_autoptr (CmkAliasRecord) alias =
      target != NULL ? cmk_store_get_alias (cmk_kms_store (kms), cmk_kms_owner (kms, caller), name, error) : NULL;
  if (alias == NULL || !cmk_kms_require_no_deletion (target->state, error))
    return FALSE;
  *ret_key_id = target->id;
  return cmk_uuid_equal (&alias->key_id, &target->id) || move_alias (kms, alias, target, error);
}

gboolean
cmk_aliases_delete (CmkKms *kms, const CmkCaller *caller, const char *name, GError **error)
{
  gint64 now;
  if (!cmk_access_require (kms, caller, NULL, NULL, error) || !cmk_kms_begin (kms, &now, error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkAliasRecord) alias =
      cmk_store_get_alias (cmk_kms_store (kms), cmk_kms_owner (kms, caller), name, &local_error);
  /* A damaged row blocks the name, and can be got rid of by nobody else. */
  if (alias == NULL && !g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (cmk_kms_store (kms), error);
  if (transaction == NULL || !cmk_store_delete_alias (cmk_kms_store (kms), cmk_kms_owner (kms, caller), name, error) ||
      !cmk_store_commit (transaction, error))
    return FALSE;
  if (alias == NULL)
    return TRUE;
  cmk_access_note_key (caller, &alias->key_id);
  tell_updated (kms, &alias->key_id);
  return TRUE;
}

/* --- lists --- */

/* @request->key, if it names one that the caller may see. */
static gboolean
find_listed_key (CmkKms *kms, const CmkCaller *caller, const CmkListAliasesRequest *request, CmkUuid *ret_id,
                 GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return FALSE;
  if (!request->has_key)
    return cmk_access_require (kms, caller, NULL, NULL, error);
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, &request->key, now, error);
  if (record == NULL)
    return FALSE;
  *ret_id = record->id;
  return TRUE;
}

GPtrArray *
cmk_aliases_list (CmkKms *kms, const CmkCaller *caller, const CmkListAliasesRequest *request, char **ret_next_marker,
                  GError **error)
{
  CmkUuid key_id;
  if (!find_listed_key (kms, caller, request, &key_id, error))
    return NULL;
  const CmkSecret *marker_key = cmk_vault_marker_key (cmk_kms_vault (kms));
  CmkAliasFilter filter = {
    .owner = cmk_kms_owner (kms, caller),
    .key_id = request->has_key ? &key_id : NULL,
    .limit = request->limit,
  };
  if (*request->marker != '\0' &&
      !cmk_marker_decode (CMK_MARKER_ALIASES, request->marker, filter.owner, marker_key, &filter.after_serial, error))
    return NULL;
  gboolean more;
  g_autoptr (GPtrArray) aliases = cmk_store_list_aliases (cmk_kms_store (kms), &filter, &more, error);
  if (aliases == NULL)
    return NULL;
  const CmkAliasRecord *last = more ? g_ptr_array_index (aliases, aliases->len - 1) : NULL;
  g_autofree char *next_marker =
      more ? cmk_marker_encode (CMK_MARKER_ALIASES, last->serial, filter.owner, marker_key, error) : g_strdup ("");
  if (next_marker == NULL)
    return NULL;
  *ret_next_marker = g_steal_pointer (&next_marker);
  return g_steal_pointer (&aliases);
}

GPtrArray *
cmk_aliases_of_key (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id, GError **error)
{
  gboolean more;
  const CmkAliasFilter filter = {
    .owner = caller->uid == 0 ? CMK_OWNER_ANY : cmk_kms_owner (kms, caller),
    .key_id = key_id,
    .limit = CMKD_MAX_ALIASES_PER_KEY,
  };
  return cmk_store_list_aliases (cmk_kms_store (kms), &filter, &more, error);
}
