/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "bus/answer.h"
#include "bus/arguments.h"
#include "kms/tags.h"

typedef struct
{
  CmkKeyReference key;
  GTree *tags;  /* TagResource */
  char **names; /* UntagResource */
} TagRequest;

static void
free_tag_request (gpointer data)
{
  TagRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_clear_pointer (&request->tags, g_tree_unref);
  g_strfreev (request->names);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TagRequest, free_tag_request)

/* --- TagResource --- */

static TagRequest *
parse_tag_resource (const char *key, GVariant *tags, GError **error)
{
  g_autoptr (TagRequest) request = g_new0 (TagRequest, 1);
  if (!cmk_arguments_parse_key ("key", key, &request->key, error))
    return NULL;
  request->tags = cmk_arguments_parse_tags ("tags", tags, error);
  return request->tags != NULL ? g_steal_pointer (&request) : NULL;
}

static gboolean
run_tag_resource (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                  GVariantDict *answer, GError **error)
{
  const TagRequest *request = data;
  CmkUuid key_id;
  if (!cmk_tags_add (kms, caller, &request->key, request->tags, &key_id, error))
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return TRUE;
}

static const CmkMethod tag_resource = {
  .name = "TagResource",
  .run = run_tag_resource,
  .free_request = free_tag_request,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_tag_resource (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                 GVariant *tags, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_tag_resource (key, tags, &error);
  cmk_calls_begin (calls, invocation, &tag_resource, request, error);
  return TRUE;
}

/* --- UntagResource --- */

static TagRequest *
parse_untag_resource (const char *key, const char *const *names, GError **error)
{
  g_autoptr (TagRequest) request = g_new0 (TagRequest, 1);
  if (!cmk_arguments_parse_key ("key", key, &request->key, error))
    return NULL;
  for (gsize i = 0; names[i] != NULL; i++)
    if (!cmk_arguments_check_tag_name ("tag_names", names[i], error))
      return NULL;
  request->names = g_strdupv ((char **) names);
  return g_steal_pointer (&request);
}

static gboolean
run_untag_resource (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                    GVariantDict *answer, GError **error)
{
  const TagRequest *request = data;
  CmkUuid key_id;
  if (!cmk_tags_remove (kms, caller, &request->key, (const char *const *) request->names, &key_id, error))
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return TRUE;
}

static const CmkMethod untag_resource = {
  .name = "UntagResource",
  .run = run_untag_resource,
  .free_request = free_tag_request,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_untag_resource (G_GNUC_UNUSED CmkDBusKeys *skeleton, GDBusMethodInvocation *invocation, const char *key,
                   const char *const *names, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_untag_resource (key, names, &error);
  cmk_calls_begin (calls, invocation, &untag_resource, request, error);
  return TRUE;
}

void
cmk_bus_serve_tags (CmkDBusKeys *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-tag-resource", G_CALLBACK (on_tag_resource), calls);
  g_signal_connect (skeleton, "handle-untag-resource", G_CALLBACK (on_untag_resource), calls);
}
