/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/endorsement.h"

#include "tpm/internal.h"

/* TCG EK Credential Profile 2.2.1.4, 2.2.1.5: the indexes of the templates that every TPM has, then the high range. */
static const TPM2_HANDLE certificate_handles[] = {
  0x01c00002, /* L-1, RSA 2048 */
  0x01c0000a, /* L-2, ECC P-256 */
  0x01c00012, /* H-1, RSA 2048 */
  0x01c00014, /* H-2, ECC P-256 */
  0x01c00016, /* H-3, ECC P-384 */
  0x01c0001c, /* H-6, RSA 3072 */
};

#define FIRST_HANDLE         0x01c00000
#define MAX_CERTIFICATE_SIZE 8192
#define MAX_READ_SIZE        512 /* fits the smallest NV buffer */

/* A certificate is read by the empty authorisation value of its index. Where that would be wrong, it must not count as
 * an attack on the TPM. */
#define READABLE (TPMA_NV_AUTHREAD | TPMA_NV_NO_DA | TPMA_NV_WRITTEN)

/* @bytes without what follows the one DER SEQUENCE at their start: some makers fill their index up. */
static GBytes *
trim (const GByteArray *bytes)
{
  const guint8 *data = bytes->data;
  gsize size = bytes->len;
  if (size < 4 || data[0] != 0x30 || data[1] != 0x82)
    return NULL;
  gsize whole = 4 + ((gsize) data[2] << 8 | data[3]);
  return whole <= size ? g_bytes_new (data, whole) : NULL;
}

/* 0 if there is nothing to read. */
static gboolean
find_size (CmkTpm *tpm, ESYS_TR index, guint16 *ret_size, GError **error)
{
  cmk_tpm_auto_free TPM2B_NV_PUBLIC *public = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_NV_ReadPublic (tpm->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL));
  if (!cmk_tpm_ok (tpm, rc, "look at the endorsement certificate", error))
    return FALSE;
  const TPMS_NV_PUBLIC *area = &public->nvPublic;
  *ret_size = (area->attributes & READABLE) == READABLE ? area->dataSize : 0;
  return TRUE;
}

static gboolean
read_part (CmkTpm *tpm, ESYS_TR index, guint16 size, GByteArray *bytes, GError **error)
{
  cmk_tpm_auto_free TPM2B_MAX_NV_BUFFER *part = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_NV_Read (tpm->esys, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, size,
                                 (guint16) bytes->len, &part));
  if (!cmk_tpm_ok (tpm, rc, "read the endorsement certificate", error))
    return FALSE;
  g_byte_array_append (bytes, part->buffer, part->size);
  return part->size == size;
}

/* FALSE with an error only if the TPM does not answer any more; a certificate that it does not give out is none. */
static gboolean
read_index (CmkTpm *tpm, TPM2_HANDLE handle, GBytes **ret_certificate, GError **error)
{
  ESYS_TR index = ESYS_TR_NONE;
  guint16 size = 0;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_TR_FromTPMPublic (tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index));
  gboolean ok = cmk_tpm_ok (tpm, rc, "look for an endorsement certificate", &local_error) &&
                find_size (tpm, index, &size, &local_error) && size <= MAX_CERTIFICATE_SIZE;
  while (ok && bytes->len < size)
    ok = read_part (tpm, index, (guint16) MIN (size - bytes->len, MAX_READ_SIZE), bytes, &local_error);
  if (index != ESYS_TR_NONE && !tpm->broken)
    (void) Esys_TR_Close (tpm->esys, &index);
  *ret_certificate = ok ? trim (bytes) : NULL;
  if (!tpm->broken)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static const TPML_HANDLE *
list_indexes (CmkTpm *tpm, TPMS_CAPABILITY_DATA **ret_data, GError **error)
{
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                       FIRST_HANDLE, TPM2_MAX_CAP_HANDLES, NULL, ret_data));
  return cmk_tpm_ok (tpm, rc, "look for endorsement certificates", error) ? &(*ret_data)->data.handles : NULL;
}

static gboolean
is_listed (const TPML_HANDLE *indexes, TPM2_HANDLE handle)
{
  for (guint32 i = 0; i < MIN (indexes->count, TPM2_MAX_CAP_HANDLES); i++)
    if (indexes->handle[i] == handle)
      return TRUE;
  return FALSE;
}

GBytes *
cmk_tpm_endorsement_certificate (CmkTpmSession *session, GError **error)
{
  cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
  const TPML_HANDLE *indexes = list_indexes (session->tpm, &data, error);
  GBytes *certificate = NULL;
  for (gsize i = 0; indexes != NULL && i < G_N_ELEMENTS (certificate_handles) && certificate == NULL; i++)
    if (is_listed (indexes, certificate_handles[i]) &&
        !read_index (session->tpm, certificate_handles[i], &certificate, error))
      return NULL;
  return certificate;
}
