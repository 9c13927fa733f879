/* SPDX-License-Identifier: Apache-2.0
 *
 * The MACs that callers ask for: HMAC (FIPS 198-1) under the material of an HMAC key. */
#pragma once

#include "crypto/hmac-key.h"

GBytes *cmk_message_mac_make (const CmkHmacKey *material, CmkMacAlgorithm algorithm, GBytes *message,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* *@ret_valid: compared in constant time; a @mac of another length is none. */
gboolean cmk_message_mac_check (const CmkHmacKey *material, CmkMacAlgorithm algorithm, GBytes *message, GBytes *mac,
                                gboolean *ret_valid, GError **error) G_GNUC_WARN_UNUSED_RESULT;
