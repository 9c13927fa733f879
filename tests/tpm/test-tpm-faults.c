/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm when commands fail, and what it leaves behind: nothing in the TPM, no secret on the bus and none in the
 * memory that a core dump shows. Case ids are those of the security catalogue. */
#include "memory-search.h"
#include "software-tpm.h"

#include "base/error.h"

#include <string.h>

typedef struct
{
  SoftwareTpm *software;
  CmkTpm *tpm;
  MemoryCache cache;
  CmkSecret *data_key;
  CmkSecret *message;
  GBytes *sealed;
  GBytes *fingerprint_key;
} Setup;

/* Another one each time: a test may look for its own. */
static CmkSecret *
make_secret (void)
{
  static guint8 seed;
  seed++;
  CmkSecret *secret = cmk_secret_new (32, NULL);
  for (guint8 i = 0; i < 32; i++)
    cmk_secret_data (secret)[i] = (guint8) (seed ^ (i * 37));
  return secret;
}

static void
clear (Setup *setup)
{
  g_clear_pointer (&setup->sealed, g_bytes_unref);
  g_clear_pointer (&setup->fingerprint_key, g_bytes_unref);
  g_clear_pointer (&setup->data_key, cmk_secret_free);
  g_clear_pointer (&setup->message, cmk_secret_free);
  g_clear_pointer (&setup->tpm, cmk_tpm_close);
  memory_cache_clear (&setup->cache);
  g_clear_pointer (&setup->software, software_tpm_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Setup, clear)

static void
set_up (Setup *setup, SoftwareTpm *software)
{
  g_autoptr (GError) error = NULL;
  setup->software = software;
  memory_cache_init (&setup->cache);
  setup->data_key = make_secret ();
  setup->message = make_secret ();
  setup->tpm = cmk_tpm_open (software->counted, &error);
  g_assert_no_error (error);
  cmk_tpm_set_context_cache (setup->tpm, &setup->cache.functions);

  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, &error);
  g_assert_no_error (error);
  setup->sealed = cmk_tpm_seal (session, setup->data_key, CMK_TPM_MORE, &error);
  setup->fingerprint_key = cmk_tpm_create_fingerprint_key (session, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
}

/* One call that sends every kind of command: unseal, fingerprint, seal. */
static gboolean
call (Setup *setup, GError **error)
{
  guint8 fingerprint[CMK_TPM_FINGERPRINT_SIZE];
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  if (session == NULL)
    return FALSE;
  g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, setup->sealed, "key", CMK_TPM_MORE, error);
  if (key == NULL)
    return FALSE;
  g_assert_true (cmk_secret_equal (key, setup->data_key));
  if (!cmk_tpm_fingerprint (session, setup->fingerprint_key, NULL, cmk_secret_peek (setup->message), 32, CMK_TPM_MORE,
                            fingerprint, error))
    return FALSE;
  g_autoptr (GBytes) sealed = cmk_tpm_seal (session, key, CMK_TPM_LAST, error);
  return sealed != NULL;
}

static void
assert_call_works (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = call (setup, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

/* --- faults ------------------------------------------------------------------------------------------------------ */

/* Let the first, second, ... command of a call fail in turn, until the call is over before the fault strikes. */
static void
fail_everywhere (Setup *setup, const char *action)
{
  guint n_failed = 0;
  for (guint nth = 1;; nth++)
    {
      g_autofree char *rule = g_strdup_printf ("* %u-%u %s", nth, nth, action);
      g_autoptr (GError) error = NULL;
      software_tpm_set_fault (setup->software, rule);
      if (!call (setup, &error))
        {
          g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
          n_failed++;
        }
      gboolean over = software_tpm_fault_waits (setup->software);
      software_tpm_set_fault (setup->software, "");
      software_tpm_assert_empty (setup->software);
      assert_call_works (setup);
      software_tpm_assert_empty (setup->software);
      if (over)
        break;
    }
  /* What is not retried: Unseal, HMAC, Create, ... A session that is lost is begun again. */
  g_assert_cmpuint (n_failed, >, g_str_equal (action, "0x918") ? 0 : 2);
}

static void
fail_in_every_way (Setup *setup)
{
  static const char *actions[] = { "io", "drop", "garble", "0x101", "0x910", "0x918" };
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_test_message ("%s", actions[i]);
      g_hash_table_remove_all (setup->cache.entries);
      fail_everywhere (setup, actions[i]);
    }
}

static void
test_failures_leave_nothing (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software_tpm_new ());
  fail_in_every_way (&setup);
}

