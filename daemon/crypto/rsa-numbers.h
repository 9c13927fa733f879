/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of an RSA private key: whether they belong together, and the one set of them that stands for a key.
 * Inside this room only. */
#pragma once

#include "crypto/key-form.h"

#include <openssl/bn.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_clear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)

/* All on the secure heap and marked for constant time. */
typedef struct
{
  BIGNUM *values[CMK_RSA_N_NUMBERS];
} CmkRsaNumbers;

void cmk_rsa_numbers_free (CmkRsaNumbers *numbers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkRsaNumbers, cmk_rsa_numbers_free)

/* All zero. */
CmkRsaNumbers *cmk_rsa_numbers_new (GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_INCORRECT_KEY_MATERIAL unless they are a key of @bits: e odd and of 64 bits at most, two different odd
 * factors of half the size, and everything else what it has to be for them. Whether the factors are prime is not
 * looked at. */
gboolean cmk_rsa_numbers_check (const CmkRsaNumbers *numbers, guint bits, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Put the larger prime first and make qinv of them: e, p, q and qinv then are the same for every file of the key, in
 * whatever order it has the primes and modulo whichever multiple of the order its private exponent was made. */
gboolean cmk_rsa_numbers_normalise (CmkRsaNumbers *numbers, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* n, d, dp and dq, from e, p and q: microseconds, unlike qinv. */
gboolean cmk_rsa_numbers_derive (CmkRsaNumbers *numbers, GError **error) G_GNUC_WARN_UNUSED_RESULT;
