/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm/nv-index against a real (software) TPM: what it does, with how many commands, and what it makes of a TPM
 * that gives no index or whose owner has meddled with it. */
#include "nv-setup.h"

#include "base/error.h"

#include <string.h>

static void
assert_foreign (NvSetup *setup, CmkTpmNvIndex *index)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (nv_read (setup, index, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_FOREIGN);
  g_clear_error (&error);
  g_assert_false (nv_write (setup, index, setup->contents, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_FOREIGN);
}

static void
assert_missing (NvSetup *setup, CmkTpmNvIndex *index)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (nv_read (setup, index, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_MISSING);
  g_clear_error (&error);
  g_assert_false (nv_write (setup, index, setup->contents, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_MISSING);
}

static void
assert_open_fails (NvSetup *setup, guint32 handle, CmkTpmNvError code)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (nv_open (setup, handle, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, (int) code);
}

static void
assert_define_refused (NvSetup *setup, const char *advice)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (nv_define (setup, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_REFUSED);
  g_assert_nonnull (strstr (error->message, advice));
  software_tpm_assert_empty (setup->software);
}

/* --- what it does ------------------------------------------------------------------------------------------------ */

static void
test_round_trip (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  guint32 handle = cmk_tpm_nv_index_handle (index);
  g_assert_cmphex (handle, ==, FIRST_HANDLE);
  nv_assert_contents (&setup, index, setup.contents);

  g_autoptr (CmkSecret) others = nv_make_secret (CMK_TPM_NV_SIZE);
  nv_must_write (&setup, index, others);
  nv_assert_contents (&setup, index, others);
  g_assert_cmphex (nv_must_find (&setup, nv_label), ==, handle);
  g_assert_cmphex (nv_must_find (&setup, nv_other_label), ==, 0);
  nv_assert_contents (&setup, index, others); /* whoever else looked at it */

  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpm) newcomer = cmk_tpm_open (setup.software->counted, &error);
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (newcomer, &error);
  g_autoptr (CmkTpmNvIndex) again = cmk_tpm_nv_index_open (newcomer, handle, nv_label, setup.auth, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) found = cmk_tpm_nv_index_read (session, again, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (found, others));

  g_assert_true (nv_remove (&setup, handle, &error));
  g_assert_cmphex (nv_must_find (&setup, nv_label), ==, 0);
  g_assert_false (nv_remove (&setup, handle, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_MISSING);
  assert_missing (&setup, index);
  assert_open_fails (&setup, handle, CMK_TPM_NV_ERROR_MISSING);
  software_tpm_assert_empty (setup.software);
}

static void
test_commands (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  SoftwareTpm *software = setup.software;
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession GetCapability NV_DefineSpace NV_Write");
  nv_must_write (&setup, index, setup.contents);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession NV_Write");
  nv_assert_contents (&setup, index, setup.contents);
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession NV_Read");

  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmNvIndex) again = nv_open (&setup, FIRST_HANDLE, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (software_tpm_commands (software), ==, "NV_ReadPublic");
  {
    g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup.tpm, &error);
    g_autoptr (CmkSecret) first = cmk_tpm_nv_index_read (session, again, CMK_TPM_MORE, &error);
    g_assert_true (cmk_tpm_nv_index_write (session, again, first, CMK_TPM_MORE, &error));
    g_autoptr (CmkSecret) second = cmk_tpm_nv_index_read (session, again, CMK_TPM_LAST, &error);
    g_assert_true (cmk_secret_equal (first, second));
  }
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession NV_Read NV_Write NV_Read");
  g_assert_cmphex (nv_must_find (&setup, nv_other_label), ==, 0);
  g_assert_cmpstr (software_tpm_commands (software), ==, "GetCapability NV_ReadPublic");
  g_assert_true (nv_remove (&setup, FIRST_HANDLE, &error));
  g_assert_cmpstr (software_tpm_commands (software), ==, "StartAuthSession NV_ReadPublic NV_UndefineSpace");
  g_assert_cmphex (nv_must_find (&setup, nv_label), ==, 0);
  g_assert_cmpstr (software_tpm_commands (software), ==, "GetCapability");
  software_tpm_assert_empty (software);
}

static void
test_side_by_side (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) first = nv_must_define (&setup);
  g_autoptr (CmkSecret) auth = nv_make_secret (32);
  g_autoptr (CmkSecret) contents = nv_make_secret (CMK_TPM_NV_SIZE);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup.tpm, &error);
  g_autoptr (CmkTpmNvIndex) second =
      cmk_tpm_nv_index_define (session, nv_other_label, auth, contents, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_assert_cmphex (cmk_tpm_nv_index_handle (second), ==, FIRST_HANDLE + 1);

  nv_assert_contents (&setup, first, setup.contents);
  nv_assert_contents (&setup, second, contents);
  nv_must_write (&setup, first, contents);
  nv_must_write (&setup, second, setup.contents);
  nv_assert_contents (&setup, first, contents);
  nv_assert_contents (&setup, second, setup.contents);
  g_assert_cmphex (nv_must_find (&setup, nv_label), ==, FIRST_HANDLE);
  g_assert_cmphex (nv_must_find (&setup, nv_other_label), ==, FIRST_HANDLE + 1);
  assert_open_fails (&setup, FIRST_HANDLE + 1, CMK_TPM_NV_ERROR_FOREIGN); /* not of this label */

  g_assert_true (nv_remove (&setup, FIRST_HANDLE, &error));
  assert_missing (&setup, first);
  nv_assert_contents (&setup, second, setup.contents);
  software_tpm_assert_empty (setup.software);
}

