/* SPDX-License-Identifier: Apache-2.0 */
#include "resident-setup.h"

#include <stdio.h>
#include <string.h>

void
resident_setup_init (ResidentSetup *setup)
{
  g_autoptr (GError) error = NULL;
  if (setup->software == NULL)
    setup->software = software_tpm_new ();
  if (setup->cache.entries == NULL)
    memory_cache_init (&setup->cache);
  setup->tpm = cmk_tpm_open (setup->software->counted, &error);
  g_assert_no_error (error);
  cmk_tpm_set_context_cache (setup->tpm, &setup->cache.functions);
  cmk_tpm_keep_sessions (setup->tpm, setup->keep_sessions ? 3600 : 0);
  (void) software_tpm_commands (setup->software);
}

/* tcti-krm, if the test goes through it, has written down what was loaded after each command. */
static void
assert_little_was_loaded (SoftwareTpm *software)
{
  g_autofree char *path = g_build_filename (software->directory, "chip", NULL);
  g_autofree char *log = NULL;
  if (!g_file_get_contents (path, &log, NULL, NULL))
    return;
  unsigned n_objects, n_sessions;
  for (const char *line = strstr (log, "held "); line != NULL; line = strstr (line + 1, "held "))
    {
      g_assert_cmpint (sscanf (line, "held %u %u", &n_objects, &n_sessions), ==, 2);
      g_assert_cmpuint (n_objects, <=, 2);
      g_assert_cmpuint (n_sessions, <=, 1);
    }
}

void
resident_setup_clear (ResidentSetup *setup)
{
  g_clear_pointer (&setup->tpm, cmk_tpm_close);
  assert_little_was_loaded (setup->software);
  memory_cache_clear (&setup->cache);
  g_clear_pointer (&setup->software, software_tpm_free);
}

void
resident_setup_assert_empty (ResidentSetup *setup)
{
  if (setup->keep_sessions)
    g_clear_pointer (&setup->tpm, cmk_tpm_close);
  software_tpm_assert_empty (setup->software);
  if (setup->keep_sessions)
    resident_setup_init (setup);
}

const char *
resident_setup_commands (ResidentSetup *setup)
{
  static GString *commands;
  if (commands == NULL)
    commands = g_string_new (NULL);
  g_string_assign (commands, software_tpm_commands (setup->software));
  g_string_replace (commands, "StartAuthSession ", "", 0);
  return commands->str;
}

gboolean
is_hmac (CmkResidentKind kind)
{
  return kind <= CMK_RESIDENT_HMAC_SHA512;
}

gboolean
is_rsa (CmkResidentKind kind)
{
  return kind == CMK_RESIDENT_RSA_2048 || kind == CMK_RESIDENT_RSA_3072;
}

void
fill_randomly (guint8 *bytes, gsize size)
{
  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) g_random_int ();
}

CmkSecret *
random_secret (gsize size)
{
  CmkSecret *secret = cmk_secret_new (size, NULL);
  g_assert_nonnull (secret);
  fill_randomly (cmk_secret_data (secret), size);
  return secret;
}

void
reference_mac (CmkResidentKind kind, const CmkSecret *key, const guint8 *message, gsize size,
               guint8 ret_mac[CMK_RESIDENT_MAX_MAC])
{
  gsize mac_size = CMK_RESIDENT_MAX_MAC;
  GHmac *hmac = g_hmac_new (peer_hash (kind), cmk_secret_peek (key), cmk_secret_length (key));
  g_hmac_update (hmac, message, (gssize) size);
  g_hmac_get_digest (hmac, ret_mac, &mac_size);
  g_hmac_unref (hmac);
}

/* --- calls ------------------------------------------------------------------------------------------------------- */

GBytes *
try_import (ResidentSetup *setup, const PeerKey *peer, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  if (session == NULL)
    return NULL;
  if (is_hmac (peer->public.kind))
    return cmk_tpm_resident_import_hmac (session, peer->public.kind, peer->secret, CMK_TPM_LAST, error);
  g_autoptr (CmkSecret) inner_key = random_secret (16);
  return cmk_tpm_resident_import_private (session, &peer->public, peer->secret, inner_key, peer_wrap, CMK_TPM_LAST,
                                          error);
}

GBytes *
import (ResidentSetup *setup, const PeerKey *peer)
{
  g_autoptr (GError) error = NULL;
  GBytes *blob = try_import (setup, peer, &error);
  g_assert_no_error (error);
  g_assert_nonnull (blob);
  return blob;
}

GBytes *
generate (ResidentSetup *setup, CmkResidentKind kind)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, &error);
  g_assert_no_error (error);
  GBytes *blob = cmk_tpm_resident_generate (session, kind, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_assert_nonnull (blob);
  return blob;
}

gboolean
try_mac (ResidentSetup *setup, GBytes *blob, const char *cache_name, CmkResidentKind kind, const guint8 *message,
         gsize size, guint8 *ret_mac, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  return session != NULL &&
         cmk_tpm_resident_hmac (session, blob, cache_name, kind, message, size, CMK_TPM_LAST, ret_mac, error);
}

gboolean
try_rsa (ResidentSetup *setup, GBytes *blob, const char *cache_name, const guint8 *input, gsize size,
         guint8 *ret_output, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  return session != NULL &&
         cmk_tpm_resident_rsa (session, blob, cache_name, input, size, CMK_TPM_LAST, ret_output, error);
}

gboolean
try_ecdsa (ResidentSetup *setup, GBytes *blob, const char *cache_name, const guint8 *digest, gsize size,
           guint8 *ret_signature, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  return session != NULL &&
         cmk_tpm_resident_ecdsa (session, blob, cache_name, digest, size, CMK_TPM_LAST, ret_signature, error);
}
