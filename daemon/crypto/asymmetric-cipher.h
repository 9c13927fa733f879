/* SPDX-License-Identifier: Apache-2.0
 *
 * Encryption to a public key: RSAES-OAEP (RFC 8017) and SM2 (GB/T 32918.4 with SM3). */
#pragma once

#include "base/algorithm.h"
#include "crypto/private-key.h"

/* @algorithm fits the key of @public_der, and @plaintext is within its limit. SM2 gives 04 || X || Y || C3 || C2. */
GBytes *cmk_asymmetric_encrypt (GBytes *public_der, CmkEncryptionAlgorithm algorithm, const CmkSecret *plaintext,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SM2 takes that form and the ASN.1 one (GM/T 0009). Whatever is wrong with @ciphertext, its length included, is the
 * one CMK_ERROR_INVALID_CIPHERTEXT with the one text, in time that does not depend on what was decrypted. */
CmkSecret *cmk_asymmetric_decrypt (const CmkPrivateKey *key, CmkEncryptionAlgorithm algorithm, GBytes *ciphertext,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
