/* SPDX-License-Identifier: Apache-2.0
 *
 * The inner duplication wrapper of TPM 2.0 (part 1, "Protections for Duplication"): what hides a private key on its way
 * into a TPM, whose sessions encrypt the first parameter of a command only. */
#pragma once

#include "base/secret.h"

#define CMK_INNER_WRAP_KEY_SIZE 16

/* AES-128-CFB under @key with a zero IV of size (2) || SHA-256 (@sensitive || @name) || @sensitive. @key is used
 * once. */
GBytes *cmk_inner_wrap (const CmkSecret *key, const CmkSecret *sensitive, GBytes *name,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
