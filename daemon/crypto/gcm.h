/* SPDX-License-Identifier: Apache-2.0
 *
 * AES-256-GCM, which both the envelope and the ciphertext blob are made of. Inside this room only. */
#pragma once

#include "crypto/openssl.h"

#define CMK_GCM_KEY_SIZE   32
#define CMK_GCM_NONCE_SIZE 12
#define CMK_GCM_TAG_SIZE   16

/* AES-256-GCM with @aad authenticated. @ret_sealed takes the ciphertext, as long as @plaintext, and the tag.
 */
gboolean cmk_gcm_seal (const guint8 key[CMK_GCM_KEY_SIZE], const guint8 nonce[CMK_GCM_NONCE_SIZE], const CmkPart *aad,
                       guint n_aad, const CmkSecret *plaintext, guint8 *ret_sealed,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* FALSE if @sealed, the tag at its end, is not what was sealed so; a failure of the library counts as that.
 * @plaintext must be CMK_GCM_TAG_SIZE shorter than @sealed, and means nothing after FALSE. */
gboolean cmk_gcm_open (const guint8 key[CMK_GCM_KEY_SIZE], const guint8 nonce[CMK_GCM_NONCE_SIZE], const CmkPart *aad,
                       guint n_aad, const guint8 *sealed, CmkSecret *plaintext) G_GNUC_WARN_UNUSED_RESULT;
