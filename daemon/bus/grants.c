/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base/error.h"
#include "bus/account.h"
#include "bus/answer.h"
#include "bus/arguments.h"
#include "kms/grants.h"

/* What GrantKey asks for; the others take less of it. */
typedef struct
{
  CmkGrantRequest grant;
  CmkUuid id;      /* RevokeGrant; of GrantKey, once it is done */
  gboolean has_id; /* it is known */
} GrantRequest;

static void
free_grant_request (gpointer data)
{
  GrantRequest *request = data;
  cmk_key_reference_clear (&request->grant.key);
  g_free (request->grant.account);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GrantRequest, free_grant_request)

static GrantRequest *
parse_key (const char *key, GError **error)
{
  g_autoptr (GrantRequest) request = g_new0 (GrantRequest, 1);
  return cmk_arguments_parse_key ("key", key, &request->grant.key, error) ? g_steal_pointer (&request) : NULL;
}

/* --- GrantKey --- */

static gboolean
parse_operations (const char *const *names, guint *ret_operations, GError **error)
{
  for (; *names != NULL; names++)
    {
      int operation;
      if (!cmk_arguments_parse_choice ("operations", *names, cmk_operations, &operation, error))
        return FALSE;
      *ret_operations |= (guint) operation;
    }
  if (*ret_operations != 0)
    return TRUE;
  g_autofree char *known = cmk_spec_list (cmk_operations);
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "operations: must be at least one of %s", known);
  return FALSE;
}

static gboolean
parse_grantee (GVariant *options, CmkGrantRequest *request, GError **error)
{
  static const CmkOption known_options[] = { { "User", "u" }, { "Group", "u" }, { NULL, NULL } };
  if (!cmk_arguments_check_options (options, known_options, error))
    return FALSE;
  gboolean is_user = g_variant_lookup (options, "User", "u", &request->grantee);
  gboolean is_group = g_variant_lookup (options, "Group", "u", &request->grantee);
  request->grantee_kind = is_user ? CMK_GRANTEE_USER : CMK_GRANTEE_GROUP;
  /* The last number stands for no user and no group. */
  if (is_user != is_group && request->grantee != G_MAXUINT32)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                       "options: say exactly one of User, a uid, and Group, a gid");
  return FALSE;
}

static GrantRequest *
parse_grant_key (const char *key, const char *const *operations, GVariant *options, GError **error)
{
  g_autoptr (GrantRequest) request = parse_key (key, error);
  if (request == NULL || !parse_operations (operations, &request->grant.operations, error) ||
      !parse_grantee (options, &request->grant, error))
    return NULL;
  return g_steal_pointer (&request);
}

static gboolean
run_grant_key (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
               GVariantDict *answer, GError **error)
{
  GrantRequest *request = data;
  CmkUuid key_id;
  request->has_id = cmk_grants_create (kms, caller, &request->grant, &request->id, &key_id, error);
  if (!request->has_id)
    return FALSE;
  cmk_answer_put_key_id (answer, "GrantId", &request->id);
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return TRUE;
}

typedef struct
{
  CmkCall *call;
  CmkGrantRequest *request;
} Waiting;

static void
on_account (G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Waiting *waiting = data;
  g_autoptr (GError) error = NULL;
  waiting->request->account = cmk_account_look_up_finish (result, &error);
  if (g_error_matches (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER))
    g_prefix_error (&error, "options: User: ");
  cmk_call_resume (waiting->call, error);
}

static void
wait_for_account (CmkCall *call, G_GNUC_UNUSED CmkKms *kms, const CmkCaller *caller, gpointer request)
{
  Waiting *waiting = g_new (Waiting, 1);
  *waiting = (Waiting) { .call = call, .request = &((GrantRequest *) request)->grant };
  cmk_account_look_up (caller->uid, waiting->request->grantee, NULL, on_account, waiting);
}

