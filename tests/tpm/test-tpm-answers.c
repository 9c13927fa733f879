/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm when the TPM answers late, never, with what is no answer, or is reset. Case ids are those of
 * the security catalogue. Nothing here depends on how fast anything is, except that a TPM answers within its time. */
#include "fault-setup.h"

#include "base/error.h"
#include "tpm/transport.h"

#include <glib/gstdio.h>
#include <string.h>
#include <tss2/tss2_sys.h>

#define DEADLINE (60 * G_USEC_PER_SEC)

static void
assert_silent (FaultSetup *setup)
{
  g_autoptr (GError) error = NULL;
  g_assert_false (fault_call (setup, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "has not answered for"));
  g_assert_nonnull (strstr (cmk_tpm_trouble (), "has not answered for"));
}

static void
call_until_it_works (FaultSetup *setup)
{
  gint64 deadline = g_get_monotonic_time () + DEADLINE;
  while (!fault_call (setup, NULL))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_usleep (5000);
    }
}

/* --- no answer --------------------------------------------------------------------------------------------------- */

/* The @nth command of a call is not answered until somebody says so. */
static void
hang_at (FaultSetup *setup, guint nth)
{
  g_autofree char *rule = g_strdup_printf ("* %u-%u hang", nth, nth);
  software_tpm_set_fault (setup->software, rule);
  assert_silent (setup);
  (void) software_tpm_commands (setup->software);
  for (int i = 0; i < 3; i++)
    assert_silent (setup);
  g_assert_cmpstr (software_tpm_commands (setup->software), ==, ""); /* nobody was asked, nobody waited */
  software_tpm_set_fault (setup->software, "");
  call_until_it_works (setup);
  software_tpm_assert_empty (setup->software);
}

/* TP-11 */
static void
test_hang (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  cmk_tpm_set_answer_seconds (2);
  static const guint places[] = { 1, 2, 3, 4, 5, 7, 9 }; /* all but a second Load, FlushContext */
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_hash_table_remove_all (setup.cache.entries);
      hang_at (&setup, places[i]);
    }
}

static void
test_hang_with_transient_root (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_with_other_root ());
  cmk_tpm_set_answer_seconds (2);
  static const guint places[] = { 1, 2, 4 }; /* ContextLoad, StartAuthSession, Unseal */
  for (gsize i = 0; i < G_N_ELEMENTS (places); i++)
    hang_at (&setup, places[i]);
}

static void
test_hang_while_connecting (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  g_autofree char *hang = g_strconcat (setup.software->log, ".hang", NULL);
  cmk_tpm_set_answer_seconds (2);
  g_assert_true (g_file_set_contents (hang, "", 0, NULL));
  software_tpm_set_fault (setup.software, "* 1-1 io");
  for (int i = 0; i < 3; i++)
    assert_silent (&setup);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_tpm_open (setup.software->counted, &error)); /* it is not another connection that would help */
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_assert_cmpint (g_unlink (hang), ==, 0);
  call_until_it_works (&setup);
  software_tpm_assert_empty (setup.software);
}

/* --- key generation ---------------------------------------------------------------------------------------------- */

static TSS2_RC
create (ESYS_CONTEXT *esys, ESYS_TR parent, const TPM2B_PUBLIC *template, guint16 size)
{
  TPM2B_SENSITIVE_CREATE sensitive = { .sensitive.data.size = size };
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  return Esys_Create (esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, template, &no_info,
                      &no_pcrs, NULL, NULL, NULL, NULL, NULL);
}

/* What takes its time and is known for it has more than the rest. */
static void
test_key_generation (void)
{
  static const TPM2B_PUBLIC sealed = { .publicArea = { .type = TPM2_ALG_KEYEDHASH,
                                                       .nameAlg = TPM2_ALG_SHA256,
                                                       .objectAttributes = TPMA_OBJECT_USERWITHAUTH,
                                                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL } };
  TPM2B_PUBLIC pair = standard_rsa;
  TPM2B_SENSITIVE_CREATE nothing = { 0 };
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  TSS2_TCTI_CONTEXT *tcti = NULL;
  ESYS_CONTEXT *esys = NULL;
  ESYS_TR parent = ESYS_TR_NONE;
  cmk_tpm_set_answer_seconds (2);
  assert_rc (cmk_transport_open (software->counted, &tcti));
  assert_rc (Esys_Initialize (&esys, tcti, NULL));
  assert_rc (Esys_CreatePrimary (esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                                 &standard_ecc, &no_info, &no_pcrs, &parent, NULL, NULL, NULL, NULL));
  software_tpm_set_fault (software, "Create 1-1 delay-3000");
  assert_rc (create (esys, parent, &pair, 0));
  software_tpm_set_fault (software, "Create 1-1 delay-4000");
  g_assert_cmphex (create (esys, parent, &sealed, 32), ==, CMK_TRANSPORT_RC_SILENT);
  Esys_Finalize (&esys);
  cmk_transport_close (&tcti);
  gint64 deadline = g_get_monotonic_time () + DEADLINE;
  while (cmk_transport_open (software->counted, &tcti) != TSS2_RC_SUCCESS)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_usleep (5000);
    }
  cmk_transport_close (&tcti);
}

/* --- what is no answer ------------------------------------------------------------------------------------------- */

/* TP-09 */
static void
test_no_answers (void)
{
  static const char *actions[] = { "cut", "huge", "random", "short" };
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_test_message ("%s", actions[i]);
      g_hash_table_remove_all (setup.cache.entries);
      g_assert_cmpuint (software_tpm_fail_everywhere (setup.software, actions[i], fault_call, &setup), >, 2);
    }
}

