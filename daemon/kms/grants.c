/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/grants.h"

#include "base/clock.h"
#include "base/error.h"

/* --- GrantKey --- */

static gboolean
check_limit (CmkKms *kms, const CmkUuid *key_id, GError **error)
{
  guint count;
  if (!cmk_store_count_grants (cmk_kms_store (kms), key_id, &count, error))
    return FALSE;
  if (count < cmk_kms_config (kms)->grants_per_key)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
               "the key has %u grants, the most that a key may have: revoke one, or grant to a group; an administrator "
               "can raise GrantsPerKey= in cmkd.conf",
               count);
  return FALSE;
}

static gboolean
find_grantee (CmkKms *kms, const CmkGrantRequest *request, gint64 *ret_grantee, GError **error)
{
  gboolean is_user = request->grantee_kind == CMK_GRANTEE_USER;
  if (is_user && request->account == NULL)
    {
      g_set_error_literal (error, CMK_CACHE_MISS, 0, "the account of the uid is not known yet");
      return FALSE;
    }
  *ret_grantee = is_user ? cmk_accounts_assign (cmk_kms_accounts (kms), request->grantee, request->account)
                         : (gint64) request->grantee;
  return TRUE;
}

/* One grant for each grantee: what is granted later is added to what he has. NULL if he has none. */
static CmkGrantRecord *
find_grant (CmkKms *kms, const CmkGrantRecord *grant, GError **error)
{
  g_autoptr (GArray) grants = cmk_store_list_grants (cmk_kms_store (kms), &grant->key_id, error);
  for (guint i = 0; grants != NULL && i < grants->len; i++)
    {
      const CmkGrantRecord *other = &g_array_index (grants, CmkGrantRecord, i);
      if (other->grantee_kind == grant->grantee_kind && other->grantee == grant->grantee)
        return g_memdup2 (other, sizeof *other);
    }
  return NULL;
}

/* The account of a user is written down with it: the grant is his, whoever may get his uid. */
static gboolean
write_grant (CmkKms *kms, const CmkKeyRecord *record, const CmkGrantRecord *grant, gboolean is_new, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL ||
      (grant->grantee_kind == CMK_GRANTEE_USER && !cmk_kms_write_owner (kms, grant->grantee, error)) ||
      !(is_new ? cmk_store_insert_grant (store, grant, error) : cmk_store_update_grant (store, grant, error)) ||
      !cmk_store_commit (transaction, error))
    return FALSE;
  cmk_active_keys_forget (cmk_kms_active_keys (kms), &grant->key_id);
  cmk_kms_tell (kms, &grant->key_id, record->state, "Updated");
  return TRUE;
}

gboolean
cmk_grants_create (CmkKms *kms, const CmkCaller *caller, const CmkGrantRequest *request, CmkUuid *ret_grant_id,
                   CmkUuid *ret_key_id, GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_kms_begin_with_key (kms, caller, &request->key, error);
  if (record == NULL || !cmk_kms_require_no_deletion (record->state, error))
    return FALSE;
  CmkGrantRecord grant = {
    .id = cmk_uuid_new (),
    .key_id = record->id,
    .key_serial = record->serial,
    .grantee_kind = request->grantee_kind,
    .operations = request->operations,
    .created_at = cmk_clock_now (),
  };
  if (!find_grantee (kms, request, &grant.grantee, error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  g_autofree CmkGrantRecord *old = find_grant (kms, &grant, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  guint operations = grant.operations;
  if (old != NULL)
    grant = *old;
  grant.operations |= operations;
  if (old == NULL && !check_limit (kms, &record->id, error))
    return FALSE;
  if ((old == NULL || old->operations != grant.operations) && !write_grant (kms, record, &grant, old == NULL, error))
    return FALSE;
  *ret_grant_id = grant.id;
  *ret_key_id = record->id;
  return TRUE;
}

/* --- RevokeGrant --- */

/* What is kept of a key in use knows its grants: it goes before the commit, so that nobody uses what is not there any
 * more. Its material stays at hand. */
static gboolean
delete_grant (CmkKms *kms, const CmkUuid *key_id, const CmkUuid *grant_id, GError **error)
{
  gboolean found = FALSE;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (cmk_kms_store (kms), error);
  if (transaction == NULL || !cmk_store_delete_grant (cmk_kms_store (kms), key_id, grant_id, &found, error))
    return FALSE;
  if (!found)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                           "grant_id: the key has no such grant: ListGrants shows those it has");
      return FALSE;
    }
  cmk_active_keys_forget (cmk_kms_active_keys (kms), key_id);
  return cmk_store_commit (transaction, error);
}

gboolean
cmk_grants_revoke (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, const CmkUuid *grant_id,
                   CmkUuid *ret_key_id, GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_kms_begin_with_key (kms, caller, key, error);
  if (record == NULL || !cmk_settling_require (cmk_kms_settling (kms), caller->uid, error) ||
      !delete_grant (kms, &record->id, grant_id, error))
    return FALSE;
  cmk_kms_tell (kms, &record->id, record->state, "Updated");
  *ret_key_id = record->id;
  return TRUE;
}

/* --- the others --- */

CmkGrantList *
cmk_grants_list (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_kms_begin_with_key (kms, caller, key, error);
  return record != NULL ? cmk_grant_list_load (cmk_kms_store (kms), &record->id, error) : NULL;
}

gboolean
cmk_grants_allow (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkGrantList) list = cmk_grant_list_load (cmk_kms_store (kms), key_id, &error);
  if (list == NULL)
    g_warning ("the grants of a key cannot be read, so nobody has any: %s", error->message);
  return list != NULL &&
         cmk_grant_list_allows (list, cmk_kms_owner (kms, caller), caller->groups, caller->n_groups, caller->operation);
}
