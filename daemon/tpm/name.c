/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define SHA256_SIZE 32

GBytes *
cmk_tpm_name_of (const TPM2B_PUBLIC *public)
{
  guint8 area[sizeof (TPMT_PUBLIC)];
  gsize area_size = 0;
  if (public->publicArea.nameAlg != TPM2_ALG_SHA256 ||
      Tss2_MU_TPMT_PUBLIC_Marshal (&public->publicArea, area, sizeof area, &area_size) != TSS2_RC_SUCCESS)
    return NULL;

  guint8 name[2 + SHA256_SIZE] = { TPM2_ALG_SHA256 >> 8, TPM2_ALG_SHA256 & 0xff };
  gsize digest_size = SHA256_SIZE;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_checksum_update (checksum, area, (gssize) area_size);
  g_checksum_get_digest (checksum, name + 2, &digest_size);
  return g_bytes_new (name, sizeof name);
}

gboolean
cmk_tpm_is_name_of (const TPM2B_NAME *name, const TPM2B_PUBLIC *public)
{
  g_autoptr (GBytes) expected = cmk_tpm_name_of (public);
  return expected != NULL && name->size == g_bytes_get_size (expected) &&
         memcmp (name->name, g_bytes_get_data (expected, NULL), name->size) == 0;
}
