/* SPDX-License-Identifier: Apache-2.0
 *
 * One small NV index of the TPM, for what must not be turned back with the disk. Its contents are a secret and cross
 * the bus encrypted only; who has neither its authorisation value nor the TPM's owner can neither read nor change it,
 * and the owner can only remove it. Worker thread only. */
#pragma once

#include "tpm/session.h"

/* Fits the smallest NV buffer of any TPM 2.0, so that a write is one command. */
#define CMK_TPM_NV_SIZE 96

#define CMK_TPM_NV_LABEL_SIZE 32

/* What only the caller can judge; never leaves the daemon. All else is CMK_ERROR. */
#define CMK_TPM_NV_ERROR (cmk_tpm_nv_error_quark ())
GQuark cmk_tpm_nv_error_quark (void);

typedef enum
{
  CMK_TPM_NV_ERROR_REFUSED, /* the TPM gives us no index: none left, owner authorisation set, command not there */
  CMK_TPM_NV_ERROR_MISSING, /* there is no such index (any more) */
  CMK_TPM_NV_ERROR_FOREIGN, /* there is one, but not as we define ours, or with another authorisation value */
} CmkTpmNvError;

typedef struct _CmkTpmNvIndex CmkTpmNvIndex;

/* Define an index with @label in its public area and write @contents (CMK_TPM_NV_SIZE bytes). One that cannot be
 * written is removed again. */
CmkTpmNvIndex *cmk_tpm_nv_index_define (CmkTpmSession *session, const guint8 label[CMK_TPM_NV_LABEL_SIZE],
                                        const CmkSecret *auth, const CmkSecret *contents, CmkTpmPlace place,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The index at @handle, if its public area is exactly what define() would make for @label. Outside of any session;
 * keeps a copy of @auth. A connection that breaks later is mended by the next read or write. */
CmkTpmNvIndex *cmk_tpm_nv_index_open (CmkTpm *tpm, guint32 handle, const guint8 label[CMK_TPM_NV_LABEL_SIZE],
                                      const CmkSecret *auth, GError **error) G_GNUC_WARN_UNUSED_RESULT;

void cmk_tpm_nv_index_free (CmkTpmNvIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkTpmNvIndex, cmk_tpm_nv_index_free)

guint32 cmk_tpm_nv_index_handle (const CmkTpmNvIndex *index);

CmkSecret *cmk_tpm_nv_index_read (CmkTpmSession *session, CmkTpmNvIndex *index, CmkTpmPlace place,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* All of it, in one command. Sent once: when its answer is lost, nobody knows whether it was done, and read() tells. */
gboolean cmk_tpm_nv_index_write (CmkTpmSession *session, CmkTpmNvIndex *index, const CmkSecret *contents,
                                 CmkTpmPlace place, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct
{
  guint32 handle;
  guint8 label[CMK_TPM_NV_LABEL_SIZE];
  gboolean is_written; /* FALSE: a define() was interrupted, there is nothing in it */
} CmkTpmNvEntry;

/* CmkTpmNvEntry of the indexes that define() has made, whoever called it. */
GArray *cmk_tpm_nv_index_list (CmkTpm *tpm, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Remove the index at @handle, by the owner's authorisation (empty). */
gboolean cmk_tpm_nv_index_remove (CmkTpmSession *session, guint32 handle, CmkTpmPlace place,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