static void
test_failures_leave_nothing_transient (void)
{
  SoftwareTpm *software = software_tpm_new ();
  {
    g_auto (Meddler) meddler = { 0 };
    meddler_open (&meddler, software);
    TPM2B_PUBLIC strange = standard_ecc;
    strange.publicArea.objectAttributes &= ~(TPMA_OBJECT) (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
    g_bytes_unref (meddler_make_key (&meddler, &strange, ROOT_HANDLE));
  }
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software);
  fail_in_every_way (&setup);
}

static void
test_failures_at_start (void)
{
  static const char *actions[] = { "io", "drop", "0x101" };
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    for (guint nth = 1; nth <= 5; nth++) /* GetCapability ReadPublic CreatePrimary EvictControl FlushContext */
      {
        g_autofree char *rule = g_strdup_printf ("* %u-%u %s", nth, nth, actions[i]);
        g_autoptr (GError) error = NULL;
        software_tpm_replace (software);
        software_tpm_set_fault (software, rule);
        g_autoptr (CmkTpm) tpm = cmk_tpm_open (software->counted, &error);
        g_assert_false (software_tpm_fault_waits (software));
        if (tpm == NULL)
          g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
        g_clear_pointer (&tpm, cmk_tpm_close);
        software_tpm_assert_empty (software);
      }
}

/* TP-13. As many as there is time for; each kind of command is left to fail many times. */
static void
test_many_failures (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software_tpm_new ());
  for (guint i = 0; i < 500; i++)
    {
      g_autofree char *rule = g_strdup_printf ("* %u-%u %s", 1 + i % 9, 1 + i % 9, i % 2 == 0 ? "io" : "0x101");
      g_autoptr (GError) error = NULL;
      software_tpm_set_fault (setup.software, rule);
      if (!call (&setup, &error))
        g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
    }
  software_tpm_set_fault (setup.software, "");
  software_tpm_assert_empty (setup.software);
  assert_call_works (&setup);
}

static void
assert_call_fails (Setup *setup, const char *rule, CmkError code, const char *advice)
{
  g_autoptr (GError) error = NULL;
  software_tpm_set_fault (setup->software, rule);
  g_assert_false (call (setup, &error));
  g_assert_error (error, CMK_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, advice));
  software_tpm_set_fault (setup->software, "");
  software_tpm_assert_empty (setup->software);
}

/* TP-07 */
static void
test_busy (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software_tpm_new ());
  static const char *busy[] = { "0x922", "0x908", "0x90a", "0x920", "0x923" };
  for (gsize i = 0; i < G_N_ELEMENTS (busy); i++)
    {
      g_autofree char *rule = g_strdup_printf ("* 1-4 %s", busy[i]);
      software_tpm_set_fault (setup.software, rule);
      assert_call_works (&setup);
      g_assert_false (software_tpm_fault_waits (setup.software));
    }
  software_tpm_set_fault (setup.software, "Unseal 1-12 0x922"); /* ESYS gives up after five */
  assert_call_works (&setup);
  g_assert_false (software_tpm_fault_waits (setup.software));
  assert_call_fails (&setup, "Unseal 1-1000 0x922", CMK_ERROR_TPM_UNAVAILABLE, "busy");
}

/* TP-08 */
static void
test_short_of_memory (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software_tpm_new ());
  software_tpm_set_fault (setup.software, "Load 1-1 0x902");
  assert_call_works (&setup);
  assert_call_fails (&setup, "HMAC 1-2 0x902", CMK_ERROR_TPM_UNAVAILABLE, "/dev/tpmrm0");
  assert_call_fails (&setup, "StartAuthSession 1-2 0x903", CMK_ERROR_TPM_UNAVAILABLE, "/dev/tpmrm0");
  assert_call_fails (&setup, "StartAuthSession 1-2 0x905", CMK_ERROR_TPM_UNAVAILABLE, "tpm2_flushcontext -s");
  assert_call_works (&setup);
}

