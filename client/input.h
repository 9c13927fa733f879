/* SPDX-License-Identifier: Apache-2.0
 *
 * What people hand to cmkctl: files, standard input, points in time. */
#pragma once

#include "buffer.h"

/* Read the whole of @path, "-" for standard input, from one to @limit bytes; @what names it in messages. */
int cmk_input_read (const char *path, const char *what, size_t limit, CmkBuffer *ret_data);

/* The same of a regular file and nothing else: a pipe, for one, may never end. */
int cmk_input_read_file (const char *path, const char *what, size_t limit, CmkBuffer *ret_data);

/* The same, for text that travels as Base64: white space is dropped, as a line break at the end or every 64 characters
 * is what most tools write. */
int cmk_input_read_base64 (const char *path, const char *what, CmkBuffer *ret_text);

/* The same, for data that may be there as such, as `openssl pkeyutl` writes it, or as Base64 already. */
int cmk_input_read_wrapped (const char *path, const char *what, CmkBuffer *ret_text);

/* Parse the moment @text: "never" (0), "30d" or another number with one of w, d, h, m and s (from @now on), "@" and
 * Unix seconds, or RFC 3339. */
int cmk_input_parse_expiry (const char *text, int64_t now, int64_t *ret_time);