/* A TPM cuts zeros off the end of every authorisation value. */
static void
test_auth_that_ends_in_zeros (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  memset (cmk_secret_data (setup.auth) + 30, 0, 2);
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  nv_must_write (&setup, index, setup.contents);
  nv_assert_contents (&setup, index, setup.contents);
}

static void
test_wrong_auth (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_autoptr (CmkSecret) wrong = nv_make_secret (32);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmNvIndex) thief = cmk_tpm_nv_index_open (setup.tpm, FIRST_HANDLE, nv_label, wrong, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 5; i++)
    assert_foreign (&setup, thief);

  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  TPMS_CAPABILITY_DATA *data = NULL;
  assert_rc (Esys_GetCapability (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
                                 TPM2_PT_LOCKOUT_COUNTER, 1, NULL, &data));
  g_assert_cmphex (data->data.tpmProperties.tpmProperty[0].property, ==, TPM2_PT_LOCKOUT_COUNTER);
  g_assert_cmpuint (data->data.tpmProperties.tpmProperty[0].value, ==, 0);
  Esys_Free (data);
  nv_assert_contents (&setup, index, setup.contents);
  software_tpm_assert_empty (setup.software);
}

/* --- no index to be had ------------------------------------------------------------------------------------------ */

static void
test_handle_taken (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE, NV_ATTRIBUTES, 8));
  assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE + 1, NV_ATTRIBUTES, 8));
  assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE + 3, NV_ATTRIBUTES, 8));
  software_tpm_set_fault (setup.software, "NV_DefineSpace 1-1 0x14c"); /* somebody was faster */
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_assert_cmphex (cmk_tpm_nv_index_handle (index), ==, FIRST_HANDLE + 4);
  g_assert_cmpstr (software_tpm_commands (setup.software), ==,
                   "StartAuthSession GetCapability NV_DefineSpace:0x14c NV_DefineSpace NV_Write");
  nv_assert_contents (&setup, index, setup.contents);
  software_tpm_assert_empty (setup.software);
}

static void
test_owner_password (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  TPM2B_AUTH password = { .size = 4, .buffer = "abcd" };
  assert_rc (Esys_HierarchyChangeAuth (meddler.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &password));
  assert_define_refused (&setup, "tpm2_changeauth");
  g_autoptr (GError) error = NULL;
  g_assert_false (nv_remove (&setup, FIRST_HANDLE, &error));
  g_assert_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_REFUSED);
  nv_assert_contents (&setup, index, setup.contents); /* one that is there is of use all the same */
  nv_must_write (&setup, index, setup.contents);
  software_tpm_assert_empty (setup.software);
}

