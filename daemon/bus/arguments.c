/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/arguments.h"

#include "base64.h"
#include "base/error.h"
#include "cmkd.h"
#include "kms/encryption-context.h"
#include "kms/tags.h"

#include <string.h>

#define MAX_OPTION_CHARS 64

G_GNUC_PRINTF (3, 4)
static gboolean
refuse (GError **error, const char *name, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *rule = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "%s: %s", name, rule);
  return FALSE;
}

static gboolean
consists_of (const char *text, gsize minimum, gsize maximum, const char *extra_characters)
{
  gsize length = strlen (text);
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (text[i]) && strchr (extra_characters, text[i]) == NULL)
      return FALSE;
  return length >= minimum && length <= maximum;
}

/* --- options --- */

static char *
list_names (const CmkOption *table)
{
  GString *names = g_string_new (NULL);
  for (const CmkOption *option = table; option->name != NULL; option++)
    g_string_append_printf (names, "%s%s", option == table ? "" : ", ", option->name);
  return g_string_free (names, FALSE);
}

static const CmkOption *
find_option (const CmkOption *table, const char *name)
{
  for (; table->name != NULL; table++)
    if (g_str_equal (table->name, name))
      return table;
  return NULL;
}

gboolean
cmk_arguments_check_options (GVariant *options, const CmkOption *table, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  for (gsize i = 0; i < g_variant_n_children (options); i++)
    {
      const char *name;
      g_autoptr (GVariant) value = NULL;
      g_variant_get_child (options, i, "{&sv}", &name, &value);
      const CmkOption *option = find_option (table, name);
      if (option == NULL)
        {
          g_autofree char *names = list_names (table);
          gboolean harmless = consists_of (name, 1, MAX_OPTION_CHARS, "_");
          return refuse (error, harmless ? name : "options", "unknown option; known are: %s",
                         *names != '\0' ? names : "none");
        }
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE (option->type)))
        return refuse (error, option->name, "must have the D-Bus type %s", option->type);
      if (!g_hash_table_add (seen, (gpointer) option->name))
        return refuse (error, option->name, "must not be given twice");
    }
  return TRUE;
}

gboolean
cmk_arguments_get_choice (GVariant *options, const char *name, const CmkSpecName *set, int *ret, GError **error)
{
  const char *text;
  return !g_variant_lookup (options, name, "&s", &text) || cmk_arguments_parse_choice (name, text, set, ret, error);
}

gboolean
cmk_arguments_get_uint (GVariant *options, const char *name, guint minimum, guint maximum, guint *ret, GError **error)
{
  guint value;
  if (!g_variant_lookup (options, name, "u", &value))
    return TRUE;
  if (value < minimum || value > maximum)
    return refuse (error, name, "must be from %u to %u", minimum, maximum);
  *ret = value;
  return TRUE;
}

GBytes *
cmk_arguments_get_context (GVariant *options, const char *name, GError **error)
{
  g_autoptr (GVariant) context = g_variant_lookup_value (options, name, G_VARIANT_TYPE ("a{ss}"));
  gsize n_pairs = context != NULL ? g_variant_n_children (context) : 0;
  if (n_pairs > CMKD_MAX_CONTEXT_BYTES) /* no name is empty: refused before a million of them is sorted */
    {
      refuse (error, name, "names and values together must not exceed %d bytes", CMKD_MAX_CONTEXT_BYTES);
      return NULL;
    }
  g_autofree CmkEncryptionContextPair *pairs = g_new (CmkEncryptionContextPair, n_pairs);
  for (gsize i = 0; i < n_pairs; i++)
    g_variant_get_child (context, i, "{&s&s}", &pairs[i].name, &pairs[i].value);
  return cmk_encryption_context_encode (pairs, n_pairs, name, error);
}

/* --- positional arguments --- */

gboolean
cmk_arguments_parse_choice (const char *name, const char *text, const CmkSpecName *set, int *ret, GError **error)
{
  if (cmk_spec_parse (set, text, ret))
    return TRUE;
  g_autofree char *list = cmk_spec_list (set);
  return refuse (error, name, "must be %s", list);
}

gboolean
cmk_arguments_parse_key_id (const char *name, const char *text, CmkUuid *ret, GError **error)
{
  if (cmk_uuid_parse (text, ret))
    return TRUE;
  return refuse (error, name, "must be a key id, a lower-case UUID of 36 characters");
}

