/* SPDX-License-Identifier: Apache-2.0
 *
 * A key pair as the numbers that a TPM takes and gives: big-endian, with leading zeros. */
#pragma once

#include "crypto/private-key.h"

typedef struct
{
  GBytes *modulus; /* RSA: as long as it is */
  guint32 exponent;
  GBytes *x, *y;     /* EC: as long as the field */
  CmkSecret *secret; /* one prime, as long as half the modulus, or the scalar, as long as the order */
} CmkKeyParts;

void cmk_key_parts_clear (CmkKeyParts *parts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkKeyParts, cmk_key_parts_clear)

/* Take @key apart, which is in this process and RSA or on a curve. CMK_ERROR_UNSUPPORTED_OPERATION for an RSA exponent
 * that is longer than 32 bits: TPMs have no room for it. */
gboolean cmk_private_key_take_apart (const CmkPrivateKey *key, CmkKeyParts *ret_parts,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same DER as of cmk_private_key_public_der(), of the public numbers in @parts. */
GBytes *cmk_key_parts_public_der (CmkKeySpec spec, const CmkKeyParts *parts, GError **error) G_GNUC_WARN_UNUSED_RESULT;
