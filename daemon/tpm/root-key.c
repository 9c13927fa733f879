/* SPDX-License-Identifier: Apache-2.0
 *
 * The storage root key: where it is looked for, what counts as standard, and the template it is made from. */
#include "tpm/internal.h"

#include "base/error.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define ROOT_ATTRIBUTES                                                                                                \
  (TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |                     \
   TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH)

/* TCG EK Credential Profile, template L-2, as systemd-tpm2-setup makes it: with an empty unique field. (The 32 zero
 * bytes that others put there make another key.) noDA, or a locked out TPM would lock every key of cmkd. */
static const TPM2B_PUBLIC template = {
  .publicArea = {
    .type = TPM2_ALG_ECC,
    .nameAlg = TPM2_ALG_SHA256,
    .objectAttributes = ROOT_ATTRIBUTES | TPMA_OBJECT_NODA,
    .parameters.eccDetail = {
      .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
      .scheme.scheme = TPM2_ALG_NULL,
      .curveID = TPM2_ECC_NIST_P256,
      .kdf.scheme = TPM2_ALG_NULL,
    },
  },
};

static gboolean
is_standard (const TPMT_PUBLIC *public)
{
  TPMA_OBJECT matter = ROOT_ATTRIBUTES | TPMA_OBJECT_SIGN_ENCRYPT;
  const TPMT_SYM_DEF_OBJECT *symmetric = &public->parameters.asymDetail.symmetric;
  if ((public->objectAttributes & matter) != ROOT_ATTRIBUTES || public->nameAlg != TPM2_ALG_SHA256)
    return FALSE;
  if (public->type == TPM2_ALG_ECC && public->parameters.eccDetail.curveID != TPM2_ECC_NIST_P256)
    return FALSE;
  if (public->type == TPM2_ALG_RSA && public->parameters.rsaDetail.keyBits < 2048)
    return FALSE;
  return (public->type == TPM2_ALG_ECC || public->type == TPM2_ALG_RSA) && symmetric->algorithm == TPM2_ALG_AES &&
         symmetric->keyBits.aes == 128 && symmetric->mode.aes == TPM2_ALG_CFB;
}

static gboolean
has_root_name (CmkTpm *tpm, const TPM2B_NAME *name)
{
  return g_bytes_get_size (tpm->root_name) == name->size &&
         memcmp (g_bytes_get_data (tpm->root_name, NULL), name->name, name->size) == 0;
}

/* The first name is the one to stay with. */
static gboolean
accept_name (CmkTpm *tpm, const TPM2B_NAME *name, GError **error)
{
  if (tpm->root_name == NULL)
    tpm->root_name = g_bytes_new (name->name, name->size);
  if (has_root_name (tpm, name))
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED,
                       "the storage root key of the TPM is not the one that cmkd started with: the TPM was cleared or "
                       "replaced; bring the old TPM back or import the keys again");
  return FALSE;
}

/* The name that ESYS will check the TPM's answers by. */
static gboolean
accept_object (CmkTpm *tpm, ESYS_TR tr, GError **error)
{
  cmk_tpm_auto_free TPM2B_NAME *name = NULL;
  return cmk_tpm_ok (tpm, Esys_TR_GetName (tpm->esys, tr, &name), "name the storage root key", error) &&
         accept_name (tpm, name, error);
}

/* The public area that ESYS has for @tr and will encrypt the salt of every session to. ESYS does not compare it with
 * the name, so somebody on the bus could give it his own key under the right name. It is had only by serialising;
 * the format is that of tpm2_calculate_serialize() in systemd. */
static gboolean
read_public (CmkTpm *tpm, ESYS_TR tr, TPM2B_PUBLIC *public, GError **error)
{
  const char *what = "read the storage root key";
  cmk_tpm_auto_free guint8 *data = NULL;
  gsize size, offset = 0;
  TPM2_HANDLE handle;
  TPM2B_NAME name = { 0 };
  guint32 type;
  if (!cmk_tpm_ok (tpm, Esys_TR_Serialize (tpm->esys, tr, &data, &size), what, error) ||
      !cmk_tss_ok (Tss2_MU_TPM2_HANDLE_Unmarshal (data, size, &offset, &handle), what, error) ||
      !cmk_tss_ok (Tss2_MU_TPM2B_NAME_Unmarshal (data, size, &offset, &name), what, error) ||
      !cmk_tss_ok (Tss2_MU_UINT32_Unmarshal (data, size, &offset, &type), what, error) ||
      !cmk_tss_ok (Tss2_MU_TPM2B_PUBLIC_Unmarshal (data, size, &offset, public), what, error))
    return FALSE;
  return cmk_tpm_is_name_of (&name, public) || cmk_tss_ok (TSS2_ESYS_RC_RSP_AUTH_FAILED, what, error);
}

gboolean
cmk_tpm_read_root_public (CmkTpm *tpm, TPM2B_PUBLIC *ret_public)
{
  return read_public (tpm, tpm->root, ret_public, NULL);
}