gboolean
cmk_arguments_check_alias (const char *name, const char *text, GError **error)
{
  if (g_str_has_prefix (text, CMKD_ALIAS_PREFIX) &&
      consists_of (text + strlen (CMKD_ALIAS_PREFIX), 1, CMKD_MAX_ALIAS_CHARS, "_/-"))
    return TRUE;
  return refuse (error, name, "an alias is " CMKD_ALIAS_PREFIX " and 1 to %d characters of A-Z, a-z, 0-9, _, / and -",
                 CMKD_MAX_ALIAS_CHARS);
}

gboolean
cmk_arguments_parse_key (const char *name, const char *text, CmkKeyReference *ret, GError **error)
{
  if (g_str_has_prefix (text, CMKD_ALIAS_PREFIX))
    {
      if (!cmk_arguments_check_alias (name, text, error))
        return FALSE;
      ret->alias = g_strdup (text);
      return TRUE;
    }
  if (cmk_uuid_parse (text, &ret->id))
    return TRUE;
  return refuse (error, name,
                 "must be a key id (a lower-case UUID of 36 characters) or an alias (" CMKD_ALIAS_PREFIX "NAME)");
}

gboolean
cmk_arguments_check_tag_name (const char *name, const char *text, GError **error)
{
  if (*text != '\0' && g_utf8_strlen (text, -1) <= CMKD_MAX_TAG_NAME_CHARS)
    return TRUE;
  return refuse (error, name, "the name of a tag has 1 to %d characters", CMKD_MAX_TAG_NAME_CHARS);
}

GTree *
cmk_arguments_parse_tags (const char *name, GVariant *pairs, GError **error)
{
  g_autoptr (GTree) tags = cmk_tags_new ();
  gsize n_pairs = MIN (g_variant_n_children (pairs), CMKD_MAX_TAGS_PER_KEY + 1);
  for (gsize i = 0; i < n_pairs; i++)
    {
      const char *tag, *value;
      g_variant_get_child (pairs, i, "{&s&s}", &tag, &value);
      if (!cmk_arguments_check_tag_name (name, tag, error))
        return NULL;
      if (g_utf8_strlen (value, -1) > CMKD_MAX_TAG_VALUE_CHARS)
        {
          refuse (error, name, "the value of a tag has at most %d characters", CMKD_MAX_TAG_VALUE_CHARS);
          return NULL;
        }
      if (g_tree_lookup (tags, tag) != NULL)
        {
          refuse (error, name, "a name must not occur twice");
          return NULL;
        }
      g_tree_insert (tags, g_strdup (tag), g_strdup (value));
    }
  return g_steal_pointer (&tags);
}

gboolean
cmk_arguments_check_description (const char *name, const char *text, GError **error)
{
  if (g_utf8_strlen (text, -1) <= CMKD_MAX_DESCRIPTION_CHARS)
    return TRUE;
  return refuse (error, name, "must not be longer than %d characters", CMKD_MAX_DESCRIPTION_CHARS);
}

static const char not_base64[] =
    "must be canonical standard Base64: A-Z, a-z, 0-9, + and /, padded with =, no white space, not empty";

GBytes *
cmk_arguments_decode (const char *name, const char *text, gsize max_chars, GError **error)
{
  gsize chars = strlen (text);
  if (max_chars != 0 && chars > max_chars)
    {
      refuse (error, name,
              "must not be longer than %" G_GSIZE_FORMAT " characters (%" G_GSIZE_FORMAT " bytes before Base64)",
              max_chars, CMK_BASE64_BYTES (max_chars));
      return NULL;
    }
  g_autofree guint8 *data = g_malloc (CMK_BASE64_BYTES (chars) + 1);
  gsize size;
  if (chars == 0 || !cmk_base64_decode (text, chars, data, &size))
    {
      refuse (error, name, "%s", not_base64);
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&data), size);
}

CmkSecret *
cmk_arguments_decode_secret (const char *name, const char *text, gsize max_bytes, GError **error)
{
  gsize chars = strlen (text);
  if (chars > CMK_BASE64_CHARS (max_bytes))
    {
      refuse (error, name, "must be 1 to %" G_GSIZE_FORMAT " bytes long before Base64", max_bytes);
      return NULL;
    }
  gsize size = 0;
  g_autoptr (CmkSecret) secret = cmk_secret_new (MAX (CMK_BASE64_BYTES (chars), 1), error);
  if (secret == NULL)
    return NULL;
  if (chars == 0 || !cmk_base64_decode (text, chars, cmk_secret_data (secret), &size))
    {
      refuse (error, name, "%s", not_base64);
      return NULL;
    }
  if (size > max_bytes)
    {
      refuse (error, name, "must be 1 to %" G_GSIZE_FORMAT " bytes long before Base64", max_bytes);
      return NULL;
    }
  cmk_secret_shorten (secret, size);
  return g_steal_pointer (&secret);
}
