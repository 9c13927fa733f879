/* SPDX-License-Identifier: Apache-2.0
 *
 * The RSA pair of one GetParametersForImport call: made, encoded, and used to unwrap what was encrypted to it. */
#pragma once

#include "base/secret.h"
#include "base/spec.h"

typedef struct _CmkWrappingKey CmkWrappingKey;

void cmk_wrapping_key_free (CmkWrappingKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkWrappingKey, cmk_wrapping_key_free)

/* A fresh pair, exponent 65537. RSA specs only. Takes seconds for RSA_4096: never on the main loop. Given up, with
 * CMK_ERROR_INTERNAL, soon after another thread sets *@cancelled (atomically). */
CmkWrappingKey *cmk_wrapping_key_generate (CmkWrappingKeySpec spec, gint *cancelled,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* DER SubjectPublicKeyInfo. */
GBytes *cmk_wrapping_key_public_der (const CmkWrappingKey *key, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The private key in a private encoding (n, e, d, p, q, dp, dq, qinv: loading numbers is ten times cheaper than
 * parsing DER), and back. CMK_ERROR_STATE_CORRUPTED if @encoded is not of that form. */
CmkSecret *cmk_wrapping_key_encode (const CmkWrappingKey *key, GError **error) G_GNUC_WARN_UNUSED_RESULT;
CmkWrappingKey *cmk_wrapping_key_decode (const CmkSecret *encoded, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Unwrap @ciphertext, which must hold exactly @material_size bytes. The caller has checked that the ciphertext is as
 * long as the modulus. Whatever is wrong - padding, length, number out of range - is the one
 * CMK_ERROR_INCORRECT_KEY_MATERIAL with the one text, by one code path; PKCS#1 v1.5 is de-padded here in constant
 * time, since OpenSSL before 3.2 tells bad padding by an error and later ones answer it with random bytes. */
CmkSecret *cmk_wrapping_key_unwrap (const CmkWrappingKey *key, CmkWrappingAlgorithm algorithm, GBytes *ciphertext,
                                    gsize material_size, GError **error) G_GNUC_WARN_UNUSED_RESULT;
