/* SPDX-License-Identifier: Apache-2.0 */
#include "fault-setup.h"

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

void
fault_setup_clear (FaultSetup *setup)
{
  g_clear_pointer (&setup->sealed, g_bytes_unref);
  g_clear_pointer (&setup->fingerprint_key, g_bytes_unref);
  g_clear_pointer (&setup->data_key, cmk_secret_free);
  g_clear_pointer (&setup->message, cmk_secret_free);
  g_clear_pointer (&setup->tpm, cmk_tpm_close);
  memory_cache_clear (&setup->cache);
  g_clear_pointer (&setup->software, software_tpm_free);
}

void
fault_setup_init (FaultSetup *setup, SoftwareTpm *software)
{
  g_autoptr (GError) error = NULL;
  setup->software = software;
  cmk_tpm_set_answer_seconds (15);
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

gboolean
fault_call (gpointer data, GError **error)
{
  FaultSetup *setup = data;
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

void
fault_call_must_work (FaultSetup *setup)
{
  tpm_call_must_work (fault_call, setup);
}

SoftwareTpm *
software_tpm_with_other_root (void)
{
  SoftwareTpm *software = software_tpm_new ();
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  TPM2B_PUBLIC strange = standard_ecc;
  strange.publicArea.objectAttributes &= ~(TPMA_OBJECT) (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT);
  g_bytes_unref (meddler_make_key (&meddler, &strange, ROOT_HANDLE));
  return software;
}
