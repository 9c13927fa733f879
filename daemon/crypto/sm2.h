/* SPDX-License-Identifier: Apache-2.0
 *
 * The two forms of an SM2 ciphertext: raw, 04 || X || Y || C3 || C2 (GB/T 32918.4, the order C1C3C2), and ASN.1 (GM/T
 * 0009), SEQUENCE { X, Y INTEGER, C3, C2 OCTET STRING }, the only one that OpenSSL knows. Inside this room only. */
#pragma once

#include "crypto/openssl.h"

#define CMK_SM2_RAW_OVERHEAD 97 /* 04, two coordinates, the digest C3 */

/* What @size bytes at @data of either form decrypt to. NULL with CMK_ERROR_INCORRECT_KEY_MATERIAL, whose text the
 * caller replaces, for whatever is wrong with them. */
CmkSecret *cmk_sm2_decrypt (EVP_PKEY *key, const guint8 *data, gsize size, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The raw form. */
GBytes *cmk_sm2_encrypt (EVP_PKEY *key, const CmkSecret *plaintext, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How many of the @size bytes at @data the ciphertext takes that begins there and holds @plaintext_size bytes; 0 if
 * none can. Something else may follow it. */
gsize cmk_sm2_ciphertext_size (const guint8 *data, gsize size, gsize plaintext_size);
