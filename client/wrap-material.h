/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading what is to be wrapped, and the key it is wrapped under. Inside the module only. */
#pragma once

#include <openssl/evp.h>

#include "wrap.h"

/* For __attribute__ ((cleanup)). */
void cmk_free_key (EVP_PKEY **key);

/* The CmkWrapModule.read_material. */
const char *cmk_material_read (const CmkBuffer *data, CmkAskPassphrase *ask, const char *file,
                               CmkMaterial *ret_material);

/* The secret number of @material: of an SM2 key, or raw bytes that are one. */
const char *cmk_material_get_scalar (const CmkMaterial *material, CmkBuffer *ret_scalar);

/* The RSA or SM2 key of @data, a SubjectPublicKeyInfo as DER or PEM; NULL if it is none. */
EVP_PKEY *cmk_public_key_read (const CmkBuffer *data);
