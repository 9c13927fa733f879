/* SPDX-License-Identifier: Apache-2.0
 *
 * The inverse of padding, in constant time: neither a branch nor an index depends on what is padded before it is known
 * whether that is good. Inside this room only.
 *
 * A message of known length is not searched for: where every byte of the padding must be is known beforehand.
 * @ret_message means nothing if FALSE is returned. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>

#define CMK_PKCS1_OVERHEAD   11 /* 00 02, at least eight bytes of padding, 00 */
#define CMK_PKCS7_BLOCK_SIZE 16 /* of AES */

/* @target ^= MGF1 (@seed), RFC 8017 B.2.1. FALSE for want of memory only. */
gboolean cmk_mgf1_apply (guint8 *target, gsize target_size, const guint8 *seed, gsize seed_size,
                         const EVP_MD *hash) G_GNUC_WARN_UNUSED_RESULT;

/* RSAES-PKCS1-v1_5 (RFC 8017, 7.2.2). @block_size is at least @message_size + CMK_PKCS1_OVERHEAD. */
gboolean cmk_unpad_pkcs1 (const guint8 *block, gsize block_size, guint8 *ret_message,
                          gsize message_size) G_GNUC_WARN_UNUSED_RESULT;

/* RSAES-OAEP (RFC 8017, 7.1.2) with @hash for both label and MGF1, and the empty label. Unmasks @block in
 * place.
 * @block_size is at least @message_size + 2 hashes + 2. */
gboolean cmk_unpad_oaep (guint8 *block, gsize block_size, const EVP_MD *hash, guint8 *ret_message,
                         gsize message_size) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a message of any length but 0: *@ret_offset is where it begins in @block, at whose end it ends. When
 * FALSE is returned that is some place within @block which does not depend on it, so that the caller has something to
 * go on with. */
gboolean cmk_unpad_oaep_any (guint8 *block, gsize block_size, const EVP_MD *hash,
                             gsize *ret_offset) G_GNUC_WARN_UNUSED_RESULT;

/* PKCS#7 padding (RFC 5652, 6.3) of blocks of 16 bytes. @size is a positive multiple of them. *@ret_message_size is
 * that of the message, which is not empty; when FALSE is returned it is @size. */
gboolean cmk_unpad_pkcs7 (const guint8 *data, gsize size, gsize *ret_message_size) G_GNUC_WARN_UNUSED_RESULT;
