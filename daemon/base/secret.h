/* SPDX-License-Identifier: Apache-2.0
 *
 * The one type that holds secrets: key material, plaintext, private keys, data keys. Its memory is locked (never
 * swapped), left out of core dumps, wiped in forked children and wiped when freed. A secret has a fixed length, is
 * never grown and never copied behind one's back. All functions may be called from any thread. */
#pragma once

#include <glib.h>

typedef struct _CmkSecret CmkSecret;

/* Set up the locked arena. Call once, before any other thread runs.
 * FALSE with CMK_ERROR_INTERNAL, naming LimitMEMLOCK=, if memory cannot be locked. */
gboolean cmk_secret_init (GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A zeroed secret of @length bytes (>= 1). NULL with CMK_ERROR_THROTTLED when no locked memory is left. */
CmkSecret *cmk_secret_new (gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same, filled from @data. The caller wipes @data. */
CmkSecret *cmk_secret_new_copy (const void *data, gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Wipes and releases. NULL is fine. */
void cmk_secret_free (CmkSecret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkSecret, cmk_secret_free)

/* Writable; valid until the secret is freed. */
guint8 *cmk_secret_data (CmkSecret *secret);
const guint8 *cmk_secret_peek (const CmkSecret *secret);
gsize cmk_secret_length (const CmkSecret *secret);

/* Give up the bytes past @length (1..current), wiping them. */
void cmk_secret_shorten (CmkSecret *secret, gsize length);

/* Constant time in the contents; FALSE if the lengths differ. */
gboolean cmk_secret_equal (const CmkSecret *a, const CmkSecret *b);