static void
test_not_started (void)
{
  SoftwareTpm *software = software_tpm_new ();
  software->flags = SOFTWARE_TPM_NOT_STARTED;
  software_tpm_stop (software);
  software_tpm_start (software);
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software);
  software_tpm_stop (software);
  software_tpm_start (software);
  assert_call_works (&setup);
  software_tpm_assert_empty (software);
}

/* --- what can be seen -------------------------------------------------------------------------------------------- */

static gboolean
contains (const char *data, gsize size, GBytes *needle)
{
  return memmem (data, size, g_bytes_get_data (needle, NULL), g_bytes_get_size (needle)) != NULL;
}

/* TP-16 */
static void
test_nothing_on_the_bus (void)
{
  SoftwareTpm *software = software_tpm_new ();
  g_autofree char *raw_path = g_strconcat (software->log, ".raw", NULL);
  g_assert_true (g_file_set_contents (raw_path, "", 0, NULL));
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software);
  assert_call_works (&setup); /* loaded */
  assert_call_works (&setup); /* from its context */
  g_autoptr (GError) error = NULL;
  guint8 fingerprint[32];
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup.tpm, &error);
  g_assert_true (cmk_tpm_fingerprint (session, setup.fingerprint_key, NULL, cmk_secret_peek (setup.message), 32,
                                      CMK_TPM_LAST, fingerprint, &error));

  g_autofree char *raw = NULL;
  gsize size;
  g_assert_true (g_file_get_contents (raw_path, &raw, &size, NULL));
  g_autoptr (GBytes) public_area = g_bytes_new_from_bytes (setup.sealed, 2, 32);
  g_assert_true (contains (raw, size, public_area)); /* what is no secret is there */
  g_autoptr (GBytes) result = g_bytes_new (fingerprint, sizeof fingerprint);
  g_assert_false (contains (raw, size, result));
  for (gsize half = 0; half < 32; half += 16)
    {
      g_assert_null (memmem (raw, size, cmk_secret_peek (setup.data_key) + half, 16));
      g_assert_null (memmem (raw, size, cmk_secret_peek (setup.message) + half, 16));
    }
}

static void
test_nothing_in_memory (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup, software_tpm_new ());
  g_assert_false (is_in_memory (setup.data_key));
  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup.tpm, &error);
      g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, setup.sealed, "key", CMK_TPM_LAST, &error);
      g_assert_no_error (error);
      g_assert_nonnull (key);
      g_assert_false (is_in_memory (setup.data_key)); /* while it is in use, too */
    }
  assert_call_works (&setup);
  g_assert_false (is_in_memory (setup.data_key));
  g_assert_false (is_in_memory (setup.message));

  /* If there was a copy it would be found. */
  g_autofree guint8 *copy = g_memdup2 (cmk_secret_peek (setup.data_key), 32);
  g_assert_cmpmem (copy, 32, cmk_secret_peek (setup.data_key), 32);
  g_assert_true (is_in_memory (setup.data_key));
}

int
main (int argc, char **argv)
{
  g_setenv ("TSS2_LOG", "all+none", FALSE);
  g_test_init (&argc, &argv, NULL);
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_secret_init (&error));

  g_test_add_func ("/tpm-faults/nothing-is-left-in-the-tpm", test_failures_leave_nothing);
  g_test_add_func ("/tpm-faults/nothing-is-left-in-the-tpm/transient-root", test_failures_leave_nothing_transient);
  g_test_add_func ("/tpm-faults/nothing-is-left-in-the-tpm/at-start", test_failures_at_start);
  g_test_add_func ("/tpm-faults/TP-13-many-failures-leave-nothing", test_many_failures);
  g_test_add_func ("/tpm-faults/TP-07-busy-tpm-is-waited-for", test_busy);
  g_test_add_func ("/tpm-faults/TP-08-short-of-memory", test_short_of_memory);
  g_test_add_func ("/tpm-faults/tpm-that-nobody-started", test_not_started);
  g_test_add_func ("/tpm-faults/TP-16-no-secret-on-the-bus", test_nothing_on_the_bus);
  g_test_add_func ("/tpm-faults/no-secret-in-memory", test_nothing_in_memory);
  return g_test_run ();
}
