/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm when commands fail, and what it leaves behind: nothing in the TPM, no secret on the bus and none in the
 * memory that a core dump shows. Case ids are those of the security catalogue. */
#include "fault-setup.h"
#include "memory-search.h"

#include "base/error.h"

#include <string.h>

/* --- faults ------------------------------------------------------------------------------------------------------ */

static void
fail_in_every_way (FaultSetup *setup)
{
  static const char *actions[] = { "io", "drop", "garble", "0x101", "0x910", "0x918" };
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_test_message ("%s", actions[i]);
      g_hash_table_remove_all (setup->cache.entries);
      /* What is not tried again: Unseal, HMAC, Create, ... What was lost in a reset is. */
      guint n_failed = software_tpm_fail_everywhere (setup->software, actions[i], fault_call, setup);
      g_assert_true (n_failed > 2 || g_str_has_prefix (actions[i], "0x91"));
    }
}

static void
test_failures_leave_nothing (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  fail_in_every_way (&setup);
}

static void
test_failures_leave_nothing_transient (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_with_other_root ());
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

#define N_FAILURES_EACH 257 /* 10,023 in all: the answer to StartAuthSession has no HMAC to garble */

/* TP-13 */
static void
test_many_failures (void)
{
  static const char *commands[] = { "StartAuthSession", "Load", "Unseal", "HMAC", "Create" };
  static const char *actions[] = { "garble", "io", "drop", "cut", "0x101", "0x910", "0x918", "0x9a2" };
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  for (gsize i = 1; i < G_N_ELEMENTS (commands) * G_N_ELEMENTS (actions); i++)
    {
      g_autofree char *rule = g_strdup_printf ("%s 1-1000000 %s", commands[i % G_N_ELEMENTS (commands)],
                                               actions[i / G_N_ELEMENTS (commands)]);
      software_tpm_set_fault (setup.software, rule);
      for (guint j = 0; j < N_FAILURES_EACH; j++)
        g_assert_false (fault_call (&setup, NULL));
      software_tpm_set_fault (setup.software, "");
      software_tpm_assert_empty (setup.software);
    }
  fault_call_must_work (&setup);
}

static void
assert_call_fails (FaultSetup *setup, const char *rule, CmkError code, const char *advice)
{
  g_autoptr (GError) error = NULL;
  software_tpm_set_fault (setup->software, rule);
  g_assert_false (fault_call (setup, &error));
  g_assert_error (error, CMK_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, advice));
  software_tpm_set_fault (setup->software, "");
  software_tpm_assert_empty (setup->software);
}

/* TP-07 */
static void
test_busy (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  static const char *busy[] = { "0x922", "0x908", "0x90a", "0x920", "0x923" };
  for (gsize i = 0; i < G_N_ELEMENTS (busy); i++)
    {
      g_autofree char *rule = g_strdup_printf ("* 1-4 %s", busy[i]);
      software_tpm_set_fault (setup.software, rule);
      fault_call_must_work (&setup);
      g_assert_false (software_tpm_fault_waits (setup.software));
    }
  software_tpm_set_fault (setup.software, "Unseal 1-12 0x922"); /* ESYS gives up after five */
  fault_call_must_work (&setup);
  g_assert_false (software_tpm_fault_waits (setup.software));
  cmk_tpm_set_answer_seconds (3);
  assert_call_fails (&setup, "Unseal 1-1000 0x922", CMK_ERROR_TPM_UNAVAILABLE, "busy");
  cmk_tpm_set_answer_seconds (15);
}

/* TP-08 */
static void
test_short_of_memory (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  software_tpm_set_fault (setup.software, "Load 1-1 0x902");
  fault_call_must_work (&setup);
  assert_call_fails (&setup, "HMAC 1-2 0x902", CMK_ERROR_TPM_UNAVAILABLE, "/dev/tpmrm0");
  assert_call_fails (&setup, "StartAuthSession 1-2 0x903", CMK_ERROR_TPM_UNAVAILABLE, "/dev/tpmrm0");
  assert_call_fails (&setup, "StartAuthSession 1-2 0x905", CMK_ERROR_TPM_UNAVAILABLE, "tpm2_flushcontext -s");
  fault_call_must_work (&setup);
}

