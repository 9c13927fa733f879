/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that stay inside the (software) TPM: what they compute is what OpenSSL and GLib compute, and what a TPM cannot
 * do is said. */
#include "resident-setup.h"

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

static void
public_of (GBytes *blob, CmkResidentPublic *ret_public)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = cmk_tpm_resident_public (blob, ret_public, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

/* --- what keys compute ------------------------------------------------------------------------------------------- */

static void
assert_rsa_is_right (ResidentSetup *setup, GBytes *blob, const char *cache_name, const CmkResidentPublic *public)
{
  g_autoptr (GError) error = NULL;
  gsize size = peer_size (public->kind);
  guint8 input[CMK_RESIDENT_MAX_RSA] = { 0 }, output[CMK_RESIDENT_MAX_RSA];
  fill_randomly (input + 1, size - 1);
  gboolean ok = try_rsa (setup, blob, cache_name, input, size, output, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
  g_autoptr (GBytes) back = peer_rsa_public (public, output, size);
  g_assert_cmpmem (g_bytes_get_data (back, NULL), g_bytes_get_size (back), input, size);
}

static void
assert_ecdsa_is_right (ResidentSetup *setup, GBytes *blob, const char *cache_name, const CmkResidentPublic *public)
{
  g_autoptr (GError) error = NULL;
  gsize size = peer_size (public->kind);
  guint8 digest[48], signature[96];
  fill_randomly (digest, size);
  gboolean ok = try_ecdsa (setup, blob, cache_name, digest, size, signature, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
  g_assert_true (peer_verifies (public, digest, size, signature));
  digest[0] ^= 1;
  g_assert_false (peer_verifies (public, digest, size, signature));
}

static void
assert_mac (ResidentSetup *setup, GBytes *blob, const char *cache_name, CmkResidentKind kind, const guint8 *message,
            gsize size, const guint8 *expected)
{
  g_autoptr (GError) error = NULL;
  guint8 result[CMK_RESIDENT_MAX_MAC];
  gboolean ok = try_mac (setup, blob, cache_name, kind, message, size, result, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
  g_assert_cmpmem (result, peer_size (kind), expected, peer_size (kind));
}

static void
assert_hmac_is_right (ResidentSetup *setup, GBytes *blob, const char *cache_name, CmkResidentKind kind,
                      const CmkSecret *key, gsize size)
{
  g_autofree guint8 *message = g_malloc (size + 1);
  fill_randomly (message, size);
  guint8 expected[CMK_RESIDENT_MAX_MAC];
  reference_mac (kind, key, message, size, expected);
  assert_mac (setup, blob, cache_name, kind, message, size, expected);
}

static void
test_imported (gconstpointer data)
{
  CmkResidentKind kind = (CmkResidentKind) GPOINTER_TO_INT (data);
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) peer = { 0 };
  resident_setup_init (&setup);
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
  resident_setup_assert_empty (&setup);
}

static void
test_generated (gconstpointer data)
{
  CmkResidentKind kind = (CmkResidentKind) GPOINTER_TO_INT (data);
  g_auto (ResidentSetup) setup = { 0 };
  resident_setup_init (&setup);
  g_autoptr (GBytes) blob = generate (&setup, kind);
  g_auto (CmkResidentPublic) public = { 0 };
  public_of (blob, &public);
  g_assert_cmpint (public.kind, ==, kind);
  if (is_rsa (kind))
    assert_rsa_is_right (&setup, blob, NULL, &public);
  else
    assert_ecdsa_is_right (&setup, blob, NULL, &public);
  resident_setup_assert_empty (&setup);
}

static void
test_generated_hmac (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_autoptr (GError) error = NULL;
  resident_setup_init (&setup);
  g_autoptr (GBytes) blob = generate (&setup, CMK_RESIDENT_HMAC_SHA256);
  g_autoptr (GBytes) other = generate (&setup, CMK_RESIDENT_HMAC_SHA256);
  guint8 mac[64], mac_of_other[64];
  g_assert_true (try_mac (&setup, blob, NULL, CMK_RESIDENT_HMAC_SHA256, NULL, 0, mac, &error));
  g_assert_true (try_mac (&setup, other, NULL, CMK_RESIDENT_HMAC_SHA256, NULL, 0, mac_of_other, &error));
  g_assert_cmpint (memcmp (mac, mac_of_other, 32), !=, 0);
  assert_mac (&setup, blob, NULL, CMK_RESIDENT_HMAC_SHA256, NULL, 0, mac);
}

static void
test_exponent_of_its_own (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) rsa = { 0 };
  g_auto (CmkResidentPublic) public = { 0 };
  resident_setup_init (&setup);
  peer_key_make (&rsa, CMK_RESIDENT_RSA_2048, 257);
  g_autoptr (GBytes) blob = import (&setup, &rsa);
  public_of (blob, &public);
  g_assert_cmpuint (public.exponent, ==, 257);
  assert_rsa_is_right (&setup, blob, NULL, &public);
}

/* --- HMAC -------------------------------------------------------------------------------------------------------- */

/* Around what one command takes, and below and at the hash's block. */
static void
test_hmac_sizes (void)
{
  static const gsize sizes[] = { 0, 1, 1023, 1024, 1025, 2048, 2049, 6144 };
  g_auto (ResidentSetup) setup = { 0 };
  resident_setup_init (&setup);
  for (gsize k = 0; k < 3; k++)
    {
      gsize block = kinds[k].kind == CMK_RESIDENT_HMAC_SHA256 ? 64 : 128;
      for (gsize key_size = 1; key_size <= block; key_size += block - 1)
        {
          g_auto (PeerKey) peer = { .public.kind = kinds[k].kind, .secret = random_secret (key_size) };
          g_autoptr (GBytes) blob = import (&setup, &peer);
          for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
            assert_hmac_is_right (&setup, blob, NULL, kinds[k].kind, peer.secret, sizes[i]);
        }
    }
  resident_setup_assert_empty (&setup);
}

/* RFC 4231, test case 2. */
static void
test_hmac_vectors (void)
{
  static const char message[] = "what do ya want for nothing?";
  static const guint8 expected[][64] = {
    { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
      0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43 },
    { 0xaf, 0x45, 0xd2, 0xe3, 0x76, 0x48, 0x40, 0x31, 0x61, 0x7f, 0x78, 0xd2, 0xb5, 0x8a, 0x6b, 0x1b,
      0x9c, 0x7e, 0xf4, 0x64, 0xf5, 0xa0, 0x1b, 0x47, 0xe4, 0x2e, 0xc3, 0x73, 0x63, 0x22, 0x44, 0x5e,
      0x8e, 0x22, 0x40, 0xca, 0x5e, 0x69, 0xe2, 0xc7, 0x8b, 0x32, 0x39, 0xec, 0xfa, 0xb2, 0x16, 0x49 },
    { 0x16, 0x4b, 0x7a, 0x7b, 0xfc, 0xf8, 0x19, 0xe2, 0xe3, 0x95, 0xfb, 0xe7, 0x3b, 0x56, 0xe0, 0xa3,
      0x87, 0xbd, 0x64, 0x22, 0x2e, 0x83, 0x1f, 0xd6, 0x10, 0x27, 0x0c, 0xd7, 0xea, 0x25, 0x05, 0x54,
      0x97, 0x58, 0xbf, 0x75, 0xc0, 0x5a, 0x99, 0x4a, 0x6d, 0x03, 0x4f, 0x65, 0xf8, 0xf0, 0xe6, 0xfd,
      0xca, 0xea, 0xb1, 0xa3, 0x4d, 0x4a, 0x6b, 0x4b, 0x63, 0x6e, 0x07, 0x0a, 0x38, 0xbc, 0xe7, 0x37 },
  };
  g_auto (ResidentSetup) setup = { 0 };
  resident_setup_init (&setup);
  for (gsize k = 0; k < 3; k++)
    {
      g_auto (PeerKey) peer = { .public.kind = kinds[k].kind, .secret = cmk_secret_new_copy ("Jefe", 4, NULL) };
      g_autoptr (GBytes) blob = import (&setup, &peer);
      assert_mac (&setup, blob, NULL, kinds[k].kind, (const guint8 *) message, strlen (message), expected[k]);
    }
}

/* A TPM has three slots: there is room for an object of somebody else beside key and sequence. */
static void
test_two_objects_at_most (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) peer = { 0 };
  resident_setup_init (&setup);
  peer_key_make (&peer, CMK_RESIDENT_HMAC_SHA256, 0);
  g_autoptr (GBytes) blob = import (&setup, &peer);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  TPM2B_AUTH no_auth = { 0 };
  ESYS_TR theirs = ESYS_TR_NONE;
  assert_rc (Esys_HashSequenceStart (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, TPM2_ALG_SHA256,
                                     &theirs));
  assert_hmac_is_right (&setup, blob, NULL, CMK_RESIDENT_HMAC_SHA256, peer.secret, 3000);
  assert_rc (Esys_FlushContext (meddler.esys, theirs));
  resident_setup_assert_empty (&setup);
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static void
test_commands (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) hmac = { 0 }, rsa = { 0 }, ec = { 0 };
  resident_setup_init (&setup);
  peer_key_make (&hmac, CMK_RESIDENT_HMAC_SHA256, 0);
  peer_key_make (&rsa, CMK_RESIDENT_RSA_2048, 65537);
  peer_key_make (&ec, CMK_RESIDENT_EC_P256, 0);
  (void) resident_setup_commands (&setup);

  g_autoptr (GBytes) hmac_blob = import (&setup, &hmac);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Create");
  g_autoptr (GBytes) rsa_blob = import (&setup, &rsa);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Import");
  g_autoptr (GBytes) ec_blob = import (&setup, &ec);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Import");
  g_autoptr (GBytes) generated = generate (&setup, CMK_RESIDENT_EC_P256);
  g_assert_nonnull (generated);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Create");

  assert_hmac_is_right (&setup, hmac_blob, NULL, CMK_RESIDENT_HMAC_SHA256, hmac.secret, 1024);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Load HMAC FlushContext");
  assert_hmac_is_right (&setup, hmac_blob, "h", CMK_RESIDENT_HMAC_SHA256, hmac.secret, 1025);
  g_assert_cmpstr (resident_setup_commands (&setup), ==,
                   "Load ContextSave HMAC_Start SequenceUpdate SequenceComplete FlushContext");
  assert_hmac_is_right (&setup, hmac_blob, "h", CMK_RESIDENT_HMAC_SHA256, hmac.secret, 2049);
  g_assert_cmpstr (resident_setup_commands (&setup), ==,
                   "ContextLoad HMAC_Start SequenceUpdate SequenceUpdate SequenceComplete FlushContext");
  assert_rsa_is_right (&setup, rsa_blob, "r", &rsa.public);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Load ContextSave RSA_Decrypt FlushContext");
  assert_ecdsa_is_right (&setup, ec_blob, NULL, &ec.public);
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "Load Sign FlushContext");
}

