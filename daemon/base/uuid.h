/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids of keys, import parameter sets, requests and stores: 16 bytes, written as 36 lower-case characters. */
#pragma once

#include <glib.h>

#define CMK_UUID_TEXT_SIZE 37

typedef struct
{
  guint8 bytes[16];
} CmkUuid;

/* A fresh random (version 4) id from the kernel's generator. */
CmkUuid cmk_uuid_new (void);

/* FALSE, leaving @ret_uuid alone, unless @text is exactly the canonical lower-case form. */
gboolean cmk_uuid_parse (const char *text, CmkUuid *ret_uuid);

void cmk_uuid_format (const CmkUuid *uuid, char ret_text[CMK_UUID_TEXT_SIZE]);
gboolean cmk_uuid_equal (const CmkUuid *a, const CmkUuid *b);
guint cmk_uuid_hash (gconstpointer uuid);
gboolean cmk_uuid_equal_func (gconstpointer a, gconstpointer b);