/* What a code of the TPM, or of its resource manager, means to a person. */
static void
test_meanings (void)
{
  static const struct
  {
    const char *rule;
    CmkError code;
    const char *text;
  } cases[] = {
    { "Unseal 1-99 0x921", CMK_ERROR_TPM_LOCKOUT, "it forgives one every 1000 seconds" }, /* as swtpm is made */
    { "* 1-99 0x921", CMK_ERROR_TPM_LOCKOUT, "tpm2_dictionarylockout --clear-lockout" },
    { "Unseal 1-99 0x1df", CMK_ERROR_TPM_CHANGED, "was cleared or replaced" },
    { "Unseal 1-99 0x98e", CMK_ERROR_TPM_UNAVAILABLE, "something altered the traffic" },
    { "Unseal 1-99 garble", CMK_ERROR_TPM_UNAVAILABLE, "something altered the traffic" },
    { "Unseal 1-99 0x101", CMK_ERROR_TPM_UNAVAILABLE, "though its self-test passes" }, /* TP-12 */
    { "* 1-99 0x101", CMK_ERROR_TPM_UNAVAILABLE, "tpm2_gettestresult" },
    { "Unseal 1-99 0xb0143", CMK_ERROR_TPM_UNAVAILABLE, "does not know the command" },
    { "Unseal 1-99 0x143", CMK_ERROR_TPM_UNAVAILABLE, "does not know the command" },
    { "Unseal 1-99 0x9d5", CMK_ERROR_TPM_UNAVAILABLE, "refused it" },
    { "Unseal 1-99 cut", CMK_ERROR_TPM_UNAVAILABLE, "an answer that is none" },
    { "* 1-99 io", CMK_ERROR_TPM_UNAVAILABLE, "cannot be reached" },
    { "Load 1-99 0xc0902", CMK_ERROR_TPM_UNAVAILABLE, "/dev/tpmrm0" },
    { "StartAuthSession 1-99 0x901", CMK_ERROR_TPM_UNAVAILABLE, "tpm2_flushcontext -s" },
  };
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      assert_call_fails (&setup, cases[i].rule, cases[i].code, cases[i].text);
      g_assert_nonnull (strstr (cmk_tpm_trouble (), cases[i].text));
      fault_call_must_work (&setup);
    }
  software_tpm_set_fault (setup.software, "Load 1-1 0xb0902");
  fault_call_must_work (&setup);
}

/* A TPM that is being tested is told to go on with it, once. */
static void
test_self_test (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  (void) software_tpm_commands (setup.software);
  software_tpm_set_fault (setup.software, "StartAuthSession 1-11 0x90a"); /* ESYS sends it five times by itself */
  fault_call_must_work (&setup);
  const char *commands = software_tpm_commands (setup.software);
  const char *test = strstr (commands, "SelfTest");
  g_assert_true (test != NULL && strstr (test + 1, "SelfTest") == NULL);
}

static void
test_not_started (void)
{
  SoftwareTpm *software = software_tpm_new ();
  software->flags = SOFTWARE_TPM_NOT_STARTED;
  software_tpm_stop (software);
  software_tpm_start (software);
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software);
  software_tpm_stop (software);
  software_tpm_start (software);
  fault_call_must_work (&setup);
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
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software);
  fault_call_must_work (&setup); /* loaded */
  fault_call_must_work (&setup); /* from its context */
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
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
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
  fault_call_must_work (&setup);
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
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/tpm-faults/nothing-is-left-in-the-tpm", test_failures_leave_nothing);
  g_test_add_func ("/tpm-faults/nothing-is-left-in-the-tpm/transient-root", test_failures_leave_nothing_transient);
  g_test_add_func ("/tpm-faults/nothing-is-left-in-the-tpm/at-start", test_failures_at_start);
  g_test_add_func ("/tpm-faults/TP-13-many-failures-leave-nothing", test_many_failures);
  g_test_add_func ("/tpm-faults/TP-07-busy-tpm-is-waited-for", test_busy);
  g_test_add_func ("/tpm-faults/TP-08-short-of-memory", test_short_of_memory);
  g_test_add_func ("/tpm-faults/what-codes-mean", test_meanings);
  g_test_add_func ("/tpm-faults/TP-07-self-test", test_self_test);
  g_test_add_func ("/tpm-faults/tpm-that-nobody-started", test_not_started);
  g_test_add_func ("/tpm-faults/TP-16-no-secret-on-the-bus", test_nothing_on_the_bus);
  g_test_add_func ("/tpm-faults/no-secret-in-memory", test_nothing_in_memory);
  return g_test_run ();
}
