/* SPDX-License-Identifier: Apache-2.0
 *
 * A software TPM, daemon/tpm open on it, and one call each for what is done with an NV index. */
#pragma once

#include "software-tpm.h"
#include "tpm/nv-index.h"

#define FIRST_HANDLE 0x018c6d00

typedef struct
{
  SoftwareTpm *software;
  CmkTpm *tpm;
  CmkSecret *auth;
  CmkSecret *contents;
} NvSetup;

void nv_setup_init (NvSetup *setup, SoftwareTpm *software);
void nv_setup_clear (NvSetup *setup);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (NvSetup, nv_setup_clear)

extern const guint8 nv_label[CMK_TPM_NV_LABEL_SIZE], nv_other_label[CMK_TPM_NV_LABEL_SIZE];

/* @size bytes, others each time. */
CmkSecret *nv_make_secret (gsize size);

/* In a session of their own. */
CmkTpmNvIndex *nv_define (NvSetup *setup, GError **error);
gboolean nv_write (NvSetup *setup, CmkTpmNvIndex *index, const CmkSecret *contents, GError **error);
CmkSecret *nv_read (NvSetup *setup, CmkTpmNvIndex *index, GError **error);
gboolean nv_remove (NvSetup *setup, guint32 handle, GError **error);

/* In none. */
CmkTpmNvIndex *nv_open (NvSetup *setup, guint32 handle, GError **error);

/* The same for what must succeed. */
CmkTpmNvIndex *nv_must_define (NvSetup *setup);
void nv_must_write (NvSetup *setup, CmkTpmNvIndex *index, const CmkSecret *contents);
void nv_assert_contents (NvSetup *setup, CmkTpmNvIndex *index, const CmkSecret *contents);
/* Its handle, or 0: there is none, or @error says why that is not known. */
guint32 nv_find (NvSetup *setup, const guint8 label[CMK_TPM_NV_LABEL_SIZE], GError **error);
guint32 nv_must_find (NvSetup *setup, const guint8 label[CMK_TPM_NV_LABEL_SIZE]);

/* An index of somebody else's, with his authorisation value (NULL: none), as we would define it but for @attributes
 * and @size. Written unless that fails. */
TSS2_RC nv_meddle_define (Meddler *meddler, TPM2_HANDLE handle, TPMA_NV attributes, guint16 size);
void nv_meddle_write (Meddler *meddler, TPM2_HANDLE handle, guint16 size);
void nv_meddle_remove (Meddler *meddler, TPM2_HANDLE handle);

#define NV_ATTRIBUTES (TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA)
