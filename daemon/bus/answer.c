/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/answer.h"

#include "base64.h"

static GVariant *
list_aliases (GPtrArray *aliases)
{
  g_auto (GVariantBuilder) names = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < aliases->len; i++)
    g_variant_builder_add (&names, "s", ((const CmkAliasRecord *) aliases->pdata[i])->name);
  return g_variant_builder_end (&names);
}

static GVariant *
list_tags (GTree *tags)
{
  g_auto (GVariantBuilder) pairs = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));
  for (GTreeNode *tag = g_tree_node_first (tags); tag != NULL; tag = g_tree_node_next (tag))
    g_variant_builder_add (&pairs, "{ss}", g_tree_node_key (tag), g_tree_node_value (tag));
  return g_variant_builder_end (&pairs);
}

GVariant *
cmk_answer_metadata (const CmkKeyMetadata *key)
{
  const CmkKeyRecord *record = key->record;
  g_auto (GVariantDict) metadata;
  g_variant_dict_init (&metadata, NULL);
  cmk_answer_put_state (&metadata, record);
  g_variant_dict_insert (&metadata, "KeySpec", "s", cmk_spec_name (cmk_key_specs, (int) record->spec));
  g_variant_dict_insert (&metadata, "KeyUsage", "s", cmk_spec_name (cmk_key_usages, (int) record->usage));
  g_variant_dict_insert (&metadata, "Origin", "s", cmk_spec_name (cmk_origins, (int) record->origin));
  g_variant_dict_insert (&metadata, "ProtectionLevel", "s",
                         cmk_spec_name (cmk_protection_levels, (int) record->protection_level));
  g_variant_dict_insert (&metadata, "Description", "s", record->description);
  g_variant_dict_insert (&metadata, "Creator", "u", key->creator);
  g_variant_dict_insert (&metadata, "CreationDate", "x", record->created_at);
  g_variant_dict_insert (&metadata, "DeleteDate", "x", record->delete_at);
  g_variant_dict_insert (&metadata, "MaterialExpireTime", "x", record->expires_at);
  g_variant_dict_insert_value (&metadata, "Aliases", list_aliases (key->aliases));
  g_variant_dict_insert_value (&metadata, "Tags", list_tags (key->tags));
  return g_variant_dict_end (&metadata);
}

void
cmk_answer_put_key_id (GVariantDict *answer, const char *field, const CmkUuid *id)
{
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (id, text);
  g_variant_dict_insert (answer, field, "s", text);
}

void
cmk_answer_put_state (GVariantDict *answer, const CmkKeyRecord *record)
{
  cmk_answer_put_key_id (answer, "KeyId", &record->id);
  g_variant_dict_insert (answer, "KeyState", "s", cmk_spec_name (cmk_key_states, (int) record->state));
}

/* Takes over what @release frees. Base64 need not be searched for bad UTF-8, as GVariant would with any string. */
static void
put_base64 (GVariantDict *answer, const char *field, const char *text, gsize chars, GDestroyNotify release,
            gpointer released)
{
  g_variant_dict_insert_value (
      answer, field, g_variant_new_from_data (G_VARIANT_TYPE_STRING, text, chars + 1, TRUE, release, released));
}

void
cmk_answer_put_bytes (GVariantDict *answer, const char *field, GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  gsize chars = CMK_BASE64_CHARS (size);
  char *text = g_malloc (chars + 1);
  cmk_base64_encode (data, size, text);
  put_base64 (answer, field, text, chars, g_free, text);
}

gboolean
cmk_answer_put_secret (GVariantDict *answer, const char *field, const CmkSecret *secret, GError **error)
{
  gsize size = cmk_secret_length (secret);
  gsize chars = CMK_BASE64_CHARS (size);
  CmkSecret *text = cmk_secret_new (chars + 1, error);
  if (text == NULL)
    return FALSE;
  cmk_base64_encode (cmk_secret_peek (secret), size, (char *) cmk_secret_data (text));
  put_base64 (answer, field, (const char *) cmk_secret_peek (text), chars, (GDestroyNotify) cmk_secret_free, text);
  return TRUE;
}