static CmkAuditFact
tell_id (const GrantRequest *request)
{
  char id[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (&request->id, id);
  return (CmkAuditFact) { "CMKD_GRANT_ID", "grant", request->has_id ? g_strdup (id) : NULL };
}

static void
tell_grant (gconstpointer data, CmkAuditFact *ret_facts)
{
  const GrantRequest *request = data;
  const CmkGrantRequest *grant = &request->grant;
  g_autoptr (GString) names = g_string_new (NULL);
  for (const CmkSpecName *operation = cmk_operations; operation->name != NULL; operation++)
    if ((grant->operations & (guint) operation->value) != 0)
      g_string_append_printf (names, "%s%s", names->len > 0 ? "," : "", operation->name);
  ret_facts[0] = tell_id (request);
  ret_facts[1] = (CmkAuditFact) { "CMKD_GRANTEE", "to",
                                  g_strdup_printf ("%s:%u", grant->grantee_kind == CMK_GRANTEE_USER ? "uid" : "gid",
                                                   grant->grantee) };
  ret_facts[2] = (CmkAuditFact) { "CMKD_GRANTED_OPERATIONS", "of", g_string_free (g_steal_pointer (&names), FALSE) };
}

static const CmkMethod grant_key = {
  .name = "GrantKey",
  .run = run_grant_key,
  .wait = wait_for_account,
  .tell_facts = tell_grant,
  .rate = CMK_RATE_KEYS,
  .free_request = free_grant_request,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_grant_key (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
              const char *const *operations, GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_grant_key (key, operations, options, &error);
  cmk_calls_begin (calls, invocation, &grant_key, request, error);
  return TRUE;
}

/* --- RevokeGrant --- */

static GrantRequest *
parse_revoke_grant (const char *key, const char *grant_id, GError **error)
{
  g_autoptr (GrantRequest) request = parse_key (key, error);
  if (request == NULL || !cmk_arguments_parse_key_id ("grant_id", grant_id, &request->id, error))
    return NULL;
  request->has_id = TRUE;
  return g_steal_pointer (&request);
}

static gboolean
run_revoke_grant (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  const GrantRequest *request = data;
  CmkUuid key_id;
  if (!cmk_grants_revoke (kms, caller, &request->grant.key, &request->id, &key_id, error))
    return FALSE;
  cmk_answer_put_key_id (answer, "GrantId", &request->id);
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return TRUE;
}

static void
tell_revoked (gconstpointer request, CmkAuditFact *ret_facts)
{
  ret_facts[0] = tell_id (request);
}

static const CmkMethod revoke_grant = {
  .name = "RevokeGrant",
  .run = run_revoke_grant,
  .tell_facts = tell_revoked,
  .free_request = free_grant_request,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_revoke_grant (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                 const char *grant_id, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_revoke_grant (key, grant_id, &error);
  cmk_calls_begin (calls, invocation, &revoke_grant, request, error);
  return TRUE;
}

/* --- ListGrants --- */

static GVariant *
list_operations (guint operations)
{
  g_auto (GVariantBuilder) names = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("as"));
  for (const CmkSpecName *operation = cmk_operations; operation->name != NULL; operation++)
    if ((operations & (guint) operation->value) != 0)
      g_variant_builder_add (&names, "s", operation->name);
  return g_variant_builder_end (&names);
}

static GVariant *
describe_grant (CmkAccounts *accounts, const CmkGrantRecord *record)
{
  gboolean is_user = record->grantee_kind == CMK_GRANTEE_USER;
  g_auto (GVariantDict) grant;
  g_variant_dict_init (&grant, NULL);
  cmk_answer_put_key_id (&grant, "GrantId", &record->id);
  g_variant_dict_insert (&grant, is_user ? "User" : "Group", "u",
                         is_user ? cmk_accounts_uid (accounts, record->grantee) : (guint32) record->grantee);
  g_variant_dict_insert_value (&grant, "Operations", list_operations (record->operations));
  g_variant_dict_insert (&grant, "CreationDate", "x", record->created_at);
  return g_variant_dict_end (&grant);
}

static gboolean
run_list_grants (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                 GVariantDict *answer, GError **error)
{
  g_autoptr (CmkGrantList) grants = cmk_grants_list (kms, caller, &((GrantRequest *) request)->grant.key, error);
  if (grants == NULL)
    return FALSE;
  const GArray *records = cmk_grant_list_records (grants);
  g_auto (GVariantBuilder) list = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < records->len; i++)
    g_variant_builder_add_value (&list,
                                 describe_grant (cmk_kms_accounts (kms), &g_array_index (records, CmkGrantRecord, i)));
  g_variant_dict_insert_value (answer, "Grants", g_variant_builder_end (&list));
  return TRUE;
}

static const CmkMethod list_grants = {
  .name = "ListGrants",
  .run = run_list_grants,
  .free_request = free_grant_request,
  .weight = CMK_AUDIT_STATUS,
};

static gboolean
on_list_grants (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_key (key, &error);
  cmk_calls_begin (calls, invocation, &list_grants, request, error);
  return TRUE;
}

void
cmk_bus_serve_grants (CmkDBusKeys *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-grant-key", G_CALLBACK (on_grant_key), calls);
  g_signal_connect (skeleton, "handle-revoke-grant", G_CALLBACK (on_revoke_grant), calls);
  g_signal_connect (skeleton, "handle-list-grants", G_CALLBACK (on_list_grants), calls);
}
