/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "bus/answer.h"
#include "bus/arguments.h"
#include "bus/pair-wait.h"
#include "cmkd.h"
#include "kms/deletion.h"
#include "kms/keys.h"

/* --- CreateKey --- */

static const CmkOption create_key_options[] = {
  { "Origin", "s" },          { "KeySpec", "s" },     { "KeyUsage", "s" },
  { "ProtectionLevel", "s" }, { "Description", "s" }, { "Alias", "s" },
  { "Tags", "a{ss}" },        { "KeyId", "s" },       { NULL, NULL },
};

typedef struct
{
  CmkCreateKeyRequest create;
  CmkPairWait wait; /* RSA */
} CreateKeyRequest;

static void
free_create_key (gpointer data)
{
  CreateKeyRequest *request = data;
  cmk_pair_wait_clear (&request->wait);
  g_free (request->create.description);
  g_free (request->create.alias);
  g_clear_pointer (&request->create.tags, g_tree_unref);
  g_free (request->create.id);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CreateKeyRequest, free_create_key)

/* The options that are more than a choice or a text. */
static gboolean
parse_names (GVariant *options, CmkCreateKeyRequest *create, GError **error)
{
  const char *key_id;
  CmkUuid id;
  if (g_variant_lookup (options, "KeyId", "&s", &key_id))
    {
      if (!cmk_arguments_parse_key_id ("KeyId", key_id, &id, error))
        return FALSE;
      create->id = g_memdup2 (&id, sizeof id);
    }
  if (g_variant_lookup (options, "Alias", "s", &create->alias) &&
      !cmk_arguments_check_alias ("Alias", create->alias, error))
    return FALSE;
  g_autoptr (GVariant) tags = g_variant_lookup_value (options, "Tags", G_VARIANT_TYPE ("a{ss}"));
  create->tags = tags != NULL ? cmk_arguments_parse_tags ("Tags", tags, error) : cmk_tags_new ();
  return create->tags != NULL;
}

static CreateKeyRequest *
parse_create_key (GVariant *options, GError **error)
{
  int origin = CMK_ORIGIN_CMKD_KMS;
  int spec = CMK_KEY_SPEC_AES_256;
  int protection_level = CMK_PROTECTION_LEVEL_SOFTWARE;
  const char *description = "";
  if (!cmk_arguments_check_options (options, create_key_options, error) ||
      !cmk_arguments_get_choice (options, "Origin", cmk_origins, &origin, error) ||
      !cmk_arguments_get_choice (options, "KeySpec", cmk_key_specs, &spec, error) ||
      !cmk_arguments_get_choice (options, "ProtectionLevel", cmk_protection_levels, &protection_level, error))
    return NULL;
  int usage = (int) cmk_key_spec_default_usage ((CmkKeySpec) spec);
  g_variant_lookup (options, "Description", "&s", &description);
  if (!cmk_arguments_get_choice (options, "KeyUsage", cmk_key_usages, &usage, error) ||
      !cmk_arguments_check_description ("Description", description, error))
    return NULL;
  g_autoptr (CreateKeyRequest) request = g_new0 (CreateKeyRequest, 1);
  request->create = (CmkCreateKeyRequest) { .origin = (CmkOrigin) origin,
                                            .spec = (CmkKeySpec) spec,
                                            .usage = (CmkKeyUsage) usage,
                                            .protection_level = (CmkProtectionLevel) protection_level,
                                            .description = g_strdup (description) };
  return parse_names (options, &request->create, error) ? g_steal_pointer (&request) : NULL;
}

static gboolean
run_create_key (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                GVariantDict *answer, GError **error)
{
  CreateKeyRequest *request = data;
  g_autoptr (CmkKeyMetadata) key =
      cmk_keys_create (kms, caller, &request->create, g_steal_pointer (&request->wait.pair), error);
  if (key == NULL)
    return FALSE;
  g_variant_dict_insert_value (answer, "KeyMetadata", cmk_answer_metadata (key));
  return TRUE;
}

static void
wait_for_pair (CmkCall *call, CmkKms *kms, const CmkCaller *caller, gpointer data)
{
  CreateKeyRequest *request = data;
  cmk_pair_wait_begin (&request->wait, call, kms, caller, cmk_keys_pair_spec (request->create.spec), NULL);
}

static gboolean
is_made_by_tpm (gconstpointer data)
{
  const CmkCreateKeyRequest *create = &((const CreateKeyRequest *) data)->create;
  return create->protection_level == CMK_PROTECTION_LEVEL_TPM && create->origin == CMK_ORIGIN_CMKD_KMS &&
         cmk_key_spec_rsa_bits (create->spec) != 0;
}

