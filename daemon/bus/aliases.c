/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "bus/answer.h"
#include "bus/arguments.h"
#include "cmkd.h"
#include "kms/aliases.h"

/* --- CreateAlias, UpdateAlias, DeleteAlias --- */

typedef struct
{
  char *alias;
  CmkKeyReference key; /* but for DeleteAlias */
} AliasRequest;

static void
free_alias_request (gpointer data)
{
  AliasRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_free (request->alias);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AliasRequest, free_alias_request)

/* @key is NULL where the method has none. */
static AliasRequest *
parse_alias_request (const char *alias, const char *key, GError **error)
{
  g_autoptr (AliasRequest) request = g_new0 (AliasRequest, 1);
  if (!cmk_arguments_check_alias ("alias", alias, error) ||
      (key != NULL && !cmk_arguments_parse_key ("key", key, &request->key, error)))
    return NULL;
  request->alias = g_strdup (alias);
  return g_steal_pointer (&request);
}

typedef gboolean (*SetAlias) (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkKeyReference *key,
                              CmkUuid *ret_key_id, GError **error);

static gboolean
set_alias (SetAlias set, CmkKms *kms, const CmkCaller *caller, const AliasRequest *request, GVariantDict *answer,
           GError **error)
{
  CmkUuid key_id;
  if (!set (kms, caller, request->alias, &request->key, &key_id, error))
    return FALSE;
  g_variant_dict_insert (answer, "AliasName", "s", request->alias);
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return TRUE;
}

static gboolean
run_create_alias (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  return set_alias (cmk_aliases_create, kms, caller, request, answer, error);
}

static gboolean
run_update_alias (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  return set_alias (cmk_aliases_update, kms, caller, request, answer, error);
}

static gboolean
run_delete_alias (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  const AliasRequest *request = data;
  if (!cmk_aliases_delete (kms, caller, request->alias, error))
    return FALSE;
  g_variant_dict_insert (answer, "AliasName", "s", request->alias);
  return TRUE;
}

static const CmkMethod create_alias = {
  .name = "CreateAlias",
  .run = run_create_alias,
  .free_request = free_alias_request,
  .weight = CMK_AUDIT_CHANGE,
};

static const CmkMethod update_alias = {
  .name = "UpdateAlias",
  .run = run_update_alias,
  .free_request = free_alias_request,
  .weight = CMK_AUDIT_CHANGE,
};

static const CmkMethod delete_alias = {
  .name = "DeleteAlias",
  .run = run_delete_alias,
  .free_request = free_alias_request,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
begin_alias_call (GDBusMethodInvocation *invocation, const char *alias, const char *key, const CmkMethod *method,
                  CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_alias_request (alias, key, &error);
  cmk_calls_begin (calls, invocation, method, request, error);
  return TRUE;
}

static gboolean
on_create_alias (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *alias,
                 const char *key, CmkCalls *calls)
{
  return begin_alias_call (invocation, alias, key, &create_alias, calls);
}

static gboolean
on_update_alias (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *alias,
                 const char *key, CmkCalls *calls)
{
  return begin_alias_call (invocation, alias, key, &update_alias, calls);
}

static gboolean
on_delete_alias (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *alias,
                 CmkCalls *calls)
{
  return begin_alias_call (invocation, alias, NULL, &delete_alias, calls);
}

/* --- ListAliases --- */

static void
free_list_aliases (gpointer data)
{
  CmkListAliasesRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_free (request->marker);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkListAliasesRequest, free_list_aliases)

static CmkListAliasesRequest *
parse_list_aliases (GVariant *options, GError **error)
{
  static const CmkOption known_options[] = { { "KeyId", "s" }, { "Limit", "u" }, { "Marker", "s" }, { NULL, NULL } };
  g_autoptr (CmkListAliasesRequest) request = g_new0 (CmkListAliasesRequest, 1);
  request->limit = CMKD_DEFAULT_LIST_LIMIT;
  const char *key;
  if (!cmk_arguments_check_options (options, known_options, error) ||
      !cmk_arguments_get_uint (options, "Limit", 1, CMKD_MAX_LIST_LIMIT, &request->limit, error))
    return NULL;
  request->has_key = g_variant_lookup (options, "KeyId", "&s", &key);
  if (request->has_key && !cmk_arguments_parse_key ("KeyId", key, &request->key, error))
    return NULL;
  if (!g_variant_lookup (options, "Marker", "s", &request->marker))
    request->marker = g_strdup ("");
  return g_steal_pointer (&request);
}

static GVariant *
list_alias (const CmkAliasRecord *alias)
{
  g_auto (GVariantDict) entry;
  g_variant_dict_init (&entry, NULL);
  g_variant_dict_insert (&entry, "AliasName", "s", alias->name);
  cmk_answer_put_key_id (&entry, "KeyId", &alias->key_id);
  return g_variant_dict_end (&entry);
}

static gboolean
run_list_aliases (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  g_autofree char *next_marker = NULL;
  g_autoptr (GPtrArray) aliases = cmk_aliases_list (kms, caller, request, &next_marker, error);
  if (aliases == NULL)
    return FALSE;
  g_auto (GVariantBuilder) list = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < aliases->len; i++)
    g_variant_builder_add_value (&list, list_alias (g_ptr_array_index (aliases, i)));
  g_variant_dict_insert_value (answer, "Aliases", g_variant_builder_end (&list));
  g_variant_dict_insert (answer, "NextMarker", "s", next_marker);
  return TRUE;
}

static const CmkMethod list_aliases = {
  .name = "ListAliases",
  .run = run_list_aliases,
  .free_request = free_list_aliases,
  .weight = CMK_AUDIT_STATUS,
};

static gboolean
on_list_aliases (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, GVariant *options,
                 CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_list_aliases (options, &error);
  cmk_calls_begin (calls, invocation, &list_aliases, request, error);
  return TRUE;
}

void
cmk_bus_serve_aliases (CmkDBusKeys *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-create-alias", G_CALLBACK (on_create_alias), calls);
  g_signal_connect (skeleton, "handle-update-alias", G_CALLBACK (on_update_alias), calls);
  g_signal_connect (skeleton, "handle-delete-alias", G_CALLBACK (on_delete_alias), calls);
  g_signal_connect (skeleton, "handle-list-aliases", G_CALLBACK (on_list_aliases), calls);
}
