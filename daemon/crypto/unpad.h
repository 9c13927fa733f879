/* SPDX-License-Identifier: Apache-2.0
 *
 * The inverse of RSA padding for a message of known length, in constant time: what is known beforehand is
 * where every byte of the padding must be, so nothing is searched for and neither a branch nor an index
 * depends on the block. Both say whether the block is the encoding of a message of exactly @message_size
 * bytes; @ret_message means nothing if not. Inside this room only. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>

#define CMK_PKCS1_OVERHEAD 11 /* 00 02, at least eight bytes of padding, 00 */

/* RSAES-PKCS1-v1_5 (RFC 8017, 7.2.2). @block_size is at least @message_size + CMK_PKCS1_OVERHEAD. */
gboolean cmk_unpad_pkcs1 (const guint8 *block, gsize block_size, guint8 *ret_message,
                          gsize message_size) G_GNUC_WARN_UNUSED_RESULT;

/* RSAES-OAEP (RFC 8017, 7.1.2) with @hash for both label and MGF1, and the empty label. Unmasks @block in
 * place.
 * @block_size is at least @message_size + 2 hashes + 2. */
gboolean cmk_unpad_oaep (guint8 *block, gsize block_size, const EVP_MD *hash, guint8 *ret_message,
                         gsize message_size) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a message of any length: *@ret_offset is where it begins in @block, at whose end it ends. Nothing depends
 * on what is found until both are known. */
gboolean cmk_unpad_oaep_any (guint8 *block, gsize block_size, const EVP_MD *hash,
                             gsize *ret_offset) G_GNUC_WARN_UNUSED_RESULT;
