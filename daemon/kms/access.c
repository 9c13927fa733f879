/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/access.h"

#include "base/error.h"
#include "kms/grants.h"

G_DEFINE_QUARK (cmk - permit - needed, cmk_permit_needed)

/* --- permits --- */

/* What the answer depended on and may have changed since. */
static gboolean
covers (const CmkAccessQuestion *permit, const CmkAccessQuestion *question)
{
  return permit->action == question->action && permit->operation == question->operation &&
         permit->has_key == question->has_key && permit->has_facts == question->has_facts &&
         (!question->has_key || cmk_uuid_equal (&permit->key_id, &question->key_id)) &&
         (!question->has_facts || permit->expires_at == question->expires_at);
}

static gboolean
has_permit (const CmkAccess *access, const CmkAccessQuestion *question)
{
  for (guint i = 0; i < access->n_permits; i++)
    if (covers (&access->permits[i], question))
      return TRUE;
  return FALSE;
}

void
cmk_access_permit (CmkAccess *access)
{
  g_return_if_fail (access->n_permits < CMK_ACCESS_MAX_PERMITS);
  access->permits[access->n_permits++] = access->question;
}

gboolean
cmk_access_was_not_asked_for (const CmkAccess *access)
{
  return access->needs_permits && access->action != CMK_ACTION_NONE && access->n_permits == 0;
}

static gboolean
require (CmkAccess *access, const CmkAccessQuestion *question, GError **error)
{
  if (!access->needs_permits || question->action == CMK_ACTION_NONE || has_permit (access, question))
    return TRUE;
  if (access->n_permits == CMK_ACCESS_MAX_PERMITS)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                           "the key changed each time permission to use it was asked for: try again");
      return FALSE;
    }
  access->question = *question;
  g_set_error_literal (error, CMK_PERMIT_NEEDED, 0, "not permitted yet");
  return FALSE;
}

/* --- who sees what --- */

static gboolean
is_own (CmkKms *kms, const CmkCaller *caller, gint64 owner)
{
  return caller->uid == 0 || cmk_kms_owner (kms, caller) == owner;
}

static guint32
uid_of (CmkKms *kms, const CmkCaller *caller, gint64 owner)
{
  return is_own (kms, caller, owner) ? caller->uid : cmk_accounts_uid (cmk_kms_accounts (kms), owner);
}

static void
tell_facts (CmkAccessQuestion *question, guint32 owner_uid, CmkOrigin origin, CmkKeySpec spec, CmkKeyUsage usage,
            gint64 expires_at)
{
  question->has_facts = TRUE;
  question->owner_uid = owner_uid;
  question->origin = origin;
  question->spec = spec;
  question->usage = usage;
  question->expires_at = expires_at;
}

static CmkAccessQuestion
ask_about (CmkKms *kms, const CmkCaller *caller, CmkAction action, const CmkUuid *id, const CmkKeyRecord *record)
{
  CmkAccessQuestion question = { .action = action, .operation = caller->operation, .has_key = id != NULL };
  if (id != NULL)
    question.key_id = *id;
  if (record != NULL)
    tell_facts (&question, uid_of (kms, caller, record->owner), record->origin, record->spec, record->usage,
                record->expires_at);
  return question;
}

void
cmk_access_note_key (const CmkCaller *caller, const CmkUuid *id)
{
  CmkAccess *access = caller->access;
  for (guint i = 0; i < access->n_keys; i++)
    if (cmk_uuid_equal (&access->keys[i], id))
      return;
  if (access->n_keys < CMK_ACCESS_MAX_KEYS)
    access->keys[access->n_keys++] = *id;
}

gboolean
cmk_access_sees (CmkKms *kms, const CmkCaller *caller, const CmkKeyRecord *record)
{
  const CmkAccessQuestion others = ask_about (kms, caller, CMK_ACTION_MANAGE_OTHERS_KEYS, &record->id, record);
  return is_own (kms, caller, record->owner) || cmk_grants_allow (kms, caller, &record->id) ||
         has_permit (caller->access, &others);
}

gboolean
cmk_access_refuse (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkKeyRecord *record, GError **error)
{
  CmkAccess *access = caller->access;
  const CmkAccessQuestion others = ask_about (kms, caller, CMK_ACTION_MANAGE_OTHERS_KEYS, id, record);
  if (access->may_reach_others && !access->is_kept_to_own && !require (access, &others, error))
    return FALSE;
  cmk_kms_refuse_unknown_key (error);
  return FALSE;
}

gboolean
cmk_access_require (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkKeyRecord *record, GError **error)
{
  CmkAccess *access = caller->access;
  const CmkAccessQuestion others = ask_about (kms, caller, CMK_ACTION_MANAGE_OTHERS_KEYS, id, record);
  const CmkAccessQuestion own = ask_about (kms, caller, access->action, id, record);
  return (id != NULL && has_permit (access, &others)) || require (access, &own, error);
}

gboolean
cmk_access_require_active (CmkKms *kms, const CmkCaller *caller, const CmkActiveKey *key, GError **error)
{
  cmk_access_note_key (caller, &key->id);
  if (!is_own (kms, caller, key->owner) && !cmk_grant_list_allows (key->grants, cmk_kms_owner (kms, caller),
                                                                   caller->groups, caller->n_groups, caller->operation))
    {
      cmk_kms_refuse_unknown_key (error);
      return FALSE;
    }
  CmkAccessQuestion own = ask_about (kms, caller, caller->access->action, &key->id, NULL);
  tell_facts (&own, uid_of (kms, caller, key->owner), key->origin, key->spec, key->usage, key->expires_at);
  return require (caller->access, &own, error);
}
