/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions that stay open from call to call, and what one connection hands over to the next. */
#include "software-tpm.h"

#include "base/error.h"
#include "tpm/handover.h"
#include "tpm/session.h"

#include <string.h>

#define OBJECT      0x80U
#define LOADED      0x02U
#define SAVED       0x03U
#define LONG_ENOUGH 300
#define CALL        "Load Unseal FlushContext Create" /* in a session that is open */
#define CALL_ANEW   "StartAuthSession " CALL

typedef struct
{
  SoftwareTpm *software;
  CmkTpm *tpm;
  CmkSecret *data_key;
  GBytes *sealed;
} Setup;

static CmkTpm *
open_keeping (SoftwareTpm *software, const CmkTpmHandover *handover)
{
  g_autoptr (GError) error = NULL;
  CmkTpm *tpm = cmk_tpm_open_warm (software->counted, handover, NULL, &error);
  g_assert_no_error (error);
  cmk_tpm_keep_sessions (tpm, LONG_ENOUGH);
  return tpm;
}

static void
set_up (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  setup->software = software_tpm_new ();
  setup->tpm = open_keeping (setup->software, NULL);
  setup->data_key = cmk_secret_new (32, &error);
  memset (cmk_secret_data (setup->data_key), 7, 32);
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, &error);
  setup->sealed = cmk_tpm_seal (session, setup->data_key, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
}

/* The TPM is as empty as it was. */
static void
tear_down (Setup *setup)
{
  cmk_tpm_close (setup->tpm);
  software_tpm_assert_empty (setup->software);
  cmk_secret_free (setup->data_key);
  g_bytes_unref (setup->sealed);
  software_tpm_free (setup->software);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Setup, tear_down)

static gboolean
call (Setup *setup, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  g_autoptr (CmkSecret) key =
      session != NULL ? cmk_tpm_unseal (session, setup->sealed, NULL, CMK_TPM_MORE, error) : NULL;
  if (key == NULL)
    return FALSE;
  g_assert_true (cmk_secret_equal (key, setup->data_key));
  g_autoptr (GBytes) sealed = cmk_tpm_seal (session, key, CMK_TPM_LAST, error);
  return sealed != NULL;
}