/* Take the key at the root key's place if it is a standard one; @ret_taken says whether anything is there. */
static gboolean
look_at_place (CmkTpm *tpm, gboolean *ret_taken, GError **error)
{
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (
      tpm, rc, Esys_TR_FromTPMPublic (tpm->esys, CMK_TPM_ROOT_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr));
  *ret_taken = rc == TSS2_RC_SUCCESS;
  if (cmk_tss_base (rc) == TPM2_RC_HANDLE)
    return TRUE;
  if (!cmk_tpm_ok (tpm, rc, "look for the storage root key", error))
    return FALSE;

  TPM2B_PUBLIC public = { 0 };
  gboolean ok = read_public (tpm, tr, &public, error);
  if (ok && is_standard (&public.publicArea))
    {
      ok = accept_object (tpm, tr, error);
      if (ok)
        tpm->root = tr;
    }
  if (tpm->root != tr)
    (void) Esys_TR_Close (tpm->esys, &tr);
  return ok;
}

static gboolean
create_primary (CmkTpm *tpm, CmkTpmHandle *primary, GError **error)
{
  TPM2B_SENSITIVE_CREATE nothing = { 0 };
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_CreatePrimary (tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                       &nothing, &template, &no_info, &no_pcrs, &tr, NULL, NULL, NULL, NULL));
  if (cmk_tss_base (rc) == TPM2_RC_BAD_AUTH || cmk_tss_base (rc) == TPM2_RC_AUTH_FAIL)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE,
                   "the TPM has no standard storage root key and its owner hierarchy has a password: an administrator "
                   "must create the storage root key at 0x%x (systemd-tpm2-setup, or tpm2_createprimary and "
                   "tpm2_evictcontrol with the owner password) (TPM code 0x%x)",
                   CMK_TPM_ROOT_HANDLE, rc);
      return FALSE;
    }
  if (!cmk_tpm_ok (tpm, rc, "create the storage root key", error))
    return FALSE;

  cmk_tpm_hold (tpm, tr, primary);
  if (accept_object (tpm, tr, error))
    return TRUE;
  cmk_tpm_flush (tpm, primary);
  return FALSE;
}

/* Leave @primary at the root key's place, which saves every later call two commands. FALSE if it did not come to
 * that: the TPM has no room, its owner does not allow it, or somebody else was faster. */
static gboolean
make_persistent (CmkTpm *tpm, CmkTpmHandle *primary)
{
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_EvictControl (tpm->esys, ESYS_TR_RH_OWNER, primary->tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                      ESYS_TR_NONE, CMK_TPM_ROOT_HANDLE, &tpm->root));
  gboolean taken;
  if (rc == TPM2_RC_NV_DEFINED)
    (void) look_at_place (tpm, &taken, NULL);
  else if (!cmk_tpm_ok (tpm, rc, "keep the storage root key", NULL))
    tpm->root = ESYS_TR_NONE;
  return tpm->root != ESYS_TR_NONE;
}

static gboolean
save_primary (CmkTpm *tpm, const CmkTpmHandle *primary, GError **error)
{
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_ContextSave (tpm->esys, primary->tr, &tpm->root_context));
  return cmk_tpm_ok (tpm, rc, "save the storage root key", error);
}

gboolean
cmk_tpm_has_root (CmkTpm *tpm)
{
  return tpm->root != ESYS_TR_NONE || tpm->root_context != NULL;
}

void
cmk_tpm_forget_root (CmkTpm *tpm)
{
  if (tpm->root != ESYS_TR_NONE)
    (void) Esys_TR_Close (tpm->esys, &tpm->root);
  tpm->root = ESYS_TR_NONE;
  tpm->root_has_password = FALSE;
  g_clear_pointer (&tpm->root_context, Esys_Free);
}

gboolean
cmk_tpm_find_root (CmkTpm *tpm, GError **error)
{
  gboolean taken;
  if (!look_at_place (tpm, &taken, error))
    return FALSE;
  if (tpm->root != ESYS_TR_NONE)
    return TRUE;

  CmkTpmHandle primary = CMK_TPM_HANDLE_NONE;
  if (!create_primary (tpm, &primary, error))
    return FALSE;
  gboolean ok = (!taken && make_persistent (tpm, &primary)) || save_primary (tpm, &primary, error);
  cmk_tpm_flush (tpm, &primary);
  return ok;
}

gboolean
cmk_tpm_load_root (CmkTpm *tpm, CmkTpmHandle *root, GError **error)
{
  if (tpm->root != ESYS_TR_NONE)
    {
      *root = (CmkTpmHandle) { .tr = tpm->root };
      return TRUE;
    }

  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_ContextLoad (tpm->esys, tpm->root_context, &tr));
  if (rc == TSS2_RC_SUCCESS)
    {
      cmk_tpm_hold (tpm, tr, root);
      return TRUE;
    }
  if (!cmk_tss_is_answer (rc))
    return cmk_tpm_ok (tpm, rc, "load the storage root key", error);

  /* A context does not outlive a reset of the TPM; the key can be made again from the same seed. */
  cmk_tpm_forget_root (tpm);
  if (!create_primary (tpm, root, error))
    return FALSE;
  if (save_primary (tpm, root, error))
    return TRUE;
  cmk_tpm_flush (tpm, root);
  return FALSE;
}

gboolean
cmk_tpm_root_is_unchanged (CmkTpm *tpm)
{
  if (tpm->root == ESYS_TR_NONE)
    return TRUE;
  cmk_tpm_auto_free TPM2B_NAME *name = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_ReadPublic (tpm->esys, tpm->root, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &name, NULL));
  return !cmk_tpm_ok (tpm, rc, "read the storage root key", NULL) || has_root_name (tpm, name);
}
