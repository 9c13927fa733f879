/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm against a real (software) TPM: what it does, with how many commands, and what it does about a TPM that was
 * restarted, cleared, replaced or taken away. */
#include "software-tpm.h"

#include "base/error.h"

#include <string.h>

static CmkTpm *
open_tpm (SoftwareTpm *software)
{
  g_autoptr (GError) error = NULL;
  CmkTpm *tpm = cmk_tpm_open (software->counted, &error);
  g_assert_no_error (error);
  (void) software_tpm_commands (software);
  return tpm;
}

static CmkTpmSession *
begin (CmkTpm *tpm)
{
  g_autoptr (GError) error = NULL;
  CmkTpmSession *session = cmk_tpm_session_begin (tpm, &error);
  g_assert_no_error (error);
  return session;
}

static CmkSecret *
make_data_key (guint8 seed)
{
  CmkSecret *key = cmk_secret_new (32, NULL);
  for (guint8 i = 0; i < 32; i++)
    cmk_secret_data (key)[i] = (guint8) (seed ^ (i * 37));
  return key;
}

static GBytes *
seal (CmkTpm *tpm, guint8 seed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (tpm);
  g_autoptr (CmkSecret) key = make_data_key (seed);
  GBytes *sealed = cmk_tpm_seal (session, key, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  return sealed;
}

static void
assert_unseals (CmkTpm *tpm, GBytes *sealed, const char *cache_name, guint8 seed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (tpm);
  g_autoptr (CmkSecret) expected = make_data_key (seed);
  g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, sealed, cache_name, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (key, expected));
}

/* Beginning or unsealing must fail so. */
static void
assert_unseal_fails (CmkTpm *tpm, GBytes *sealed, CmkError code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (tpm, &error);
  g_autoptr (CmkSecret) key = NULL;
  if (session != NULL)
    key = cmk_tpm_unseal (session, sealed, NULL, CMK_TPM_LAST, &error);
  g_assert_error (error, CMK_ERROR, (int) code);
  g_assert_null (key);
}

static void
test_round_trip (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) first = seal (tpm, 1);
  g_autoptr (GBytes) second = seal (tpm, 2);
  assert_unseals (tpm, second, NULL, 2);
  assert_unseals (tpm, first, NULL, 1);
  g_assert_cmpstr (cmk_tpm_identity (tpm)->manufacturer, ==, "IBM"); /* what libtpms says it is */
  g_assert_cmpint (cmk_tpm_identity (tpm)->firmware[0], !=, '\0');
  software_tpm_assert_empty (software);
}

static void
test_damaged_blob (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_autoptr (GBytes) shorter = g_bytes_new_from_bytes (sealed, 0, g_bytes_get_size (sealed) - 1);
  assert_unseal_fails (tpm, shorter, CMK_ERROR_STATE_CORRUPTED);
  gsize size;
  g_autofree guint8 *bytes = g_bytes_unref_to_data (g_bytes_ref (sealed), &size);
  bytes[size - 1] ^= 1;
  g_autoptr (GBytes) flipped = g_bytes_new (bytes, size);
  assert_unseal_fails (tpm, flipped, CMK_ERROR_TPM_CHANGED);
  assert_unseals (tpm, sealed, NULL, 1);
  software_tpm_assert_empty (software);
}

/* --- the root key ------------------------------------------------------------------------------------------------ */

static void
test_root_is_kept (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);

  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  g_autoptr (GBytes) standard = meddler_make_key (&meddler, &standard_ecc, 0);
  g_assert_true (g_bytes_equal (cmk_tpm_root_name (tpm), standard));
  meddler_evict (&meddler, ROOT_HANDLE); /* it was there */

  g_autoptr (CmkTpm) again = open_tpm (software); /* and comes back */
  g_assert_true (g_bytes_equal (cmk_tpm_root_name (again), standard));
  software_tpm_stop (software);
  software_tpm_start (software);
  g_autoptr (CmkTpm) restarted = open_tpm (software);
  g_assert_true (g_bytes_equal (cmk_tpm_root_name (restarted), standard));
  assert_unseals (restarted, sealed, NULL, 1);
  software_tpm_assert_empty (software);
}

static void
test_root_of_others (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  g_autoptr (GBytes) theirs = meddler_make_key (&meddler, &standard_rsa, ROOT_HANDLE);
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_assert_true (g_bytes_equal (cmk_tpm_root_name (tpm), theirs));
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  assert_unseals (tpm, sealed, NULL, 1);
  software_tpm_assert_empty (software);
}

