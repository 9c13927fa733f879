/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical standard Base64 (RFC 4648 section 4), as the wire carries every binary value. Plain C, shared by the
 * daemon and cmkctl. No table look-up and no branch depends on the data: what is coded is often a secret. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters that @size bytes take, without the terminating NUL. */
#define CMK_BASE64_CHARS(size) (((size) + 2) / 3 * 4)

/* Bytes that @chars characters can hold at most. */
#define CMK_BASE64_BYTES(chars) ((chars) / 4 * 3)

/* Write the CMK_BASE64_CHARS (@size) characters of @data and a NUL to @ret_text. */
void cmk_base64_encode (const uint8_t *data, size_t size, char *ret_text);

/* Decode the @chars characters at @text into @ret_data (room for CMK_BASE64_BYTES (@chars)) and say how many bytes
 * came out. Only the canonical form passes: no white space, the standard alphabet, full padding, zero trailing bits.
 * On false what is in @ret_data means nothing. An empty text is zero bytes. */
bool cmk_base64_decode (const char *text, size_t chars, uint8_t *ret_data, size_t *ret_size);
