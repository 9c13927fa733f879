/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that stay inside the (software) TPM: what they compute is what OpenSSL and GLib compute, and what a TPM cannot
 * do is said. */
#include "resident-peer.h"
#include "software-tpm.h"

#include "base/error.h"

#include <string.h>

static const struct
{
  CmkResidentKind kind;
  const char *name;
} kinds[] = {
  { CMK_RESIDENT_HMAC_SHA256, "hmac-sha256" }, { CMK_RESIDENT_HMAC_SHA384, "hmac-sha384" },
  { CMK_RESIDENT_HMAC_SHA512, "hmac-sha512" }, { CMK_RESIDENT_RSA_2048, "rsa-2048" },
  { CMK_RESIDENT_RSA_3072, "rsa-3072" },       { CMK_RESIDENT_EC_P256, "ec-p256" },
  { CMK_RESIDENT_EC_P384, "ec-p384" },
};

typedef struct
{
  SoftwareTpm *software;
  CmkTpm *tpm;
  MemoryCache cache;
} Setup;

static void
clear (Setup *setup)
{
  g_clear_pointer (&setup->tpm, cmk_tpm_close);
  memory_cache_clear (&setup->cache);
  g_clear_pointer (&setup->software, software_tpm_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Setup, clear)

static void
set_up (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  setup->software = software_tpm_new ();
  memory_cache_init (&setup->cache);
  setup->tpm = cmk_tpm_open (setup->software->counted, &error);
  g_assert_no_error (error);
  cmk_tpm_set_context_cache (setup->tpm, &setup->cache.functions);
  (void) software_tpm_commands (setup->software);
}

static CmkTpmSession *
begin (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  CmkTpmSession *session = cmk_tpm_session_begin (setup->tpm, &error);
  g_assert_no_error (error);
  return session;
}

static gboolean
is_hmac (CmkResidentKind kind)
{
  return kind <= CMK_RESIDENT_HMAC_SHA512;
}

static gboolean
is_rsa (CmkResidentKind kind)
{
  return kind == CMK_RESIDENT_RSA_2048 || kind == CMK_RESIDENT_RSA_3072;
}

static CmkSecret *
inner_key (void)
{
  CmkSecret *key = cmk_secret_new (16, NULL);
  for (gsize i = 0; i < 16; i++)
    cmk_secret_data (key)[i] = (guint8) g_random_int ();
  return key;
}

static GBytes *
try_import (Setup *setup, const PeerKey *peer, GError **error)
{
  g_autoptr (CmkTpmSession) session = begin (setup);
  if (is_hmac (peer->public.kind))
    return cmk_tpm_resident_import_hmac (session, peer->public.kind, peer->secret, CMK_TPM_LAST, error);
  g_autoptr (CmkSecret) key = inner_key ();
  return cmk_tpm_resident_import_private (session, &peer->public, peer->secret, key, peer_wrap, CMK_TPM_LAST, error);
}

static GBytes *
import (Setup *setup, const PeerKey *peer)
{
  g_autoptr (GError) error = NULL;
  GBytes *blob = try_import (setup, peer, &error);
  g_assert_no_error (error);
  g_assert_nonnull (blob);
  return blob;
}

static GBytes *
generate (Setup *setup, CmkResidentKind kind)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (setup);
  GBytes *blob = cmk_tpm_resident_generate (session, kind, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  return blob;
}

static void
public_of (GBytes *blob, CmkResidentPublic *ret_public)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = cmk_tpm_resident_public (blob, ret_public, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

/* --- use --------------------------------------------------------------------------------------------------------- */

static void
mac (Setup *setup, GBytes *blob, const char *cache_name, CmkResidentKind kind, const guint8 *message, gsize size,
     guint8 *ret_mac)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (setup);
  gboolean ok = cmk_tpm_resident_hmac (session, blob, cache_name, kind, message, size, CMK_TPM_LAST, ret_mac, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

static void
raw_rsa (Setup *setup, GBytes *blob, const char *cache_name, const guint8 *input, gsize size, guint8 *ret_output)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (setup);
  gboolean ok = cmk_tpm_resident_rsa (session, blob, cache_name, input, size, CMK_TPM_LAST, ret_output, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

static void
ecdsa (Setup *setup, GBytes *blob, const char *cache_name, const guint8 *digest, gsize size, guint8 *ret_signature)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (setup);
  gboolean ok = cmk_tpm_resident_ecdsa (session, blob, cache_name, digest, size, CMK_TPM_LAST, ret_signature, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

static void
assert_rsa_is_right (Setup *setup, GBytes *blob, const char *cache_name, const CmkResidentPublic *public)
{
  gsize size = peer_size (public->kind);
  guint8 input[CMK_RESIDENT_MAX_RSA] = { 0 }, output[CMK_RESIDENT_MAX_RSA];
  for (gsize i = 1; i < size; i++)
    input[i] = (guint8) g_random_int ();
  raw_rsa (setup, blob, cache_name, input, size, output);
  g_autoptr (GBytes) back = peer_rsa_public (public, output, size);
  g_assert_cmpmem (g_bytes_get_data (back, NULL), g_bytes_get_size (back), input, size);
}

static void
assert_ecdsa_is_right (Setup *setup, GBytes *blob, const char *cache_name, const CmkResidentPublic *public)
{
  gsize size = peer_size (public->kind);
  guint8 digest[48], signature[96];
  for (gsize i = 0; i < size; i++)
    digest[i] = (guint8) g_random_int ();
  ecdsa (setup, blob, cache_name, digest, size, signature);
  g_assert_true (peer_verifies (public, digest, size, signature));
  digest[0] ^= 1;
  g_assert_false (peer_verifies (public, digest, size, signature));
}

static void
assert_hmac_is_right (Setup *setup, GBytes *blob, const char *cache_name, CmkResidentKind kind, const CmkSecret *key,
                      gsize size)
{
  g_autofree guint8 *message = g_malloc (size + 1);
  for (gsize i = 0; i < size; i++)
    message[i] = (guint8) (i * 7 + i / 256);
  guint8 result[CMK_RESIDENT_MAX_MAC], expected[CMK_RESIDENT_MAX_MAC];
  mac (setup, blob, cache_name, kind, message, size, result);
  gsize expected_size = sizeof expected;
  GHmac *hmac = g_hmac_new (peer_hash (kind), cmk_secret_peek (key), cmk_secret_length (key));
  g_hmac_update (hmac, message, (gssize) size);
  g_hmac_get_digest (hmac, expected, &expected_size);
  g_hmac_unref (hmac);
  g_assert_cmpmem (result, peer_size (kind), expected, expected_size);
}

/* --- imported ---------------------------------------------------------------------------------------------------- */

static void
test_imported (gconstpointer data)
{
  CmkResidentKind kind = (CmkResidentKind) GPOINTER_TO_INT (data);
  g_auto (Setup) setup = { 0 };
  g_auto (PeerKey) peer = { 0 };
  set_up (&setup);
  peer_key_make (&peer, kind, 65537);
  g_autoptr (GBytes) blob = import (&setup, &peer);
  g_auto (CmkResidentPublic) public = { .kind = kind };
  if (!is_hmac (kind))
    public_of (blob, &public);
  g_assert_cmpint (public.kind, ==, kind);

  for (int i = 0; i < 2; i++) /* loaded, and from its context */
    if (is_hmac (kind))
      assert_hmac_is_right (&setup, blob, "key", kind, peer.secret, 100);
    else if (is_rsa (kind))
      {
        g_assert_true (g_bytes_equal (public.modulus, peer.public.modulus));
        g_assert_cmpuint (public.exponent, ==, 65537);
        assert_rsa_is_right (&setup, blob, "key", &public);
      }
    else
      {
        g_assert_true (g_bytes_equal (public.x, peer.public.x));
        g_assert_true (g_bytes_equal (public.y, peer.public.y));
        assert_ecdsa_is_right (&setup, blob, "key", &public);
      }
  software_tpm_assert_empty (setup.software);
}

static void
test_generated (gconstpointer data)
{
  CmkResidentKind kind = (CmkResidentKind) GPOINTER_TO_INT (data);
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autoptr (GBytes) blob = generate (&setup, kind);
  g_auto (CmkResidentPublic) public = { 0 };
  public_of (blob, &public);
  g_assert_cmpint (public.kind, ==, kind);
  if (is_rsa (kind))
    assert_rsa_is_right (&setup, blob, NULL, &public);
  else
    assert_ecdsa_is_right (&setup, blob, NULL, &public);
  software_tpm_assert_empty (setup.software);
}

static void
test_generated_hmac (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autoptr (GBytes) blob = generate (&setup, CMK_RESIDENT_HMAC_SHA256);
  g_autoptr (GBytes) other = generate (&setup, CMK_RESIDENT_HMAC_SHA256);
  guint8 first[64], again[64], of_other[64];
  mac (&setup, blob, NULL, CMK_RESIDENT_HMAC_SHA256, first, 0, first);
  mac (&setup, blob, NULL, CMK_RESIDENT_HMAC_SHA256, again, 0, again);
  mac (&setup, other, NULL, CMK_RESIDENT_HMAC_SHA256, of_other, 0, of_other);
  g_assert_cmpmem (first, 32, again, 32);
  g_assert_cmpint (memcmp (first, of_other, 32), !=, 0);
}

/* The sizes around what one command takes. */
static void
test_hmac_sizes (void)
{
  static const gsize sizes[] = { 0, 1, 1023, 1024, 1025, 2048, 2049, 6144 };
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  for (gsize k = 0; k < 3; k++)
    {
      g_auto (PeerKey) peer = { 0 };
      peer_key_make (&peer, kinds[k].kind, 0);
      g_autoptr (GBytes) blob = import (&setup, &peer);
      for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
        assert_hmac_is_right (&setup, blob, kinds[k].name, kinds[k].kind, peer.secret, sizes[i]);
    }
  software_tpm_assert_empty (setup.software);
}

int
main (int argc, char **argv)
{
  g_setenv ("TSS2_LOG", "all+none", FALSE);
  g_test_init (&argc, &argv, NULL);
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_secret_init (&error));

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *imported = g_strconcat ("/resident-key/imported/", kinds[i].name, NULL);
      g_test_add_data_func (imported, GINT_TO_POINTER (kinds[i].kind), test_imported);
      if (is_hmac (kinds[i].kind))
        continue;
      g_autofree char *generated = g_strconcat ("/resident-key/generated/", kinds[i].name, NULL);
      g_test_add_data_func (generated, GINT_TO_POINTER (kinds[i].kind), test_generated);
    }
  g_test_add_func ("/resident-key/generated/hmac-sha256", test_generated_hmac);
  g_test_add_func ("/resident-key/hmac-of-any-size", test_hmac_sizes);
  return g_test_run ();
}
