/* SPDX-License-Identifier: Apache-2.0
 *
 * The envelope of every secret at rest: AES-256-GCM under a 32-byte data key that the TPM seals. A fresh random
 * 96-bit nonce each time; stored form is nonce || ciphertext || tag (16). */
#pragma once

#include "base/secret.h"

#define CMK_DATA_KEY_SIZE 32

/* NULL with @error set on failure. @identity is authenticated, not stored. */
GBytes *cmk_envelope_seal (const CmkSecret *data_key, GBytes *identity, const CmkSecret *payload,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_STATE_CORRUPTED if the envelope, its identity or its key is not what was sealed. */
CmkSecret *cmk_envelope_open (const CmkSecret *data_key, GBytes *identity, GBytes *envelope,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
