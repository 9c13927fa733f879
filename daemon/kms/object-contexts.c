/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/object-contexts.h"

#include "cmkd-journal.h"
#include "crypto/crypto.h"

#include <string.h>

struct _CmkObjectContexts
{
  CmkKeyring *keyring;
  CmkSecret *key;
};

CmkObjectContexts *
cmk_object_contexts_new (CmkKeyring *keyring, CmkSecret *key)
{
  CmkObjectContexts *contexts = g_new (CmkObjectContexts, 1);
  *contexts = (CmkObjectContexts) { .keyring = keyring, .key = key };
  return contexts;
}

void
cmk_object_contexts_free (CmkObjectContexts *contexts)
{
  if (contexts == NULL)
    return;
  cmk_secret_free (contexts->key);
  g_free (contexts);
}

char *
cmk_object_contexts_name (GBytes *sealed_key)
{
  g_autofree char *digest = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, sealed_key);
  return g_strndup (digest, 32);
}

static GByteArray *
named_context (const char *name, const guint8 *context, gsize size)
{
  GByteArray *bytes = g_byte_array_new ();
  g_byte_array_append (bytes, (const guint8 *) name, (guint) strlen (name) + 1);
  return g_byte_array_append (bytes, context, (guint) size);
}

GBytes *
cmk_object_contexts_lookup (CmkObjectContexts *contexts, const char *name)
{
  g_autoptr (GBytes) entry = cmk_keyring_lookup_context (contexts->keyring, name);
  if (entry == NULL)
    return NULL;
  gsize size;
  const guint8 *mac = g_bytes_get_data (entry, &size);
  g_autoptr (GByteArray) signed_bytes =
      size > CMK_MAC_SIZE ? named_context (name, mac + CMK_MAC_SIZE, size - CMK_MAC_SIZE) : NULL;
  if (signed_bytes == NULL || !cmk_mac_verify (contexts->key, signed_bytes->data, signed_bytes->len, mac))
    {
      g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", CMKD_MESSAGE_CONTEXT_ALTERED, "MESSAGE",
                        "a TPM context in the kernel keyring was altered by another process of this user; dropped it");
      cmk_keyring_drop_context (contexts->keyring, name);
      return NULL;
    }
  return g_bytes_new_from_bytes (entry, CMK_MAC_SIZE, size - CMK_MAC_SIZE);
}

static void
keep_context (gpointer data, const char *name, GBytes *context)
{
  CmkObjectContexts *contexts = data;
  g_autoptr (GByteArray) signed_bytes =
      named_context (name, g_bytes_get_data (context, NULL), g_bytes_get_size (context));
  guint8 mac[CMK_MAC_SIZE];
  g_autoptr (GError) error = NULL;
  if (!cmk_mac_compute (contexts->key, signed_bytes->data, signed_bytes->len, mac, &error))
    {
      g_warning ("a TPM context was not cached: %s", error->message);
      return;
    }
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_byte_array_append (bytes, mac, sizeof mac);
  g_byte_array_append (bytes, g_bytes_get_data (context, NULL), (guint) g_bytes_get_size (context));
  g_autoptr (GBytes) entry = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  cmk_keyring_keep_context (contexts->keyring, name, entry);
}

static void
drop_context (gpointer data, const char *name)
{
  cmk_keyring_drop_context (((CmkObjectContexts *) data)->keyring, name);
}

static GBytes *
lookup_context (gpointer data, const char *name)
{
  return cmk_object_contexts_lookup (data, name);
}

CmkTpmContextCache
cmk_object_contexts_cache (CmkObjectContexts *contexts)
{
  return (CmkTpmContextCache) {
    .lookup = lookup_context,
    .keep = keep_context,
    .drop = drop_context,
    .data = contexts,
  };
}