/* The life of a transient root key; @software is such that there can be no other. */
static void
use_transient_root (SoftwareTpm *software)
{
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_assert_cmpstr (software_tpm_commands (software), ==, "ContextLoad StartAuthSession Create FlushContext");
  software_tpm_assert_empty (software);

  software_tpm_stop (software); /* the saved context dies with the reset, the seed does not */
  software_tpm_start (software);
  assert_unseals (tpm, sealed, NULL, 1);
  g_assert_cmpstr (
      software_tpm_commands (software), ==,
      "ContextLoad:0x1df CreatePrimary ContextSave StartAuthSession Load Unseal FlushContext FlushContext");
  assert_unseals (tpm, sealed, NULL, 1);
  g_assert_cmpstr (software_tpm_commands (software), ==,
                   "ContextLoad StartAuthSession Load Unseal FlushContext FlushContext");
  software_tpm_assert_empty (software);

  software_tpm_replace (software);
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_CHANGED);
  software_tpm_assert_empty (software);
}

static void
test_place_taken (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  TPM2B_PUBLIC strange = standard_ecc; /* its children would not be bound to this TPM */
  strange.publicArea.objectAttributes &= ~(TPMA_OBJECT) TPMA_OBJECT_FIXEDTPM;
  strange.publicArea.objectAttributes &= ~(TPMA_OBJECT) TPMA_OBJECT_FIXEDPARENT;
  g_bytes_unref (meddler_make_key (&meddler, &strange, ROOT_HANDLE));
  g_autoptr (GBytes) ours = meddler_make_key (&meddler, &standard_ecc, 0);
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_assert_true (g_bytes_equal (cmk_tpm_root_name (tpm), ours));
  g_clear_pointer (&tpm, cmk_tpm_close);
  use_transient_root (software);
}

static void
test_evict_refused (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  software_tpm_set_fault (software, "EvictControl 1-100 0x14b"); /* NV_SPACE */
  use_transient_root (software);
}

static void
test_owner_password (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  TPM2B_AUTH password = { .size = 4, .buffer = "abcd" };
  assert_rc (Esys_HierarchyChangeAuth (meddler.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &password));
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_tpm_open (software->counted, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "0x81000001"));

  assert_rc (Esys_TR_SetAuth (meddler.esys, ESYS_TR_RH_OWNER, &password));
  g_autoptr (GBytes) standard = meddler_make_key (&meddler, &standard_ecc, ROOT_HANDLE);
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_assert_true (g_bytes_equal (cmk_tpm_root_name (tpm), standard));
  software_tpm_assert_empty (software);
}

/* Somebody on the bus who answers with the right name and his own key. */
static void
test_root_forged (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  cmk_tpm_close (open_tpm (software)); /* from now on it is there to be read */
  software_tpm_set_fault (software, "ReadPublic 1-1 forge");
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_tpm_open (software->counted, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "altered"));
  g_assert_false (software_tpm_fault_waits (software));
}

/* --- fingerprints ------------------------------------------------------------------------------------------------ */

static void
take_fingerprint (CmkTpm *tpm, GBytes *key, const char *cache_name, const guint8 *data, gsize size, guint8 ret[32])
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (tpm);
  gboolean ok = cmk_tpm_fingerprint (session, key, cache_name, data, size, CMK_TPM_LAST, ret, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

static GBytes *
make_fingerprint_key (CmkTpm *tpm)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (tpm);
  GBytes *key = cmk_tpm_create_fingerprint_key (session, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  return key;
}

static void
test_fingerprint (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) key = make_fingerprint_key (tpm);
  g_autoptr (GBytes) other_key = make_fingerprint_key (tpm);
  guint8 data[1024] = { 1, 2, 3 }, fingerprint[32], again[32], other[32], longer[32];
  take_fingerprint (tpm, key, NULL, data, 100, fingerprint);
  take_fingerprint (tpm, key, NULL, data, sizeof data, longer);
  take_fingerprint (tpm, other_key, NULL, data, 100, other);
  software_tpm_stop (software);
  software_tpm_start (software);
  take_fingerprint (tpm, key, NULL, data, 100, again);
  g_assert_cmpmem (fingerprint, 32, again, 32);
  g_assert_cmpint (memcmp (fingerprint, other, 32), !=, 0);
  g_assert_cmpint (memcmp (fingerprint, longer, 32), !=, 0);
  software_tpm_assert_empty (software);
}

/* --- commands and contexts --------------------------------------------------------------------------------------- */