static void
assert_call (Setup *setup, const char *commands)
{
  g_autoptr (GError) error = NULL;
  (void) software_tpm_commands (setup->software);
  gboolean ok = call (setup, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
  if (commands != NULL)
    g_assert_cmpstr (software_tpm_commands (setup->software), ==, commands);
}

static void
assert_sessions (Setup *setup, guint loaded, guint saved)
{
  g_assert_cmpuint (software_tpm_count (setup->software, OBJECT), ==, 0);
  g_assert_cmpuint (software_tpm_count (setup->software, LOADED), ==, loaded);
  g_assert_cmpuint (software_tpm_count (setup->software, SAVED), ==, saved);
}

/* --- from call to call ------------------------------------------------------------------------------------------- */

static void
test_calls_share_a_session (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  for (int i = 0; i < 3; i++)
    assert_call (&setup, CALL);
  assert_sessions (&setup, 1, 0);
}

static void
test_unused_session_is_given_back (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  cmk_tpm_rest (setup.tpm);
  assert_sessions (&setup, 1, 0);
  cmk_tpm_keep_sessions (setup.tpm, 0);
  cmk_tpm_rest (setup.tpm);
  assert_sessions (&setup, 0, 0);
  assert_call (&setup, CALL_ANEW);
  assert_sessions (&setup, 0, 0);
}

/* Of TPM2_PT_CONTEXT_GAP_MAX, whatever the value, nothing is known. */
static void
test_small_gap_keeps_none (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  cmk_tpm_close (setup.tpm);
  software_tpm_set_fault (setup.software, "GetCapability 1-1 hide-00000114");
  setup.tpm = open_keeping (setup.software, NULL);
  g_assert_false (software_tpm_fault_waits (setup.software));
  assert_call (&setup, CALL_ANEW);
  assert_sessions (&setup, 0, 0);
}

static void
test_reset_between_calls (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  software_tpm_stop (setup.software);
  software_tpm_start (setup.software);
  assert_call (&setup, NULL);
  assert_call (&setup, CALL);
  assert_sessions (&setup, 1, 0);
}

/* TP-08: the sessions of others stay, and one that took our number is not ours to flush. */
static void
test_reset_and_a_neighbour (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  software_tpm_stop (setup.software);
  software_tpm_start (setup.software);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  ESYS_TR session = ESYS_TR_NONE;
  TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
  assert_rc (Esys_StartAuthSession (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    NULL, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256, &session));
  TPMS_CONTEXT *saved = NULL;
  assert_rc (Esys_ContextSave (meddler.esys, session, &saved));
  assert_call (&setup, NULL);
  assert_sessions (&setup, 1, 1);
  assert_rc (Esys_ContextLoad (meddler.esys, saved, &session));
  assert_rc (Esys_FlushContext (meddler.esys, session));
  Esys_Free (saved);
}

/* Each command of a call fails in each way: one session at most stays, and the next call works. */
static void
test_failures (void)
{
  static const char *actions[] = { "io",    "drop",  "garble", "cut",   "0x101", "0x910", "0x918",
                                   "0x905", "0x98e", "0x1df",  "0x901", "0x18b", "reset" };
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); /* a check that fails is told of */
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      gboolean over = FALSE;
      g_test_message ("%s", actions[i]);
      for (guint nth = 1; !over; nth++)
        {
          g_autofree char *rule = g_strdup_printf ("* %u-%u %s", nth, nth, actions[i]);
          software_tpm_set_fault (setup.software, rule);
          (void) call (&setup, NULL);
          over = software_tpm_fault_waits (setup.software);
          software_tpm_set_fault (setup.software, "");
          g_assert_cmpuint (software_tpm_count (setup.software, OBJECT), ==, 0);
          g_assert_cmpuint (software_tpm_count (setup.software, LOADED), <=, 1);
          assert_call (&setup, NULL);
          assert_sessions (&setup, 1, 0);
        }
    }
}

/* --- from one to the next ---------------------------------------------------------------------------------------- */

static CmkTpmHandover *
hand_over (Setup *setup)
{
  CmkTpmHandover *handover = cmk_tpm_hand_over (setup->tpm, LONG_ENOUGH);
  g_assert_nonnull (handover);
  g_assert_nonnull (handover->session_state);
  g_clear_pointer (&setup->tpm, cmk_tpm_close);
  assert_sessions (setup, 0, 1);
  (void) software_tpm_commands (setup->software);
  return handover;
}

static void
test_handover (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autofree char *manufacturer = g_strdup (cmk_tpm_identity (setup.tpm)->manufacturer);
  g_autofree char *firmware = g_strdup (cmk_tpm_identity (setup.tpm)->firmware);
  g_autoptr (GBytes) name = g_bytes_ref (cmk_tpm_root_name (setup.tpm));
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (CmkTpmHandover) handover = hand_over (&setup);
      g_assert_cmpuint (handover->session_seconds, ==, LONG_ENOUGH);
      setup.tpm = open_keeping (setup.software, handover);
      g_assert_cmpstr (software_tpm_commands (setup.software), ==, "ContextLoad");
      g_assert_cmpstr (cmk_tpm_identity (setup.tpm)->manufacturer, ==, manufacturer);
      g_assert_cmpstr (cmk_tpm_identity (setup.tpm)->firmware, ==, firmware);
      g_assert_true (g_bytes_equal (cmk_tpm_root_name (setup.tpm), name));
      assert_call (&setup, CALL);
    }
}

