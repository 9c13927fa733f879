/* SPDX-License-Identifier: Apache-2.0
 *
 * The private key of an asymmetric CMK, or of a wrapping pair: made, taken from PKCS#8, and in the one encoding in
 * which cmkd keeps it.
 *
 * The encoding is of the value, not of the form it came in: two files that hold the same private key - with or without
 * the public point, with the primes in either order - give the same bytes, so the rule of the same material
 * (seed 003) can be kept by comparing them. */
#pragma once

#include "base/secret.h"
#include "base/spec.h"

typedef struct _CmkPrivateKey CmkPrivateKey;

void cmk_private_key_free (CmkPrivateKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkPrivateKey, cmk_private_key_free)

/* A fresh pair of an asymmetric @spec; RSA with exponent 65537. RSA takes up to seconds: never on the main loop. Given
 * up, with CMK_ERROR_INTERNAL, soon after another thread sets *@cancelled (atomically); it may be NULL for EC. */
CmkPrivateKey *cmk_private_key_generate (CmkKeySpec spec, gint *cancelled, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The key in @der, a PKCS#8 PrivateKeyInfo (RFC 5208) without anything after it: rsaEncryption of two primes of half
 * the size, or a named curve, the public point (RFC 5915) may be left out. CMK_ERROR_INCORRECT_KEY_MATERIAL, whose text
 * the caller replaces, for whatever is not a sound private key of just this @spec: other type, size or curve, PKCS#1
 * or bare SEC1, explicit curve parameters, a public part of another key, a point off the curve, RSA numbers that do
 * not belong together, an encrypted PKCS#8. Other errors are no fault of the key's. */
CmkPrivateKey *cmk_private_key_parse (CmkKeySpec spec, const CmkSecret *der, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The EC key of this @scalar, big-endian, as long as the order of the curve. Errors as above. */
CmkPrivateKey *cmk_private_key_from_scalar (CmkKeySpec spec, const CmkSecret *scalar,
                                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* To the encoding and back (docs/record-format.md). CMK_ERROR_STATE_CORRUPTED if @encoded is not of a key of @spec;
 * it has been authenticated, so its numbers are not checked again. */
CmkSecret *cmk_private_key_encode (const CmkPrivateKey *key, GError **error) G_GNUC_WARN_UNUSED_RESULT;
CmkPrivateKey *cmk_private_key_decode (CmkKeySpec spec, const CmkSecret *encoded,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Who has the private half when this process has not: a TPM. Called on the thread that uses the key. */
typedef struct
{
  /* RSA: @input, less than the modulus, to the private exponent; both @size bytes, as long as the modulus. */
  gboolean (*rsa) (gpointer data, const guint8 *input, gsize size, guint8 *ret_output, GError **error);
  /* EC: an ECDSA signature of @digest; r || s, each as long as the order of the curve. */
  gboolean (*ecdsa) (gpointer data, const guint8 *digest, gsize size, guint8 *ret_signature, GError **error);
  gpointer data;
} CmkPrivateKeyHolder;

/* The key of @public_der, of an RSA or NIST curve @spec, whose private half is with @holder, which must outlive it. It
 * signs, decrypts and unwraps like any other; it cannot be encoded. */
CmkPrivateKey *cmk_private_key_held (CmkKeySpec spec, GBytes *public_der, const CmkPrivateKeyHolder *holder,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* NULL of a key whose private half is in this process. */
const CmkPrivateKeyHolder *cmk_private_key_holder (const CmkPrivateKey *key);

CmkKeySpec cmk_private_key_spec (const CmkPrivateKey *key);

/* DER SubjectPublicKeyInfo (RFC 5280), named curve, uncompressed point. */
GBytes *cmk_private_key_public_der (const CmkPrivateKey *key, GError **error) G_GNUC_WARN_UNUSED_RESULT;