static void
test_commands (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (MemoryCache) cache = { 0 };
  memory_cache_init (&cache);
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  cmk_tpm_set_context_cache (tpm, &cache.functions);

  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession Create");
  assert_unseals (tpm, sealed, NULL, 1);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession Load Unseal FlushContext");
  assert_unseals (tpm, sealed, "a", 1);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession Load ContextSave Unseal FlushContext");
  assert_unseals (tpm, sealed, "a", 1);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession ContextLoad Unseal FlushContext");

  g_autoptr (GBytes) fingerprint_key = make_fingerprint_key (tpm);
  (void) software_tpm_commands (software);
  g_autoptr (GError) error = NULL;
  {
    guint8 fingerprint[32] = { 0 };
    g_autoptr (CmkTpmSession) session = begin (tpm); /* what an import does */
    g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, sealed, NULL, CMK_TPM_MORE, &error);
    g_assert_true (
        cmk_tpm_fingerprint (session, fingerprint_key, "f", fingerprint, 32, CMK_TPM_MORE, fingerprint, &error));
    g_autoptr (GBytes) material = cmk_tpm_seal (session, key, CMK_TPM_LAST, &error);
    g_assert_nonnull (material);
  }
  g_assert_cmpstr (software_tpm_commands (software), ==,
                   "StartAuthSession Load Unseal FlushContext Load ContextSave HMAC FlushContext Create");

  {
    g_autoptr (CmkTpmSession) session = begin (tpm);
    cmk_tpm_keep_context (session, sealed, "b");
  }
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession Load ContextSave FlushContext FlushContext");
  assert_unseals (tpm, sealed, "b", 1);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession ContextLoad Unseal FlushContext");
  software_tpm_assert_empty (software);
}

static void
test_start_commands (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpm) first = cmk_tpm_open (software->counted, &error);
  g_assert_nonnull (first);
  g_assert_cmpstr (software_tpm_commands (software), ==,
                   "GetCapability ReadPublic:0x18b CreatePrimary EvictControl FlushContext");
  g_autoptr (CmkTpm) second = cmk_tpm_open (software->counted, &error);
  g_assert_nonnull (second);
  g_assert_cmpstr (software_tpm_commands (software), ==, "GetCapability ReadPublic");
}

static void
replace_entry (MemoryCache *cache, const char *name, const guint8 *data, gsize size)
{
  g_hash_table_replace (cache->entries, g_strdup (name), g_bytes_new (data, size));
}

/* A wrong entry costs time only, whatever is wrong with it, and is dropped. */
static void
test_wrong_contexts (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (MemoryCache) cache = { 0 };
  memory_cache_init (&cache);
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  cmk_tpm_set_context_cache (tpm, &cache.functions);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_autoptr (GBytes) other = seal (tpm, 2);
  assert_unseals (tpm, sealed, "a", 1);
  assert_unseals (tpm, other, "a", 2); /* another object under the same name */
  assert_unseals (tpm, other, "a", 2);
  assert_unseals (tpm, sealed, "a", 1);

  gsize size;
  g_autofree guint8 *good = g_bytes_unref_to_data (g_bytes_ref (g_hash_table_lookup (cache.entries, "a")), &size);
  for (gsize i = 0; i < size; i += 7)
    {
      g_autofree guint8 *flipped = g_memdup2 (good, size);
      flipped[i] ^= 0x10;
      replace_entry (&cache, "a", flipped, size);
      assert_unseals (tpm, sealed, "a", 1);
      replace_entry (&cache, "a", good, i);
      assert_unseals (tpm, sealed, "a", 1);
    }
  g_autofree guint8 *longer = g_malloc0 (size + 1);
  memcpy (longer, good, size);
  replace_entry (&cache, "a", longer, size + 1);
  assert_unseals (tpm, sealed, "a", 1);
  g_autofree guint8 *absurd = g_malloc0 (100000);
  replace_entry (&cache, "a", absurd, 100000);
  assert_unseals (tpm, sealed, "a", 1);
  software_tpm_assert_empty (software);
}

/* --- what happens to TPMs ---------------------------------------------------------------------------------------- */

static void
test_restart_in_between (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (MemoryCache) cache = { 0 };
  memory_cache_init (&cache);
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  cmk_tpm_set_context_cache (tpm, &cache.functions);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  assert_unseals (tpm, sealed, "a", 1);
  for (int i = 0; i < 3; i++)
    {
      software_tpm_stop (software);
      software_tpm_start (software);
      (void) software_tpm_commands (software);
      assert_unseals (tpm, sealed, "a", 1);
      g_assert_cmpstr (software_tpm_commands (software), ==,
                       "StartAuthSession ContextLoad:0x1df Load ContextSave Unseal FlushContext");
      assert_unseals (tpm, sealed, "a", 1);
      g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession ContextLoad Unseal FlushContext");
    }
  software_tpm_assert_empty (software);
}

