/* SPDX-License-Identifier: Apache-2.0
 *
 * RSA and EC keys from outside: TPM2_Import with an inner wrapper (part 1, "Protected Storage, Duplication"). The TPM
 * allows neither fixedTPM nor fixedParent for such a key. It cannot be duplicated all the same, see resident-kind.c. */
#include "tpm/resident-key.h"

#include "base/error.h"
#include "tpm/resident-kind.h"
#include "tpm/wiped.h"

#include <string.h>

#define INNER_KEY_SIZE 16

static guint8 *
put_u16 (guint8 *at, gsize value)
{
  at[0] = (guint8) (value >> 8);
  at[1] = (guint8) value;
  return at + 2;
}

/* TPM2B_SENSITIVE, written by hand: the structures of tpm2-tss would be one more copy on the stack. */
static CmkSecret *
marshal_sensitive (TPMI_ALG_PUBLIC type, const CmkSecret *secret, GError **error)
{
  gsize secret_size = cmk_secret_length (secret);
  g_autoptr (CmkSecret) sensitive = cmk_secret_new (10 + secret_size, error);
  if (sensitive == NULL)
    return NULL;
  guint8 *at = cmk_secret_data (sensitive);
  at = put_u16 (at, 8 + secret_size);
  at = put_u16 (at, type);
  at = put_u16 (at, 0); /* authValue */
  at = put_u16 (at, 0); /* seedValue: for storage keys */
  at = put_u16 (at, secret_size);
  memcpy (at, cmk_secret_peek (secret), secret_size);
  return g_steal_pointer (&sensitive);
}

static void
describe (const CmkResidentPublic *public, TPM2B_PUBLIC *ret_described)
{
  cmk_tpm_resident_template (public->kind, ret_described);
  TPMT_PUBLIC *area = &ret_described->publicArea;
  area->objectAttributes &=
      ~(TPMA_OBJECT) (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN);
  gsize size = cmk_tpm_kind_traits (public->kind)->size;
  if (area->type == TPM2_ALG_RSA)
    {
      area->parameters.rsaDetail.exponent = public->exponent == CMK_TPM_RSA_EXPONENT ? 0 : public->exponent;
      area->unique.rsa.size = (guint16) size;
      memcpy (area->unique.rsa.buffer, g_bytes_get_data (public->modulus, NULL), size);
      return;
    }
  area->unique.ecc.x.size = area->unique.ecc.y.size = (guint16) size;
  memcpy (area->unique.ecc.x.buffer, g_bytes_get_data (public->x, NULL), size);
  memcpy (area->unique.ecc.y.buffer, g_bytes_get_data (public->y, NULL), size);
}

/* What a TPM answers to a key that it does not want, whatever else is right. */
static gboolean
is_about_key (TSS2_RC rc)
{
  static const TSS2_RC refusals[] = {
    TPM2_RC_ASYMMETRIC, TPM2_RC_ATTRIBUTES, TPM2_RC_BINDING, TPM2_RC_CURVE, TPM2_RC_ECC_POINT, TPM2_RC_KEY,
    TPM2_RC_KEY_SIZE,   TPM2_RC_RANGE,      TPM2_RC_SCHEME,  TPM2_RC_SIZE,  TPM2_RC_TYPE,      TPM2_RC_VALUE,
  };
  for (gsize i = 0; cmk_tss_is_answer (rc) && i < G_N_ELEMENTS (refusals); i++)
    if (cmk_tss_base (rc) == refusals[i])
      return TRUE;
  return FALSE;
}

static gboolean
explain_refusal (const CmkResidentPublic *public, TSS2_RC rc, GError **error)
{
  if (!is_about_key (rc))
    return FALSE;
  if (public->modulus != NULL && public->exponent != CMK_TPM_RSA_EXPONENT)
    g_set_error (
        error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
        "this TPM takes RSA keys with the public exponent 65537 only: use ProtectionLevel SOFTWARE (TPM code 0x%x)",
        rc);
  else
    g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                 "this TPM does not take this key for %s: use ProtectionLevel SOFTWARE (TPM code 0x%x)",
                 cmk_tpm_kind_traits (public->kind)->name, rc);
  return TRUE;
}

static GBytes *
import (CmkTpmSession *session, const CmkResidentPublic *public, const TPM2B_PUBLIC *described, GBytes *wrapped,
        const CmkSecret *inner_key, CmkTpmPlace place, GError **error)
{
  CmkTpm *tpm = session->tpm;
  TPMT_SYM_DEF_OBJECT aes = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB };
  TPM2B_ENCRYPTED_SECRET no_seed = { 0 };
  TPM2B_PRIVATE duplicate = { .size = (guint16) g_bytes_get_size (wrapped) };
  memcpy (duplicate.buffer, g_bytes_get_data (wrapped, NULL), duplicate.size);
  g_auto (TPM2B_DATA) key = { .size = INNER_KEY_SIZE };
  memcpy (key.buffer, cmk_secret_peek (inner_key), INNER_KEY_SIZE);
  if (!cmk_tpm_session_need_root (session, error))
    return NULL;

  cmk_tpm_auto_free TPM2B_PRIVATE *private = NULL;
  TSS2_RC rc;
  CMK_TPM_ROOT_COMMAND (session, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, place, rc,
                        Esys_Import (tpm->esys, session->root.tr, ESYS_TR_PASSWORD, session->session.tr, ESYS_TR_NONE,
                                     &key, described, &duplicate, &no_seed, &aes, &private));
  cmk_tpm_scrub (tpm);
  if (explain_refusal (public, rc, error) || !cmk_tpm_session_ok (session, rc, place, "put a key into the TPM", error))
    return NULL;
  return cmk_tpm_object_marshal (described, private, error);
}

GBytes *
cmk_tpm_resident_import_private (CmkTpmSession *session, const CmkResidentPublic *public, const CmkSecret *secret,
                                 const CmkSecret *inner_key, CmkInnerWrap wrap, CmkTpmPlace place, GError **error)
{
  g_return_val_if_fail (cmk_secret_length (inner_key) == INNER_KEY_SIZE, NULL);
  TPM2B_PUBLIC described;
  describe (public, &described);
  g_autoptr (GBytes) name = cmk_tpm_name_of (&described);
  g_autoptr (CmkSecret) sensitive = marshal_sensitive (described.publicArea.type, secret, error);
  if (sensitive == NULL)
    return NULL;
  g_autoptr (GBytes) wrapped = wrap (inner_key, sensitive, name, error);
  if (wrapped == NULL)
    return NULL;
  g_return_val_if_fail (g_bytes_get_size (wrapped) <= sizeof ((TPM2B_PRIVATE *) NULL)->buffer, NULL);
  return import (session, public, &described, wrapped, inner_key, place, error);
}