static void
test_no_space (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  TSS2_RC rc = TSS2_RC_SUCCESS;
  TPM2_HANDLE next = 0x01900000;
  for (guint16 size = 2048; size > 8; size /= 2)
    {
      rc = TSS2_RC_SUCCESS;
      while (rc == TSS2_RC_SUCCESS)
        rc = nv_meddle_define (&meddler, next++, NV_ATTRIBUTES, size);
      g_assert_cmphex (rc, ==, TPM2_RC_NV_SPACE);
    }
  assert_define_refused (&setup, "tpm2_nvundefine");
  nv_meddle_remove (&meddler, 0x01900000);
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  nv_assert_contents (&setup, index, setup.contents);
}

/* More than a TPM lists in one answer. */
static void
test_no_handle (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  for (TPM2_HANDLE i = 0; i < 256; i++)
    assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE + i, NV_ATTRIBUTES, 8));
  assert_define_refused (&setup, "tpm2_nvundefine");
  g_assert_cmphex (nv_must_find (&setup, nv_other_label), ==, 0);
  nv_meddle_remove (&meddler, FIRST_HANDLE + 255);
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_assert_cmphex (cmk_tpm_nv_index_handle (index), ==, FIRST_HANDLE + 255);
}

static void
test_refusals (void)
{
  static const struct
  {
    const char *rule;
    const char *advice;
  } cases[] = {
    { "NV_DefineSpace 1-1 0x14b", "tpm2_nvundefine" }, { "NV_DefineSpace 1-1 0x9a2", "tpm2_changeauth" },
    { "NV_DefineSpace 1-1 0x98e", "tpm2_changeauth" }, { "NV_DefineSpace 1-1 0x185", "firmware" },
    { "NV_DefineSpace 1-1 0x143", "do without" },      { "NV_DefineSpace 1-1 0xb0143", "do without" },
    { "NV_DefineSpace 1-1 0x2c2", "do without" },      { "NV_DefineSpace 1-1 0x2d5", "do without" },
  };
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      software_tpm_set_fault (setup.software, cases[i].rule);
      assert_define_refused (&setup, cases[i].advice);
      g_assert_false (software_tpm_fault_waits (setup.software));
    }
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  nv_assert_contents (&setup, index, setup.contents);
}

/* --- what happens to an index ------------------------------------------------------------------------------------ */

static void
test_removed_behind_our_back (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  nv_meddle_remove (&meddler, FIRST_HANDLE);
  assert_missing (&setup, index);
  assert_open_fails (&setup, FIRST_HANDLE, CMK_TPM_NV_ERROR_MISSING);

  /* One just like it, as far as anybody can see. */
  assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE, NV_ATTRIBUTES, CMK_TPM_NV_SIZE));
  assert_foreign (&setup, index);
  assert_open_fails (&setup, FIRST_HANDLE, CMK_TPM_NV_ERROR_FOREIGN); /* not yet written */
  nv_meddle_write (&meddler, FIRST_HANDLE, CMK_TPM_NV_SIZE);
  assert_foreign (&setup, index);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmNvIndex) opened = nv_open (&setup, FIRST_HANDLE, &error);
  g_assert_no_error (error);
  assert_foreign (&setup, opened);
  software_tpm_assert_empty (setup.software);
}

