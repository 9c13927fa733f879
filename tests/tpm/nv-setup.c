/* SPDX-License-Identifier: Apache-2.0 */
#include "nv-setup.h"

#include <string.h>

const guint8 nv_label[CMK_TPM_NV_LABEL_SIZE] = "the label of this state";
const guint8 nv_other_label[CMK_TPM_NV_LABEL_SIZE] = "the label of another state";

CmkSecret *
nv_make_secret (gsize size)
{
  static guint8 seed;
  seed++;
  CmkSecret *secret = cmk_secret_new (size, NULL);
  for (gsize i = 0; i < size; i++)
    cmk_secret_data (secret)[i] = (guint8) (seed ^ (i * 37));
  return secret;
}

void
nv_setup_init (NvSetup *setup, SoftwareTpm *software)
{
  g_autoptr (GError) error = NULL;
  setup->software = software;
  setup->auth = nv_make_secret (32);
  setup->contents = nv_make_secret (CMK_TPM_NV_SIZE);
  setup->tpm = cmk_tpm_open (software->counted, &error);
  g_assert_no_error (error);
  (void) software_tpm_commands (software);
}

void
nv_setup_clear (NvSetup *setup)
{
  g_clear_pointer (&setup->tpm, cmk_tpm_close);
  g_clear_pointer (&setup->auth, cmk_secret_free);
  g_clear_pointer (&setup->contents, cmk_secret_free);
  g_clear_pointer (&setup->software, software_tpm_free);
}

CmkTpmNvIndex *
nv_define (NvSetup *setup, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  if (session == NULL)
    return NULL;
  return cmk_tpm_nv_index_define (session, nv_label, setup->auth, setup->contents, CMK_TPM_LAST, error);
}

gboolean
nv_write (NvSetup *setup, CmkTpmNvIndex *index, const CmkSecret *contents, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  return session != NULL && cmk_tpm_nv_index_write (session, index, contents, CMK_TPM_LAST, error);
}

CmkSecret *
nv_read (NvSetup *setup, CmkTpmNvIndex *index, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  return session == NULL ? NULL : cmk_tpm_nv_index_read (session, index, CMK_TPM_LAST, error);
}

gboolean
nv_remove (NvSetup *setup, guint32 handle, GError **error)
{
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (setup->tpm, error);
  return session != NULL && cmk_tpm_nv_index_remove (session, handle, CMK_TPM_LAST, error);
}

CmkTpmNvIndex *
nv_open (NvSetup *setup, guint32 handle, GError **error)
{
  return cmk_tpm_nv_index_open (setup->tpm, handle, nv_label, setup->auth, error);
}

CmkTpmNvIndex *
nv_must_define (NvSetup *setup)
{
  g_autoptr (GError) error = NULL;
  CmkTpmNvIndex *index = nv_define (setup, &error);
  g_assert_no_error (error);
  g_assert_nonnull (index);
  return index;
}

void
nv_must_write (NvSetup *setup, CmkTpmNvIndex *index, const CmkSecret *contents)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = nv_write (setup, index, contents, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

void
nv_assert_contents (NvSetup *setup, CmkTpmNvIndex *index, const CmkSecret *contents)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) found = nv_read (setup, index, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (found, contents));
}

guint32
nv_find (NvSetup *setup, const guint8 label[CMK_TPM_NV_LABEL_SIZE], GError **error)
{
  g_autoptr (GArray) entries = cmk_tpm_nv_index_list (setup->tpm, error);
  for (guint i = 0; entries != NULL && i < entries->len; i++)
    {
      const CmkTpmNvEntry *entry = &g_array_index (entries, CmkTpmNvEntry, i);
      if (memcmp (entry->label, label, sizeof entry->label) == 0)
        return entry->handle;
    }
  return 0;
}

guint32
nv_must_find (NvSetup *setup, const guint8 label[CMK_TPM_NV_LABEL_SIZE])
{
  g_autoptr (GError) error = NULL;
  guint32 handle = nv_find (setup, label, &error);
  g_assert_no_error (error);
  return handle;
}

TSS2_RC
nv_meddle_define (Meddler *meddler, TPM2_HANDLE handle, TPMA_NV attributes, guint16 size)
{
  TPM2B_AUTH auth = { .size = 6, .buffer = "theirs" };
  TPM2B_NV_PUBLIC public = { .nvPublic = { .nvIndex = handle,
                                           .nameAlg = TPM2_ALG_SHA256,
                                           .attributes = attributes,
                                           .authPolicy = { .size = CMK_TPM_NV_LABEL_SIZE },
                                           .dataSize = size } };
  memcpy (public.nvPublic.authPolicy.buffer, nv_label, CMK_TPM_NV_LABEL_SIZE);
  ESYS_TR tr = ESYS_TR_NONE;
  return Esys_NV_DefineSpace (meddler->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &auth,
                              &public, &tr);
}

static ESYS_TR
look_up (Meddler *meddler, TPM2_HANDLE handle)
{
  ESYS_TR tr = ESYS_TR_NONE;
  assert_rc (Esys_TR_FromTPMPublic (meddler->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr));
  return tr;
}

void
nv_meddle_write (Meddler *meddler, TPM2_HANDLE handle, guint16 size)
{
  TPM2B_AUTH auth = { .size = 6, .buffer = "theirs" };
  TPM2B_MAX_NV_BUFFER zeros = { .size = size };
  ESYS_TR tr = look_up (meddler, handle);
  assert_rc (Esys_TR_SetAuth (meddler->esys, tr, &auth));
  assert_rc (Esys_NV_Write (meddler->esys, tr, tr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &zeros, 0));
}

void
nv_meddle_remove (Meddler *meddler, TPM2_HANDLE handle)
{
  assert_rc (Esys_NV_UndefineSpace (meddler->esys, ESYS_TR_RH_OWNER, look_up (meddler, handle), ESYS_TR_PASSWORD,
                                    ESYS_TR_NONE, ESYS_TR_NONE));
}
