/* SPDX-License-Identifier: Apache-2.0
 *
 * Fixed-width big-endian numbers in authenticated encodings, and reading them back. */
#pragma once

#include <glib.h>

#include "base/uuid.h"

void cmk_bytes_put_u8 (GByteArray *bytes, guint8 value);
void cmk_bytes_put_u32 (GByteArray *bytes, guint32 value);
void cmk_bytes_put_i64 (GByteArray *bytes, gint64 value);
void cmk_bytes_put_uuid (GByteArray *bytes, const CmkUuid *uuid);

/* Read at *@position, which moves on. The caller has checked that the bytes are there. */
guint8 cmk_bytes_get_u8 (const guint8 **position);
guint32 cmk_bytes_get_u32 (const guint8 **position);
gint64 cmk_bytes_get_i64 (const guint8 **position);
CmkUuid cmk_bytes_get_uuid (const guint8 **position);
