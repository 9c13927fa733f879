/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures. Of RSA as long as the modulus (RFC 8017), else DER: ECDSA-Sig-Value (RFC 3279), which SM2 has as well. */
#pragma once

#include "base/algorithm.h"
#include "crypto/private-key.h"

/* @algorithm fits the key, and a @message of type CMK_MESSAGE_DIGEST is as long as the digest; of SM2DSA it is
 * SM3 (Z || M). */
GBytes *cmk_signature_make (const CmkPrivateKey *key, CmkSigningAlgorithm algorithm, CmkMessageType type,
                            GBytes *message, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* *@ret_valid is FALSE for whatever is not a signature of @message by the key of @public_der. */
gboolean cmk_signature_check (GBytes *public_der, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message,
                              GBytes *signature, gboolean *ret_valid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ECDSA-Sig-Value (RFC 3279, 2.2.3) of r || s, each @number_size bytes. */
GBytes *cmk_signature_encode_ecdsa (const guint8 *numbers, gsize number_size, GError **error) G_GNUC_WARN_UNUSED_RESULT;
