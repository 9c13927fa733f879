/* SPDX-License-Identifier: Apache-2.0
 *
 * One salted HMAC session with parameter encryption both ways, and what is done in it. A session belongs to one call at
 * a time: ending it leaves no object in the TPM, whatever failed before, and the session itself only for the next call,
 * if cmk_tpm_keep_sessions() said so. Worker thread only.
 *
 * The last command of a call should carry CMK_TPM_LAST: where sessions are not kept the TPM then closes it with that
 * command, which saves another. Nothing can be done in the session afterwards. */
#pragma once

#include "base/secret.h"
#include "tpm/tpm.h"

typedef struct _CmkTpmSession CmkTpmSession;

typedef enum
{
  CMK_TPM_MORE,
  CMK_TPM_LAST,
} CmkTpmPlace;

#define CMK_TPM_FINGERPRINT_SIZE 32

/* A session stays open from call to call, for @seconds after the last; 0 (the default) = each call has its own. It is
 * each call's own, too, where the TPM allows only a small gap between saved contexts. */
void cmk_tpm_keep_sessions (CmkTpm *tpm, guint seconds);

/* Give the open session back to the TPM if it was not used for that long, and what an earlier cmkd has left there. */
void cmk_tpm_rest (CmkTpm *tpm);

/* CMK_ERROR_TPM_CHANGED if the root key is no longer the one that @tpm was opened with. (If a key of the same kind lies
 * in its place, the first command in the session says so.) */
CmkTpmSession *cmk_tpm_session_begin (CmkTpm *tpm, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_tpm_session_end (CmkTpmSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkTpmSession, cmk_tpm_session_end)

/* Seal the 32-byte @data_key under the root key (fixedTPM, fixedParent, noDA, no authorisation value).
 * The blob is TPM2B_PUBLIC || TPM2B_PRIVATE, marshalled. */
GBytes *cmk_tpm_seal (CmkTpmSession *session, const CmkSecret *data_key, CmkTpmPlace place,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The data key that @sealed holds. With a @cache_name its loaded context is looked for, and kept, under that name.
 * CMK_ERROR_TPM_CHANGED if the TPM cannot open it (cleared, replaced) - the caller has authenticated @sealed. */
CmkSecret *cmk_tpm_unseal (CmkTpmSession *session, GBytes *sealed, const char *cache_name, CmkTpmPlace place,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Keep the context of @sealed under @cache_name so that the next unseal is cheaper. Best effort. */
void cmk_tpm_keep_context (CmkTpmSession *session, GBytes *sealed, const char *cache_name);

/* A new HMAC-SHA-256 key whose secret the TPM makes and never gives out. Blob as of cmk_tpm_seal(). */
GBytes *cmk_tpm_create_fingerprint_key (CmkTpmSession *session, CmkTpmPlace place,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* HMAC-SHA-256 of @size bytes (at most 1024) under that key, inside the TPM. Context kept under @cache_name. */
gboolean cmk_tpm_fingerprint (CmkTpmSession *session, GBytes *fingerprint_key, const char *cache_name,
                              const guint8 *data, gsize size, CmkTpmPlace place,
                              guint8 ret_fingerprint[CMK_TPM_FINGERPRINT_SIZE],
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
