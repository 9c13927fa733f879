/* SPDX-License-Identifier: Apache-2.0
 *
 * Set-up of OpenSSL and its small primitives. daemon/crypto is the only door to OpenSSL: every result is checked
 * there and turned into CMK_ERROR_INTERNAL unless a function says otherwise. All functions of this directory may be
 * called from any thread once cmk_crypto_init() has returned. */
#pragma once

#include "base/secret.h"

#define CMK_DIGEST_SIZE 32
#define CMK_MAC_SIZE    32

/* Load the algorithms once (fetching per call costs more than the ciphers) and set up OpenSSL's secure heap, so that
 * private key numbers live in locked memory. Call before any other thread runs. */
gboolean cmk_crypto_init (GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_random_bytes (guint8 *ret_bytes, gsize size, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @length fresh random bytes as a secret. */
CmkSecret *cmk_random_secret (gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_sha256 (const void *data, gsize size, guint8 ret_digest[CMK_DIGEST_SIZE],
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* HKDF-SHA-256 of @root with @label as info and no salt: a 32-byte key for one purpose. */
CmkSecret *cmk_derive_key (const CmkSecret *root, const char *label, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* HMAC-SHA-256. */
gboolean cmk_mac_compute (const CmkSecret *key, const void *data, gsize size, guint8 ret_mac[CMK_MAC_SIZE],
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* FALSE without an error when @mac is not that of @data; compared in constant time. A failure of the library counts
 * as a mismatch. */
gboolean cmk_mac_verify (const CmkSecret *key, const void *data, gsize size, const guint8 mac[CMK_MAC_SIZE]);