static const CmkMethod create_key = {
  .name = "CreateKey",
  .rate = CMK_RATE_KEYS,
  .run = run_create_key,
  .wait = wait_for_pair,
  .is_long = is_made_by_tpm,
  .free_request = free_create_key,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_create_key (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, GVariant *options,
               CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_create_key (options, &error);
  cmk_calls_begin (calls, invocation, &create_key, request, error);
  return TRUE;
}

/* --- methods that name a key --- */

typedef struct
{
  CmkKeyReference key;
  char *description; /* UpdateKeyDescription */
  guint days;        /* ScheduleKeyDeletion */
} KeyRequest;

static void
free_key_request (gpointer data)
{
  KeyRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_free (request->description);
  g_free (request);
}

static KeyRequest *
parse_key_request (const char *key, GError **error)
{
  KeyRequest *request = g_new0 (KeyRequest, 1);
  if (cmk_arguments_parse_key ("key", key, &request->key, error))
    return request;
  free_key_request (request);
  return NULL;
}

static gboolean
run_describe_key (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  g_autoptr (CmkKeyMetadata) key = cmk_keys_describe (kms, caller, &((KeyRequest *) request)->key, error);
  if (key == NULL)
    return FALSE;
  g_variant_dict_insert_value (answer, "KeyMetadata", cmk_answer_metadata (key));
  return TRUE;
}

static gboolean
run_set_enabled (CmkKms *kms, const CmkCaller *caller, const KeyRequest *request, gboolean enabled,
                 GVariantDict *answer, GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_keys_set_enabled (kms, caller, &request->key, enabled, error);
  if (record == NULL)
    return FALSE;
  cmk_answer_put_state (answer, record);
  return TRUE;
}

static gboolean
run_enable_key (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                GVariantDict *answer, GError **error)
{
  return run_set_enabled (kms, caller, request, TRUE, answer, error);
}

static gboolean
run_disable_key (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                 GVariantDict *answer, GError **error)
{
  return run_set_enabled (kms, caller, request, FALSE, answer, error);
}

static gboolean
run_update_key_description (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                            GVariantDict *answer, GError **error)
{
  const KeyRequest *request = data;
  g_autoptr (CmkKeyRecord) record =
      cmk_keys_update_description (kms, caller, &request->key, request->description, error);
  if (record == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &record->id);
  return TRUE;
}

static gboolean
run_schedule_key_deletion (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                           GVariantDict *answer, GError **error)
{
  const KeyRequest *request = data;
  g_autoptr (CmkKeyRecord) record = cmk_deletion_schedule (kms, caller, &request->key, request->days, error);
  if (record == NULL)
    return FALSE;
  cmk_answer_put_state (answer, record);
  g_variant_dict_insert (answer, "DeleteDate", "x", record->delete_at);
  return TRUE;
}

static gboolean
run_cancel_key_deletion (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
                         GVariantDict *answer, GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_deletion_cancel (kms, caller, &((KeyRequest *) request)->key, error);
  if (record == NULL)
    return FALSE;
  cmk_answer_put_state (answer, record);
  return TRUE;
}

static const CmkMethod describe_key = {
  .name = "DescribeKey",
  .run = run_describe_key,
  .free_request = free_key_request,
  .weight = CMK_AUDIT_STATUS,
};

static const CmkMethod enable_key = {
  .name = "EnableKey",
  .run = run_enable_key,
  .free_request = free_key_request,
  .weight = CMK_AUDIT_CHANGE,
};

static const CmkMethod disable_key = {
  .name = "DisableKey",
  .run = run_disable_key,
  .free_request = free_key_request,
  .weight = CMK_AUDIT_CHANGE,
};

static const CmkMethod update_key_description = {
  .name = "UpdateKeyDescription",
  .run = run_update_key_description,
  .free_request = free_key_request,
  .weight = CMK_AUDIT_CHANGE,
};

static const CmkMethod schedule_key_deletion = {
  .name = "ScheduleKeyDeletion",
  .run = run_schedule_key_deletion,
  .free_request = free_key_request,
  .weight = CMK_AUDIT_CHANGE,
};

static const CmkMethod cancel_key_deletion = {
  .name = "CancelKeyDeletion",
  .run = run_cancel_key_deletion,
  .free_request = free_key_request,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
begin_key_call (GDBusMethodInvocation *invocation, const char *key, const CmkMethod *method, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_key_request (key, &error);
  cmk_calls_begin (calls, invocation, method, request, error);
  return TRUE;
}

static gboolean
on_describe_key (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                 CmkCalls *calls)
{
  return begin_key_call (invocation, key, &describe_key, calls);
}

static gboolean
on_enable_key (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key, CmkCalls *calls)
{
  return begin_key_call (invocation, key, &enable_key, calls);
}

static gboolean
on_disable_key (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                CmkCalls *calls)
{
  return begin_key_call (invocation, key, &disable_key, calls);
}

static gboolean
on_update_key_description (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                           const char *description, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  KeyRequest *request = NULL;
  if (cmk_arguments_check_description ("description", description, &error))
    request = parse_key_request (key, &error);
  if (request != NULL)
    request->description = g_strdup (description);
  cmk_calls_begin (calls, invocation, &update_key_description, request, error);
  return TRUE;
}

static gboolean
on_schedule_key_deletion (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                          GVariant *options, CmkCalls *calls)
{
  static const CmkOption known_options[] = { { "PendingWindowInDays", "u" }, { NULL, NULL } };
  g_autoptr (GError) error = NULL;
  guint days = CMKD_DEFAULT_PENDING_WINDOW_DAYS;
  KeyRequest *request = NULL;
  if (cmk_arguments_check_options (options, known_options, &error) &&
      cmk_arguments_get_uint (options, "PendingWindowInDays", CMKD_MIN_PENDING_WINDOW_DAYS,
                              CMKD_MAX_PENDING_WINDOW_DAYS, &days, &error))
    request = parse_key_request (key, &error);
  if (request != NULL)
    request->days = days;
  cmk_calls_begin (calls, invocation, &schedule_key_deletion, request, error);
  return TRUE;
}

static gboolean
on_cancel_key_deletion (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                        CmkCalls *calls)
{
  return begin_key_call (invocation, key, &cancel_key_deletion, calls);
}

/* --- ListKeys --- */

static const CmkOption list_keys_options[] = {
  { "Limit", "u" }, { "Marker", "s" }, { "KeyState", "s" }, { "KeySpec", "s" }, { "Origin", "s" }, { NULL, NULL },
};

static void
free_list_keys (gpointer data)
{
  CmkListKeysRequest *request = data;
  g_free (request->marker);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkListKeysRequest, free_list_keys)

static CmkListKeysRequest *
parse_list_keys (GVariant *options, GError **error)
{
  g_autoptr (CmkListKeysRequest) request = g_new0 (CmkListKeysRequest, 1);
  request->limit = CMKD_DEFAULT_LIST_LIMIT;
  if (!cmk_arguments_check_options (options, list_keys_options, error) ||
      !cmk_arguments_get_uint (options, "Limit", 1, CMKD_MAX_LIST_LIMIT, &request->limit, error) ||
      !cmk_arguments_get_choice (options, "KeyState", cmk_key_states, &request->state, error) ||
      !cmk_arguments_get_choice (options, "KeySpec", cmk_key_specs, &request->spec, error) ||
      !cmk_arguments_get_choice (options, "Origin", cmk_origins, &request->origin, error))
    return NULL;
  if (!g_variant_lookup (options, "Marker", "s", &request->marker))
    request->marker = g_strdup ("");
  return g_steal_pointer (&request);
}

static gboolean
run_list_keys (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
               GVariantDict *answer, GError **error)
{
  g_autofree char *next_marker = NULL;
  g_autoptr (GPtrArray) keys = cmk_keys_list (kms, caller, request, &next_marker, error);
  if (keys == NULL)
    return FALSE;
  g_auto (GVariantBuilder) list = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < keys->len; i++)
    g_variant_builder_add_value (&list, cmk_answer_metadata (g_ptr_array_index (keys, i)));
  g_variant_dict_insert_value (answer, "Keys", g_variant_builder_end (&list));
  g_variant_dict_insert (answer, "NextMarker", "s", next_marker);
  return TRUE;
}

static const CmkMethod list_keys = {
  .name = "ListKeys",
  .run = run_list_keys,
  .free_request = free_list_keys,
  .weight = CMK_AUDIT_STATUS,
};

static gboolean
on_list_keys (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, GVariant *options,
              CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_list_keys (options, &error);
  cmk_calls_begin (calls, invocation, &list_keys, request, error);
  return TRUE;
}

void
cmk_bus_serve_keys (CmkDBusKeys *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-create-key", G_CALLBACK (on_create_key), calls);
  g_signal_connect (skeleton, "handle-describe-key", G_CALLBACK (on_describe_key), calls);
  g_signal_connect (skeleton, "handle-list-keys", G_CALLBACK (on_list_keys), calls);
  g_signal_connect (skeleton, "handle-enable-key", G_CALLBACK (on_enable_key), calls);
  g_signal_connect (skeleton, "handle-disable-key", G_CALLBACK (on_disable_key), calls);
  g_signal_connect (skeleton, "handle-update-key-description", G_CALLBACK (on_update_key_description), calls);
  g_signal_connect (skeleton, "handle-schedule-key-deletion", G_CALLBACK (on_schedule_key_deletion), calls);
  g_signal_connect (skeleton, "handle-cancel-key-deletion", G_CALLBACK (on_cancel_key_deletion), calls);
  cmk_bus_serve_aliases (skeleton, calls);
  cmk_bus_serve_tags (skeleton, calls);
  cmk_bus_serve_grants (skeleton, calls);
}