static void
test_handover_of_a_transient_root (void)
{
  g_autoptr (GError) error = NULL;
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_clear_pointer (&setup.tpm, cmk_tpm_close);
  g_clear_pointer (&setup.sealed, g_bytes_unref);
  {
    g_auto (Meddler) meddler = { 0 };
    meddler_open (&meddler, setup.software);
    meddler_evict (&meddler, ROOT_HANDLE);
    TPM2B_PUBLIC strange = standard_ecc;
    strange.publicArea.objectAttributes &= ~(TPMA_OBJECT) (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
    g_bytes_unref (meddler_make_key (&meddler, &strange, ROOT_HANDLE));
  }
  setup.tpm = open_keeping (setup.software, NULL);
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup.tpm, &error);
  setup.sealed = cmk_tpm_seal (session, setup.data_key, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_clear_pointer (&session, cmk_tpm_session_end);
  g_autoptr (CmkTpmHandover) handover = hand_over (&setup);
  setup.tpm = open_keeping (setup.software, handover);
  assert_call (&setup, "ContextLoad " CALL " FlushContext"); /* of the root key */
}

/* KR-05 */
static void
test_handover_is_good_once (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autoptr (CmkTpmHandover) handover = hand_over (&setup);
  setup.tpm = open_keeping (setup.software, handover);
  G_GNUC_UNUSED g_autoptr (CmkTpm) second = open_keeping (setup.software, handover);
  assert_call (&setup, NULL);
  assert_sessions (&setup, 1, 0);
}

static void
test_handover_over_a_reset (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autoptr (CmkTpmHandover) handover = hand_over (&setup);
  software_tpm_stop (setup.software);
  software_tpm_start (setup.software);
  setup.tpm = open_keeping (setup.software, handover);
  assert_call (&setup, CALL_ANEW);
}

static void
test_handover_to_another_tpm (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autoptr (CmkTpmHandover) handover = hand_over (&setup);
  software_tpm_replace (setup.software);
  g_autoptr (GError) error = NULL;
  setup.tpm = open_keeping (setup.software, handover);
  g_assert_false (call (&setup, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED);
}

static void
test_abandoned_session (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_autoptr (CmkTpmHandover) handover = hand_over (&setup);
  setup.tpm = open_keeping (setup.software, NULL);
  cmk_tpm_abandon_session (setup.tpm, handover->session);
  assert_sessions (&setup, 0, 1);
  cmk_tpm_rest (setup.tpm);
  assert_sessions (&setup, 0, 0);

  static const guint8 nonsense[] = { 1, 2, 3 };
  g_autoptr (GBytes) other = g_bytes_new_static (nonsense, sizeof nonsense);
  cmk_tpm_abandon_session (setup.tpm, other);
  cmk_tpm_rest (setup.tpm);
  cmk_tpm_abandon_session (setup.tpm, handover->session); /* it is not there any more */
  cmk_tpm_rest (setup.tpm);
  assert_call (&setup, CALL_ANEW);
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/session/calls-share-a-session", test_calls_share_a_session);
  g_test_add_func ("/session/unused-session-is-given-back", test_unused_session_is_given_back);
  g_test_add_func ("/session/small-gap-keeps-none", test_small_gap_keeps_none);
  g_test_add_func ("/session/reset-between-calls", test_reset_between_calls);
  g_test_add_func ("/session/tp-08-reset-and-a-neighbour", test_reset_and_a_neighbour);
  g_test_add_func ("/session/failures-leave-one-at-most", test_failures);
  g_test_add_func ("/handover/session-goes-on", test_handover);
  g_test_add_func ("/handover/transient-root", test_handover_of_a_transient_root);
  g_test_add_func ("/handover/kr-05-good-once", test_handover_is_good_once);
  g_test_add_func ("/handover/over-a-reset", test_handover_over_a_reset);
  g_test_add_func ("/handover/to-another-tpm", test_handover_to_another_tpm);
  g_test_add_func ("/handover/abandoned-session", test_abandoned_session);
  return g_test_run ();
}
