/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrapping of key material under a public key: the one function of the module cmkctl-wrap.so, which alone loads
 * libcrypto, so that the verbs that need no cryptography do not pay for it. */
#pragma once

#include "buffer.h"

/* Encrypt @material under @public_key, a SubjectPublicKeyInfo as DER or PEM, by @algorithm, a WrappingAlgorithm of the
 * contract (MGF1 hash = OAEP hash). NULL, or what is wrong, and then *@ret_wrapped is untouched. */
typedef const char *CmkWrapFunction (const char *algorithm, const CmkBuffer *public_key, const CmkBuffer *material,
                                     CmkBuffer *ret_wrapped);

#define CMK_WRAP_FUNCTION "cmk_wrap_material"

CmkWrapFunction cmk_wrap_material;
