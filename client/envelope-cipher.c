/* SPDX-License-Identifier: Apache-2.0
 *
 * The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizar, 2015) over AES-256-GCM: a nonce is the number of the
 * chunk and whether it is the last, so that none can be left out, moved, repeated or put behind the end. */
#include "envelope-cipher.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#define FILE_KEY_BYTES 32
#define NONCE_BYTES    12
#define LAST_CHUNK     1 /* the last byte of the nonce of the last chunk */

struct CmkEnvelopeCipher
{
  EVP_CIPHER_CTX *context;
  uint64_t n_chunks; /* so far */
};

/* NIST SP 800-108 in counter mode. */
static bool
derive (const CmkBuffer *data_key, CmkBuffer *keys)
{
  static char mode[] = "counter", mac[] = "HMAC", digest[] = "SHA256";
  static char label[] = "cmkd/v1/envelope-file";
  const OSSL_PARAM parameters[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_KDF_PARAM_MODE, mode, 0),
    OSSL_PARAM_construct_utf8_string (OSSL_KDF_PARAM_MAC, mac, 0),
    OSSL_PARAM_construct_utf8_string (OSSL_KDF_PARAM_DIGEST, digest, 0),
    OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_SALT, label, sizeof label - 1),
    OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_KEY, data_key->data, data_key->size),
    OSSL_PARAM_construct_end (),
  };
  EVP_KDF *kdf = EVP_KDF_fetch (NULL, "KBKDF", NULL);
  EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new (kdf) : NULL;
  bool is_derived = context != NULL && EVP_KDF_derive (context, keys->data, keys->capacity, parameters) == 1;

  keys->size = keys->capacity;
  EVP_KDF_CTX_free (context);
  EVP_KDF_free (kdf);
  return is_derived;
}

static void
destroy (CmkEnvelopeCipher *cipher)
{
  if (cipher == NULL)
    return;
  EVP_CIPHER_CTX_free (cipher->context);
  free (cipher);
}

static CmkEnvelopeCipher *
create (const CmkBuffer *data_key, bool is_encrypting, uint8_t ret_commitment[CMK_ENVELOPE_COMMITMENT_BYTES])
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer keys = cmk_buffer_new (FILE_KEY_BYTES + CMK_ENVELOPE_COMMITMENT_BYTES);
  CmkEnvelopeCipher *cipher;

  if (!derive (data_key, &keys))
    return NULL;
  memcpy (ret_commitment, keys.data + FILE_KEY_BYTES, CMK_ENVELOPE_COMMITMENT_BYTES);

  cipher = cmk_allocate (sizeof *cipher);
  *cipher = (CmkEnvelopeCipher) { .context = EVP_CIPHER_CTX_new () };
  if (cipher->context != NULL &&
      EVP_CipherInit_ex (cipher->context, EVP_aes_256_gcm (), NULL, keys.data, NULL, is_encrypting) == 1)
    return cipher;
  destroy (cipher);
  return NULL;
}

static bool
begin_chunk (CmkEnvelopeCipher *cipher, bool is_last)
{
  uint8_t nonce[NONCE_BYTES] = { [NONCE_BYTES - 1] = is_last ? LAST_CHUNK : 0 };
  uint64_t number = cipher->n_chunks++;

  for (size_t i = NONCE_BYTES - 1; number > 0; number >>= 8)
    nonce[--i] = (uint8_t) number;
  return EVP_CipherInit_ex (cipher->context, NULL, NULL, NULL, nonce, -1) == 1;
}

static bool
seal (CmkEnvelopeCipher *cipher, const uint8_t *data, size_t size, bool is_last, uint8_t *ret_chunk)
{
  int written = 0, rest = 0;

  return begin_chunk (cipher, is_last) &&
         EVP_EncryptUpdate (cipher->context, ret_chunk, &written, data, (int) size) == 1 &&
         EVP_EncryptFinal_ex (cipher->context, ret_chunk + written, &rest) == 1 &&
         EVP_CIPHER_CTX_ctrl (cipher->context, EVP_CTRL_AEAD_GET_TAG, CMK_ENVELOPE_TAG_BYTES, ret_chunk + size) == 1;
}

static bool
open_chunk (CmkEnvelopeCipher *cipher, const uint8_t *chunk, size_t size, bool is_last, uint8_t *ret_data)
{
  uint8_t tag[CMK_ENVELOPE_TAG_BYTES];
  int written = 0, rest = 0;

  memcpy (tag, chunk + size, sizeof tag);
  return begin_chunk (cipher, is_last) &&
         EVP_DecryptUpdate (cipher->context, ret_data, &written, chunk, (int) size) == 1 &&
         EVP_CIPHER_CTX_ctrl (cipher->context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
         EVP_DecryptFinal_ex (cipher->context, ret_data + written, &rest) == 1;
}

static bool
equal (const uint8_t *one, const uint8_t *other, size_t size)
{
  return CRYPTO_memcmp (one, other, size) == 0;
}

__attribute__ ((visibility ("default")))
const CmkEnvelopeModule cmk_envelope_module = { create, seal, open_chunk, destroy, equal };
