/* SPDX-License-Identifier: Apache-2.0
 *
 * The secret that a store has its own keys from, sealed by the TPM, and what else the store holds store-wide, which is
 * bound to it. Worker thread, but for opening. */
#pragma once

#include "base/secret.h"
#include "base/uuid.h"
#include "store/store.h"
#include "tpm/session.h"

typedef struct
{
  CmkUuid store_id;
  GBytes *storage_key_name; /* that of the TPM which sealed it */
  GBytes *fingerprint_key;
  GBytes *sealed_key;
  GBytes *envelope;
  CmkSecret *secret; /* NULL until it is opened */
} CmkRootSecret;

void cmk_root_secret_free (CmkRootSecret *root);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkRootSecret, cmk_root_secret_free)

/* A fresh one for the store @store_id, open; the last command of @session. @storage_key_name is that of its TPM. */
CmkRootSecret *cmk_root_secret_make (CmkTpmSession *session, GBytes *storage_key_name, const CmkUuid *store_id,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* In a transaction: have it in the store, in place of another that may be there. */
gboolean cmk_root_secret_put (CmkStore *store, const CmkRootSecret *root, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What the store has, still closed. NULL without an error: nothing, it is a new store. */
CmkRootSecret *cmk_root_secret_read (CmkStore *store, GError **error);

/* CMK_ERROR_STATE_CORRUPTED if it is not what this TPM sealed: compare the name first. */
gboolean cmk_root_secret_open (CmkRootSecret *root, CmkTpmSession *session, GError **error) G_GNUC_WARN_UNUSED_RESULT;