/* What a TPM without a resource manager has left of whoever was told a wrong handle. */
static void
flush_all (SoftwareTpm *software)
{
  static const TPM2_HANDLE kinds[] = { 0x80000000U, 0x02000000U };
  g_auto (Meddler) meddler = { 0 };
  TSS2_SYS_CONTEXT *sys = NULL;
  meddler_open (&meddler, software);
  assert_rc (Esys_GetSysContext (meddler.esys, &sys));
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      TPMS_CAPABILITY_DATA *data = NULL;
      assert_rc (Esys_GetCapability (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, kinds[i],
                                     TPM2_MAX_CAP_HANDLES, NULL, &data));
      for (guint32 j = 0; j < data->data.handles.count; j++)
        assert_rc (Tss2_Sys_FlushContext (sys, data->data.handles.handle[j]));
      Esys_Free (data);
    }
}

/* One bit at a time, everywhere in every answer. The call itself checks that what it gets is right, if it gets it. */
static void
test_flipped_bits (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  guint n_failed = 0;
  for (guint nth = 1; nth <= 9; nth++)
    for (guint bit = nth; bit < 3000; bit += bit < 160 ? 3 : 47)
      {
        g_autofree char *rule = g_strdup_printf ("* %u-%u flip-%u", nth, nth, bit);
        g_autoptr (GError) error = NULL;
        if (bit % 2 == 0)
          g_hash_table_remove_all (setup.cache.entries);
        software_tpm_set_fault (setup.software, rule);
        if (!fault_call (&setup, &error))
          {
            g_assert_cmpuint (error->domain, ==, CMK_ERROR);
            n_failed++;
          }
        software_tpm_set_fault (setup.software, "");
        flush_all (setup.software);
        fault_call_must_work (&setup);
      }
  g_assert_cmpuint (n_failed, >, 300);
  software_tpm_assert_empty (setup.software);
}

/* --- resets ------------------------------------------------------------------------------------------------------ */

/* Whatever was loaded is gone, at any time. No call may notice. TP-03 */
static void
reset_everywhere (SoftwareTpm *software, guint session_seconds)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software);
  cmk_tpm_keep_sessions (setup.tpm, session_seconds);
  gboolean is_over = FALSE;
  for (guint nth = 1; !is_over; nth++)
    {
      g_autofree char *rule = g_strdup_printf ("* %u-%u reset", nth, nth);
      if (nth % 2 == 0)
        g_hash_table_remove_all (setup.cache.entries);
      software_tpm_set_fault (software, rule);
      fault_call_must_work (&setup);
      is_over = software_tpm_fault_waits (software);
    }
  software_tpm_set_fault (software, "");
  fault_call_must_work (&setup);
  g_clear_pointer (&setup.tpm, cmk_tpm_close);
  software_tpm_assert_empty (software);
}

static void
test_resets (void)
{
  reset_everywhere (software_tpm_new (), 0);
}

static void
test_resets_with_kept_session (void)
{
  reset_everywhere (software_tpm_new (), 300);
}

static void
test_resets_with_transient_root (void)
{
  reset_everywhere (software_tpm_with_other_root (), 0);
}

/* --- the time of a call ------------------------------------------------------------------------------------------ */

static void
test_time_of_a_call (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  cmk_tpm_set_answer_seconds (3);
  software_tpm_set_fault (setup.software, "* 1-1000 delay-500");
  fault_call_must_work (&setup);
  cmk_tpm_begin_call ();
  assert_silent (&setup);
  software_tpm_set_fault (setup.software, "");
  assert_silent (&setup); /* its time is over, whatever else it wants */
  cmk_tpm_begin_call ();
  call_until_it_works (&setup);
  software_tpm_assert_empty (setup.software);
}

/* A thread that does not come back holds up nobody for ever. The last test, because it does not come back. */
static void
test_another_try (void)
{
  g_auto (FaultSetup) setup = { 0 };
  fault_setup_init (&setup, software_tpm_new ());
  cmk_tpm_set_answer_seconds (1);
  cmk_tpm_begin_call ();
  software_tpm_set_fault (setup.software, "StartAuthSession 1-1 delay-600000");
  assert_silent (&setup);
  gint64 deadline = g_get_monotonic_time () + DEADLINE;
  do
    {
      cmk_tpm_begin_call ();
      g_usleep (50000);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
    }
  while (!fault_call (&setup, NULL));
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/tpm-answers/TP-11-none", test_hang);
  g_test_add_func ("/tpm-answers/TP-11-none-with-transient-root", test_hang_with_transient_root);
  g_test_add_func ("/tpm-answers/TP-11-none-while-connecting", test_hang_while_connecting);
  g_test_add_func ("/tpm-answers/key-generation-has-its-own-time", test_key_generation);
  g_test_add_func ("/tpm-answers/TP-09-no-answers", test_no_answers);
  g_test_add_func ("/tpm-answers/TP-09-flipped-bits", test_flipped_bits);
  g_test_add_func ("/tpm-answers/TP-03-resets", test_resets);
  g_test_add_func ("/tpm-answers/TP-03-resets-with-kept-session", test_resets_with_kept_session);
  g_test_add_func ("/tpm-answers/TP-03-resets-with-transient-root", test_resets_with_transient_root);
  g_test_add_func ("/tpm-answers/time-of-a-call", test_time_of_a_call);
  g_test_add_func ("/tpm-answers/another-try-after-a-while", test_another_try);
  return g_test_run ();
}
