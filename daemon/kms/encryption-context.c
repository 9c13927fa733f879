/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/encryption-context.h"

#include "base/error.h"
#include "cmkd.h"
#include "kms/bytes.h"

#include <stdlib.h>
#include <string.h>

static int
compare_names (const void *a, const void *b)
{
  return strcmp (((const CmkEncryptionContextPair *) a)->name, ((const CmkEncryptionContextPair *) b)->name);
}

static gboolean
refuse (const char *option, const char *rule, GError **error)
{
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "%s: %s", option, rule);
  return FALSE;
}

static gboolean
check (const CmkEncryptionContextPair *pairs, gsize n_pairs, const char *option, GError **error)
{
  gsize bytes = 0;
  for (gsize i = 0; i < n_pairs; i++)
    {
      if (*pairs[i].name == '\0')
        return refuse (option, "a name must not be empty", error);
      if (i > 0 && g_str_equal (pairs[i].name, pairs[i - 1].name))
        return refuse (option, "a name must not occur twice", error);
      bytes += strlen (pairs[i].name) + strlen (pairs[i].value);
    }
  if (bytes > CMKD_MAX_CONTEXT_BYTES)
    return refuse (option, "names and values together must not exceed 8192 bytes", error);
  return TRUE;
}

static void
put_text (GByteArray *bytes, const char *text)
{
  cmk_bytes_put_u32 (bytes, (guint32) strlen (text));
  g_byte_array_append (bytes, (const guint8 *) text, (guint) strlen (text));
}

GBytes *
cmk_encryption_context_encode (CmkEncryptionContextPair *pairs, gsize n_pairs, const char *option, GError **error)
{
  if (n_pairs > 1)
    qsort (pairs, n_pairs, sizeof *pairs, compare_names);
  if (!check (pairs, n_pairs, option, error))
    return NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  for (gsize i = 0; i < n_pairs; i++)
    {
      put_text (bytes, pairs[i].name);
      put_text (bytes, pairs[i].value);
    }
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}
