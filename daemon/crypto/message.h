/* SPDX-License-Identifier: Apache-2.0
 *
 * The ciphertext blob of Encrypt, ReEncrypt and GenerateDataKey. Format and vectors: docs/ciphertext-format.md. */
#pragma once

#include "base/spec.h"
#include "base/uuid.h"
#include "crypto/hmac-key.h"

/* Encrypt @plaintext with the @material of the key @key_id. @context is the canonical encryption context
 * (authenticated, not stored; may be empty). A fresh salt each time. The material makes one HMAC. */
GBytes *cmk_message_seal (const CmkHmacKey *material, CmkKeySpec spec, const CmkUuid *key_id, GBytes *context,
                          const CmkSecret *plaintext, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The key that @blob names. CMK_ERROR_INVALID_CIPHERTEXT if it is no blob of ours. Nothing is authenticated yet. */
gboolean cmk_message_key_id (GBytes *blob, CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The one CMK_ERROR_INVALID_CIPHERTEXT; for callers too, when the key that a blob names is not there or not its own. */
void cmk_message_set_invalid (GError **error);

/* CMK_ERROR_INVALID_CIPHERTEXT, one text, if anything does not fit: altered, truncated, other context, other key. */
CmkSecret *cmk_message_open (const CmkHmacKey *material, CmkKeySpec spec, GBytes *blob, GBytes *context,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
