/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoding: for each tag, sorted, name and value, each as its length in 4 bytes and itself. One set of tags has one
 * encoding. */
#include "kms/tags.h"

#include "base/error.h"
#include "cmkd.h"
#include "kms/bytes.h"

#include <string.h>

static int
compare_names (gconstpointer a, gconstpointer b, G_GNUC_UNUSED gpointer data)
{
  return strcmp (a, b);
}

GTree *
cmk_tags_new (void)
{
  return g_tree_new_full (compare_names, NULL, g_free, g_free);
}

gboolean
cmk_tags_check_count (GTree *tags, GError **error)
{
  if (g_tree_nnodes (tags) <= CMKD_MAX_TAGS_PER_KEY)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
               "a key may have %d tags: take others away with UntagResource first", CMKD_MAX_TAGS_PER_KEY);
  return FALSE;
}

static void
put_text (GByteArray *bytes, const char *text)
{
  cmk_bytes_put_u32 (bytes, (guint32) strlen (text));
  g_byte_array_append (bytes, (const guint8 *) text, (guint) strlen (text));
}

GBytes *
cmk_tags_encode (GTree *tags)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  for (GTreeNode *tag = g_tree_node_first (tags); tag != NULL; tag = g_tree_node_next (tag))
    {
      put_text (bytes, g_tree_node_key (tag));
      put_text (bytes, g_tree_node_value (tag));
    }
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

/* NULL if there is not one at *@position, of which *@left bytes are left; else both move on. */
static char *
get_text (const guint8 **position, gsize *left)
{
  if (*left < 4)
    return NULL;
  guint32 size = cmk_bytes_get_u32 (position);
  *left -= 4;
  const char *text = (const char *) *position;
  if (*left < size || !g_utf8_validate_len (text, size, NULL))
    return NULL;
  *position += size;
  *left -= size;
  return g_strndup (text, size);
}

static GTree *
decode (GBytes *encoding)
{
  gsize left;
  const guint8 *position = g_bytes_get_data (encoding, &left);
  g_autoptr (GTree) tags = cmk_tags_new ();
  while (left > 0)
    {
      g_autofree char *name = get_text (&position, &left);
      g_autofree char *value = name != NULL ? get_text (&position, &left) : NULL;
      if (value == NULL)
        return NULL;
      g_tree_insert (tags, g_steal_pointer (&name), g_steal_pointer (&value));
    }
  return g_steal_pointer (&tags);
}

GTree *
cmk_tags_load (CmkKms *kms, const CmkUuid *key_id, GError **error)
{
  g_autoptr (GBytes) encoding = cmk_store_get_tags (cmk_kms_store (kms), key_id, error);
  if (encoding == NULL)
    return NULL;
  GTree *tags = decode (encoding);
  /* They were authentic: another version wrote them. */
  if (tags == NULL)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                         "the tags of the key are in a form that this cmkd does not know: update it");
  return tags;
}

/* The key, if its tags may be changed, and the tags it has. */
static CmkKeyRecord *
load_taggable_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GTree **ret_tags, GError **error)
{
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return NULL;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, key, now, error);
  if (record == NULL || !cmk_kms_require_no_deletion (record->state, error))
    return NULL;
  *ret_tags = cmk_tags_load (kms, &record->id, error);
  return *ret_tags != NULL ? g_steal_pointer (&record) : NULL;
}

static gboolean
commit_tags (CmkKms *kms, const CmkKeyRecord *record, GTree *tags, GError **error)
{
  CmkStore *store = cmk_kms_store (kms);
  g_autoptr (GBytes) encoding = cmk_tags_encode (tags);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
  if (transaction == NULL || !cmk_store_put_tags (store, &record->id, encoding, error) ||
      !cmk_store_commit (transaction, error))
    return FALSE;
  cmk_kms_tell (kms, &record->id, record->state, "Updated");
  return TRUE;
}

gboolean
cmk_tags_add (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GTree *added, CmkUuid *ret_key_id,
              GError **error)
{
  g_autoptr (GTree) tags = NULL;
  g_autoptr (CmkKeyRecord) record = load_taggable_key (kms, caller, key, &tags, error);
  if (record == NULL)
    return FALSE;
  *ret_key_id = record->id;
  gboolean changed = FALSE;
  for (GTreeNode *tag = g_tree_node_first (added); tag != NULL; tag = g_tree_node_next (tag))
    {
      const char *name = g_tree_node_key (tag), *value = g_tree_node_value (tag);
      changed |= g_strcmp0 (g_tree_lookup (tags, name), value) != 0;
      g_tree_insert (tags, g_strdup (name), g_strdup (value));
    }
  return cmk_tags_check_count (tags, error) && (!changed || commit_tags (kms, record, tags, error));
}

gboolean
cmk_tags_remove (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, const char *const *names,
                 CmkUuid *ret_key_id, GError **error)
{
  g_autoptr (GTree) tags = NULL;
  g_autoptr (CmkKeyRecord) record = load_taggable_key (kms, caller, key, &tags, error);
  if (record == NULL)
    return FALSE;
  *ret_key_id = record->id;
  gboolean changed = FALSE;
  for (; *names != NULL; names++)
    changed |= g_tree_remove (tags, *names);
  return !changed || commit_tags (kms, record, tags, error);
}
