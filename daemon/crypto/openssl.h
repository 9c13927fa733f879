/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share and no other room sees: the algorithms that cmk_crypto_init() fetched,
 * the one door out of OpenSSL's error queue, and HMAC. Implemented in crypto.c. */
#pragma once

#include "base/secret.h"
#include "crypto/hmac-key.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>

#define CMK_HMAC_SIZE 32 /* HMAC-SHA-256 and HMAC-SM3 alike */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_KDF_CTX, EVP_KDF_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_MAC_CTX, EVP_MAC_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_MD_CTX, EVP_MD_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_PKEY_CTX, EVP_PKEY_CTX_free)

typedef struct
{
  EVP_MAC *hmac;
  EVP_KDF *hkdf;
  EVP_MD *sha1;
  EVP_MD *sha256;
  EVP_MD *sha384;
  EVP_MD *sha512;
  EVP_MD *sm3;
  EVP_CIPHER *aes_128_cfb;
  EVP_CIPHER *aes_256_ecb;
  EVP_CIPHER *aes_256_gcm;
  EVP_CIPHER *sm4_ctr;
  EVP_CIPHER *sm4_ecb;
} CmkAlgorithms;

/* Set once by cmk_crypto_init(), read-only after that. */
const CmkAlgorithms *cmk_algorithms (void);

/* Pass @ok on. When it is FALSE, turn OpenSSL's error queue into CMK_ERROR_INTERNAL and empty it; the text
 * holds @what and the library's own reason, never data of the call. */
gboolean cmk_openssl_ok (gboolean ok, const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One stretch of a longer input, so that nobody has to join them in memory first. */
typedef struct
{
  const void *data;
  gsize size;
} CmkPart;

/* HMAC of @parts one after the other. @digest is the name of a digest, as long as which @ret_mac is. */
gboolean cmk_hmac (const char *digest, const guint8 *key, gsize key_size, const CmkPart *parts, guint n_parts,
                   guint8 *ret_mac, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with whatever @key is, by @algorithm; as long as cmk_mac_algorithm_bytes(). The parts are no secret.
 * Implemented in hmac-key.c. */
gboolean cmk_hmac_key_compute (const CmkHmacKey *key, CmkMacAlgorithm algorithm, const CmkPart *parts, guint n_parts,
                               guint8 *ret_mac, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gsize cmk_mac_algorithm_bytes (CmkMacAlgorithm algorithm);

typedef struct _CmkPrivateKey CmkPrivateKey;

/* The pair inside @key; of a held key its public half only. Implemented in private-key.c. */
EVP_PKEY *cmk_private_key_pair (const CmkPrivateKey *key);

/* RSADP without padding, into @block, which is zero and as long as the modulus; here with blinding, of a held key by
 * its holder. *@ret_in_range is FALSE, with @block still zero, for a wrong length and for a number that is not below
 * the modulus; both are public. FALSE if the holder failed. Implemented in private-key.c. */
gboolean cmk_private_key_decrypt_raw (const CmkPrivateKey *key, const guint8 *data, gsize size, CmkSecret *block,
                                      gboolean *ret_in_range, GError **error) G_GNUC_WARN_UNUSED_RESULT;