static void
test_other_public_areas (void)
{
  static const struct
  {
    TPMA_NV attributes;
    guint16 size;
  } cases[] = {
    { NV_ATTRIBUTES, CMK_TPM_NV_SIZE - 1 },
    { NV_ATTRIBUTES | TPMA_NV_OWNERREAD, CMK_TPM_NV_SIZE },
    { NV_ATTRIBUTES | TPMA_NV_OWNERWRITE, CMK_TPM_NV_SIZE },
    { NV_ATTRIBUTES | TPMA_NV_POLICYWRITE, CMK_TPM_NV_SIZE },
    { NV_ATTRIBUTES & ~(TPMA_NV) TPMA_NV_NO_DA, CMK_TPM_NV_SIZE },
  };
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE, cases[i].attributes, cases[i].size));
      nv_meddle_write (&meddler, FIRST_HANDLE, cases[i].size);
      assert_open_fails (&setup, FIRST_HANDLE, CMK_TPM_NV_ERROR_FOREIGN);
      nv_meddle_remove (&meddler, FIRST_HANDLE);
    }
  assert_rc (nv_meddle_define (&meddler, FIRST_HANDLE, NV_ATTRIBUTES, CMK_TPM_NV_SIZE));
  nv_meddle_write (&meddler, FIRST_HANDLE, CMK_TPM_NV_SIZE);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmNvIndex) index = nv_open (&setup, FIRST_HANDLE, &error);
  g_assert_no_error (error);
  g_assert_nonnull (index);
}

static void
test_restarted (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_autoptr (CmkSecret) others = nv_make_secret (CMK_TPM_NV_SIZE);
  software_tpm_stop (setup.software);
  software_tpm_start (setup.software);
  nv_assert_contents (&setup, index, setup.contents);
  nv_must_write (&setup, index, others);

  software_tpm_stop (setup.software);
  g_autoptr (GError) error = NULL;
  g_assert_null (nv_read (&setup, index, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  software_tpm_start (setup.software);
  (void) software_tpm_commands (setup.software);
  nv_assert_contents (&setup, index, others); /* over a new connection */
  g_assert_cmpstr (software_tpm_commands (setup.software), ==, "ReadPublic StartAuthSession NV_ReadPublic NV_Read");
  nv_must_write (&setup, index, setup.contents);
  g_assert_cmpstr (software_tpm_commands (setup.software), ==, "StartAuthSession NV_Write");
  software_tpm_assert_empty (setup.software);
}

static void
test_cleared (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup.software);
  assert_rc (Esys_Clear (meddler.esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE));
  g_autoptr (GError) error = NULL;
  g_assert_null (nv_read (&setup, index, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED);
  g_clear_pointer (&setup.tpm, cmk_tpm_close);
  g_clear_error (&error);
  setup.tpm = cmk_tpm_open (setup.software->counted, &error); /* a new start, with the new root key */
  g_assert_no_error (error);
  assert_open_fails (&setup, FIRST_HANDLE, CMK_TPM_NV_ERROR_MISSING);
  g_assert_cmphex (nv_must_find (&setup, nv_label), ==, 0);
  software_tpm_assert_empty (setup.software);
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/nv-index/contents-come-back", test_round_trip);
  g_test_add_func ("/nv-index/commands", test_commands);
  g_test_add_func ("/nv-index/two-side-by-side", test_side_by_side);
  g_test_add_func ("/nv-index/auth-that-ends-in-zeros", test_auth_that_ends_in_zeros);
  g_test_add_func ("/nv-index/wrong-auth-is-foreign-and-no-attack", test_wrong_auth);
  g_test_add_func ("/nv-index/refused/taken-handle-is-stepped-over", test_handle_taken);
  g_test_add_func ("/nv-index/refused/owner-password", test_owner_password);
  g_test_add_func ("/nv-index/refused/no-space", test_no_space);
  g_test_add_func ("/nv-index/refused/no-handle", test_no_handle);
  g_test_add_func ("/nv-index/refused/every-reason-has-its-advice", test_refusals);
  g_test_add_func ("/nv-index/removed-behind-our-back", test_removed_behind_our_back);
  g_test_add_func ("/nv-index/other-public-areas-are-foreign", test_other_public_areas);
  g_test_add_func ("/nv-index/tpm-restarted", test_restarted);
  g_test_add_func ("/nv-index/tpm-cleared", test_cleared);
  return g_test_run ();
}
