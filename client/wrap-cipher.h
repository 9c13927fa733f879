/* SPDX-License-Identifier: Apache-2.0
 *
 * The ciphers of wrapping. Each function gives NULL, or what is wrong, and then no output. Inside the module only. */
#pragma once

#include <openssl/evp.h>

#include "buffer.h"

typedef enum
{
  CMK_CIPHER_AES_256,
  CMK_CIPHER_SM4,
} CmkCipher;

/* Encrypt @plaintext under the RSA key @key by @padding, RSA_PKCS1_PADDING, or RSA_PKCS1_OAEP_PADDING with @hash for
 * itself and its MGF1. */
const char *cmk_rsa_encrypt (EVP_PKEY *key, int padding, const char *hash, const CmkBuffer *plaintext,
                             CmkBuffer *ret_ciphertext);

/* Encrypt @plaintext under the SM2 key @key; the result is raw, 04 || X || Y || C3 || C2 (GB/T 32918.4). */
const char *cmk_sm2_encrypt (EVP_PKEY *key, const CmkBuffer *plaintext, CmkBuffer *ret_ciphertext);

/* A fresh key of @cipher. */
const char *cmk_cipher_make_key (CmkCipher cipher, CmkBuffer *ret_key);

/* Key wrap with padding, RFC 5649. */
const char *cmk_cipher_wrap (CmkCipher cipher, const CmkBuffer *key, const CmkBuffer *plaintext,
                             CmkBuffer *ret_ciphertext);

/* ECB, with PKCS#7 padding or, of whole blocks, without any. */
const char *cmk_cipher_encrypt_ecb (CmkCipher cipher, bool is_padded, const CmkBuffer *key, const CmkBuffer *plaintext,
                                    CmkBuffer *ret_ciphertext);
