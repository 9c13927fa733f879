/* SPDX-License-Identifier: Apache-2.0
 *
 * AES key wrap with padding (RFC 5649), also with SM4 in place of AES, as seed 001 has it. Inside this room only. */
#pragma once

#include "crypto/openssl.h"

#define CMK_KEY_WRAP_MIN_SIZE 16 /* and a multiple of */
#define CMK_KEY_WRAP_UNIT     8

/* Unwrap @size bytes at @wrapped with @cipher, a block cipher in ECB mode, and @key, which is as long as it wants.
 * *@ret_intact says whether they were wrapped with it, AIV A65959A6, and not altered; if not, what is returned is
 * zeros, so that the caller has something to go on with. NULL with @error set only when the machine cannot do it. */
CmkSecret *cmk_key_unwrap (const EVP_CIPHER *cipher, const CmkSecret *key, const guint8 *wrapped, gsize size,
                           gboolean *ret_intact, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Decrypt @size bytes at @data, a multiple of 16, with @cipher, a block cipher in ECB mode, without padding. */
CmkSecret *cmk_ecb_decrypt (const EVP_CIPHER *cipher, const CmkSecret *key, const guint8 *data, gsize size,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
