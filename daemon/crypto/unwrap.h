/* SPDX-License-Identifier: Apache-2.0
 *
 * Unwrapping: from what an importer sends to the material, by every form of the contract (design 1.4):
 *
 * direct    RSAES_*, SM2PKE               the material itself; of an EC key its PKCS#8, but not by PKCS#1 v1.5
 * separate  the same                      a temporary key, and EncryptedPrivateKey: RFC 5649 of the PKCS#8
 * key wrap  RSA_AES_KEY_WRAP_SHA_*        OAEP (32-byte AES key) || RFC 5649 of the material or the PKCS#8
 * ECB, AES  RSAES_..._AES_256_ECB_PKCS7   OAEP (32-byte AES key) || AES-256-ECB with PKCS#7 padding of the PKCS#8
 * ECB, SM4  SM2PKE_SM4_ECB                SM2 (16-byte SM4 key) || SM4-ECB without padding of the 32-byte scalar
 *
 * A temporary key is 32 bytes for AES-256, and 16 for SM4, which the separate form takes for EC_SM2 (seed 001). */
#pragma once

#include "crypto/private-key.h"

/* What was sent for a key of @spec. */
typedef struct
{
  CmkWrappingAlgorithm algorithm; /* carries @spec */
  CmkWrappingKeySpec wrapping_spec;
  CmkKeySpec spec;
  GBytes *encrypted_key_material;
  GBytes *encrypted_private_key; /* NULL: none was sent */
} CmkWrapped;

/* Can it be of the form that algorithm and spec ask for, by its parts and their lengths, which are public? Else
 * CMK_ERROR_INVALID_PARAMETER naming the argument and what is expected. Nothing is decrypted. */
gboolean cmk_wrapped_check (const CmkWrapped *wrapped, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The material of @wrapped, which was checked: the bytes themselves of a symmetric key, the encoding of
 * crypto/private-key.h of a private one, which was checked to be sound.
 *
 * Whatever is wrong - padding, length, integrity, encoding, a key that is not sound - is the one
 * CMK_ERROR_INCORRECT_KEY_MATERIAL with a text that depends on the form only, and each step goes on with what the one
 * before gave, right or wrong, so that time does not tell which failed. Padding is taken off here in constant time:
 * OpenSSL before 3.2 tells bad PKCS#1 padding by an error and later ones answer it with random bytes. */
CmkSecret *cmk_unwrap (const CmkPrivateKey *wrapping_key, const CmkWrapped *wrapped,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