static void
test_gone_and_back (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);

  software_tpm_stop (software);
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_UNAVAILABLE);
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_UNAVAILABLE);
  software_tpm_start (software);
  assert_unseals (tpm, sealed, NULL, 1);

  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (tpm);
  software_tpm_stop (software); /* in the middle of a call */
  g_assert_null (cmk_tpm_unseal (session, sealed, NULL, CMK_TPM_LAST, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_clear_pointer (&session, cmk_tpm_session_end);
  software_tpm_start (software);
  assert_unseals (tpm, sealed, NULL, 1);
  software_tpm_assert_empty (software);
}

static void
test_restart_within (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (tpm);
  software_tpm_stop (software);
  software_tpm_start (software);
  g_autoptr (CmkSecret) secret = cmk_tpm_unseal (session, sealed, NULL, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (cmk_secret_length (secret), ==, 32);
  g_clear_pointer (&session, cmk_tpm_session_end);
  assert_unseals (tpm, sealed, NULL, 1);
  software_tpm_assert_empty (software);
}

static void
test_absent_at_start (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  software_tpm_stop (software);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_tpm_open (software->counted, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_clear_error (&error);
  g_assert_null (cmk_tpm_open ("no-such-tcti:x", &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
}

static void
test_replaced (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  software_tpm_replace (software);
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_CHANGED);
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_CHANGED);

  g_autoptr (CmkTpm) newcomer = open_tpm (software); /* a new start: the caller compares the names */
  g_assert_false (g_bytes_equal (cmk_tpm_root_name (newcomer), cmk_tpm_root_name (tpm)));
  assert_unseal_fails (newcomer, sealed, CMK_ERROR_TPM_CHANGED);
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_CHANGED); /* now with a key of the same kind in the same place */
  software_tpm_assert_empty (software);
}

static void
test_cleared (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  assert_rc (Esys_Clear (meddler.esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE));
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_CHANGED);
  software_tpm_assert_empty (software);
}

static void
test_root_moved (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  meddler_evict (&meddler, ROOT_HANDLE); /* only from its place: the same key can be made again */
  assert_unseals (tpm, sealed, NULL, 1);
  meddler_evict (&meddler, ROOT_HANDLE);
  g_bytes_unref (meddler_make_key (&meddler, &standard_rsa, ROOT_HANDLE));
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_CHANGED);
  software_tpm_assert_empty (software);
}

static void
test_lockout (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (CmkTpm) tpm = open_tpm (software);
  g_autoptr (GBytes) sealed = seal (tpm, 1);
  software_tpm_set_fault (software, "Load 1-1 0x921");
  assert_unseal_fails (tpm, sealed, CMK_ERROR_TPM_LOCKOUT);
  assert_unseals (tpm, sealed, NULL, 1);
  software_tpm_assert_empty (software);
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/tpm/sealed-data-key-comes-back", test_round_trip);
  g_test_add_func ("/tpm/damaged-blob-is-refused", test_damaged_blob);
  g_test_add_func ("/tpm/root/is-kept-at-its-place", test_root_is_kept);
  g_test_add_func ("/tpm/root/standard-key-of-others-is-used", test_root_of_others);
  g_test_add_func ("/tpm/root/transient-when-place-is-taken", test_place_taken);
  g_test_add_func ("/tpm/root/transient-when-evict-is-refused", test_evict_refused);
  g_test_add_func ("/tpm/root/owner-password-needs-administrator", test_owner_password);
  g_test_add_func ("/tpm/root/forged-key-is-refused", test_root_forged);
  g_test_add_func ("/tpm/root/moved-key-is-found-again", test_root_moved);
  g_test_add_func ("/tpm/fingerprint", test_fingerprint);
  g_test_add_func ("/tpm/commands/per-call", test_commands);
  g_test_add_func ("/tpm/commands/at-start", test_start_commands);
  g_test_add_func ("/tpm/wrong-contexts-cost-time-only", test_wrong_contexts);
  g_test_add_func ("/tpm/restarted-between-calls", test_restart_in_between);
  g_test_add_func ("/tpm/restarted-within-a-call", test_restart_within);
  g_test_add_func ("/tpm/gone-and-back", test_gone_and_back);
  g_test_add_func ("/tpm/absent-at-start", test_absent_at_start);
  g_test_add_func ("/tpm/replaced", test_replaced);
  g_test_add_func ("/tpm/cleared", test_cleared);
  g_test_add_func ("/tpm/lockout", test_lockout);
  return g_test_run ();
}