/* --- what is refused --------------------------------------------------------------------------------------------- */

static void
assert_not_taken (ResidentSetup *setup, const PeerKey *peer, const char *advice)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) blob = try_import (setup, peer, &error);
  g_assert_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION);
  g_assert_null (blob);
  g_assert_nonnull (strstr (error->message, advice));
  g_assert_nonnull (strstr (error->message, "SOFTWARE"));
}

static void
test_keys_not_taken (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) rsa = { 0 }, ec = { 0 }, other_ec = { 0 };
  resident_setup_init (&setup);
  peer_key_make (&rsa, CMK_RESIDENT_RSA_2048, 257);
  software_tpm_set_fault (setup.software, "Import 1-1 0x2cd"); /* RANGE; this TPM itself takes any exponent */
  assert_not_taken (&setup, &rsa, "65537");

  /* The halves of two keys. */
  peer_key_make (&ec, CMK_RESIDENT_EC_P256, 0);
  peer_key_make (&other_ec, CMK_RESIDENT_EC_P256, 0);
  other_ec.public.x = (g_bytes_unref (other_ec.public.x), g_bytes_ref (ec.public.x));
  assert_not_taken (&setup, &other_ec, "does not take");
  resident_setup_assert_empty (&setup);
}

/* RSA: @input is not less than the modulus. EC, HMAC: no such. */
static void
test_input_too_large (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) rsa = { 0 };
  resident_setup_init (&setup);
  peer_key_make (&rsa, CMK_RESIDENT_RSA_2048, 65537);
  g_autoptr (GBytes) blob = import (&setup, &rsa);
  g_autoptr (GError) error = NULL;
  guint8 input[256], output[CMK_RESIDENT_MAX_RSA];
  memset (input, 0xff, sizeof input);
  g_assert_false (try_rsa (&setup, blob, "r", input, sizeof input, output, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  assert_rsa_is_right (&setup, blob, "r", &rsa.public);
  resident_setup_assert_empty (&setup);
}

static GBytes *
flip (GBytes *blob, gsize at)
{
  gsize size;
  guint8 *bytes = g_bytes_unref_to_data (g_bytes_ref (blob), &size);
  bytes[at] ^= 1;
  return g_bytes_new_take (bytes, size);
}

static void
test_damaged_blobs (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_auto (PeerKey) rsa = { 0 };
  resident_setup_init (&setup);
  peer_key_make (&rsa, CMK_RESIDENT_RSA_2048, 65537);
  g_autoptr (GBytes) blob = import (&setup, &rsa);
  gsize size = g_bytes_get_size (blob);
  guint8 input[256] = { 0, 1 }, output[CMK_RESIDENT_MAX_RSA];
  for (gsize at = size - 1; at > 40; at -= 37) /* the modulus, and what the TPM has encrypted */
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) flipped = flip (blob, at);
      g_assert_false (try_rsa (&setup, flipped, NULL, input, sizeof input, output, &error));
      g_assert_nonnull (error);
      g_assert_true (g_error_matches (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED) ||
                     g_error_matches (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED));
    }
  for (gsize shorter = 0; shorter < size; shorter += 29)
    {
      g_autoptr (GError) error = NULL;
      g_auto (CmkResidentPublic) public = { 0 };
      g_autoptr (GBytes) cut = g_bytes_new_from_bytes (blob, 0, shorter);
      g_assert_false (try_rsa (&setup, cut, NULL, input, sizeof input, output, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
      g_clear_error (&error);
      g_assert_false (cmk_tpm_resident_public (cut, &public, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
    }
  g_autoptr (GError) error = NULL;
  g_auto (PeerKey) hmac = { 0 };
  g_auto (CmkResidentPublic) public = { 0 };
  peer_key_make (&hmac, CMK_RESIDENT_HMAC_SHA256, 0);
  g_autoptr (GBytes) hmac_blob = import (&setup, &hmac); /* has no public half */
  g_assert_false (cmk_tpm_resident_public (hmac_blob, &public, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  assert_rsa_is_right (&setup, blob, NULL, &rsa.public);
  resident_setup_assert_empty (&setup);
}

/* --- what a TPM can ---------------------------------------------------------------------------------------------- */

static const struct
{
  const char *fault;
  CmkResidentKind kind;
  const char *lacks; /* NULL: nothing */
} lackings[] = {
  { "", CMK_RESIDENT_HMAC_SHA256, NULL },
  { "", CMK_RESIDENT_HMAC_SHA384, NULL },
  { "", CMK_RESIDENT_HMAC_SHA512, NULL },
  { "", CMK_RESIDENT_RSA_2048, NULL },
  { "", CMK_RESIDENT_RSA_3072, NULL },
  { "", CMK_RESIDENT_EC_P256, NULL },
  { "", CMK_RESIDENT_EC_P384, NULL },
  { "GetCapability 1-1 hide-02000155", CMK_RESIDENT_HMAC_SHA256, "TPM2_HMAC command" },
  { "GetCapability 1-1 hide-02000155", CMK_RESIDENT_RSA_2048, NULL },
  { "GetCapability 1-1 hide-1200015b", CMK_RESIDENT_HMAC_SHA512, "TPM2_HMAC_Start command" },
  { "GetCapability 1-1 hide-02000156", CMK_RESIDENT_EC_P256, "TPM2_Import command" },
  { "GetCapability 1-1 hide-02000159", CMK_RESIDENT_RSA_3072, "TPM2_RSA_Decrypt command" },
  { "GetCapability 1-1 hide-0200015d", CMK_RESIDENT_EC_P384, "TPM2_Sign command" },
  { "GetCapability 2-2 hide-000c00000004", CMK_RESIDENT_HMAC_SHA384, "SHA-384" },
  { "GetCapability 2-2 hide-000c00000004", CMK_RESIDENT_HMAC_SHA256, NULL },
  { "GetCapability 2-2 hide-000c00000004", CMK_RESIDENT_EC_P384, "SHA-384" },
  { "GetCapability 2-2 hide-00180000", CMK_RESIDENT_EC_P256, "ECDSA" },
  { "GetCapability 3-3 hide-00030004", CMK_RESIDENT_EC_P384, "curve P-384" },
  { "GetCapability 3-3 hide-00030004", CMK_RESIDENT_EC_P256, "curve P-256" },
  { "TestParms 2-2 0x1c4", CMK_RESIDENT_RSA_3072, "RSA with 3072 bits" },
  { "TestParms 2-2 0x1c4", CMK_RESIDENT_RSA_2048, NULL },
  { "TestParms 1-1 0x143", CMK_RESIDENT_RSA_2048, "RSA with 2048 bits" },
};

static void
test_can_hold (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (lackings); i++)
    {
      g_auto (ResidentSetup) setup = { 0 };
      g_autoptr (GError) error = NULL;
      resident_setup_init (&setup);
      software_tpm_set_fault (setup.software, lackings[i].fault);
      gboolean can = cmk_tpm_can_hold (setup.tpm, lackings[i].kind, &error);
      g_assert_false (software_tpm_fault_waits (setup.software));
      if (lackings[i].lacks == NULL)
        {
          g_assert_no_error (error);
          g_assert_true (can);
          continue;
        }
      g_assert_false (can);
      g_assert_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION);
      g_autofree char *message =
          g_strdup_printf ("this TPM has no %s: use ProtectionLevel SOFTWARE", lackings[i].lacks);
      g_assert_cmpstr (error->message, ==, message);
    }
}

/* An answer is kept; a failure to ask is not. */
static void
test_asked_once (void)
{
  g_auto (ResidentSetup) setup = { 0 };
  g_autoptr (GError) error = NULL;
  resident_setup_init (&setup);
  software_tpm_set_fault (setup.software, "GetCapability 2-2 io");
  g_assert_false (cmk_tpm_can_hold (setup.tpm, CMK_RESIDENT_EC_P256, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_clear_error (&error);
  (void) resident_setup_commands (&setup);
  g_assert_true (cmk_tpm_can_hold (setup.tpm, CMK_RESIDENT_EC_P256, &error));
  g_assert_cmpstr (resident_setup_commands (&setup), ==,
                   "GetCapability GetCapability GetCapability TestParms TestParms");
  g_assert_true (cmk_tpm_can_hold (setup.tpm, CMK_RESIDENT_RSA_2048, &error));
  g_assert_true (cmk_tpm_can_hold (setup.tpm, CMK_RESIDENT_HMAC_SHA512, &error));
  g_assert_cmpstr (resident_setup_commands (&setup), ==, "");
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

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
  g_test_add_func ("/resident-key/imported/rsa-exponent-of-its-own", test_exponent_of_its_own);
  g_test_add_func ("/resident-key/hmac/of-any-size", test_hmac_sizes);
  g_test_add_func ("/resident-key/hmac/rfc-4231", test_hmac_vectors);
  g_test_add_func ("/resident-key/hmac/two-objects-at-most", test_two_objects_at_most);
  g_test_add_func ("/resident-key/commands", test_commands);
  g_test_add_func ("/resident-key/refused/keys-that-the-tpm-does-not-take", test_keys_not_taken);
  g_test_add_func ("/resident-key/refused/number-above-the-modulus", test_input_too_large);
  g_test_add_func ("/resident-key/refused/damaged-blobs", test_damaged_blobs);
  g_test_add_func ("/resident-key/can-hold/says-what-is-lacking", test_can_hold);
  g_test_add_func ("/resident-key/can-hold/is-asked-once", test_asked_once);
  return g_test_run ();
}
