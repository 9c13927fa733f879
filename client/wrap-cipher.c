/* SPDX-License-Identifier: Apache-2.0 */
#include "wrap-cipher.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/modes.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

#define BLOCK_BYTES          16
#define WRAP_OVERHEAD_BYTES  16 /* RFC 5649: the AIV, and padding of up to 7 */
#define SM2_COORDINATE_BYTES 32
#define SM3_BYTES            32
#define SM2_HEAD_BYTES       (1 + 2 * SM2_COORDINATE_BYTES + SM3_BYTES)

static const char no_algorithm[] =
    "this libcrypto cannot wrap by this algorithm: is a restricted provider configured in openssl.cnf?";
static const char does_not_fit[] =
    "the material does not fit under this public key: is it the raw key, such as 32 bytes for AES_256, 16 for SM4?";

static const struct
{
  const char *name;
  size_t key_bytes;
} ciphers[] = {
  [CMK_CIPHER_AES_256] = { "AES-256-ECB", 32 },
  [CMK_CIPHER_SM4] = { "SM4-ECB", 16 },
};

static void
free_key_context (EVP_PKEY_CTX **context)
{
  EVP_PKEY_CTX_free (*context);
}

static void
free_cipher_context (EVP_CIPHER_CTX **context)
{
  EVP_CIPHER_CTX_free (*context);
}

static void
free_sequence (STACK_OF (ASN1_TYPE) * *sequence)
{
  sk_ASN1_TYPE_pop_free (*sequence, ASN1_TYPE_free);
}

static void
free_number (BIGNUM **number)
{
  BN_free (*number);
}

static void
move (CmkBuffer *from, CmkBuffer *ret_to)
{
  *ret_to = *from;
  *from = (CmkBuffer) { 0 };
}

/* Encrypt under the key of @context, which is ready for it. */
static bool
encrypt (EVP_PKEY_CTX *context, const CmkBuffer *plaintext, CmkBuffer *ret_ciphertext)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer ciphertext = { 0 };
  size_t size = 0;

  if (EVP_PKEY_encrypt (context, NULL, &size, plaintext->data, plaintext->size) <= 0)
    return false;
  ciphertext = cmk_buffer_new (size);
  if (EVP_PKEY_encrypt (context, ciphertext.data, &size, plaintext->data, plaintext->size) <= 0)
    return false;
  ciphertext.size = size;
  move (&ciphertext, ret_ciphertext);
  return true;
}

const char *
cmk_rsa_encrypt (EVP_PKEY *key, int padding, const char *hash, const CmkBuffer *plaintext, CmkBuffer *ret_ciphertext)
{
  _cleanup_ (free_key_context) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey (NULL, key, NULL);

  if (context == NULL || EVP_PKEY_encrypt_init (context) <= 0 || EVP_PKEY_CTX_set_rsa_padding (context, padding) <= 0)
    return no_algorithm;
  if (hash != NULL && (EVP_PKEY_CTX_set_rsa_oaep_md_name (context, hash, NULL) <= 0 ||
                       EVP_PKEY_CTX_set_rsa_mgf1_md_name (context, hash, NULL) <= 0))
    return no_algorithm;
  return encrypt (context, plaintext, ret_ciphertext) ? NULL : does_not_fit;
}

static bool
copy_coordinate (const ASN1_TYPE *item, uint8_t *ret_bytes)
{
  _cleanup_ (free_number) BIGNUM *number =
      item->type == V_ASN1_INTEGER ? ASN1_INTEGER_to_BN (item->value.integer, NULL) : NULL;

  return number != NULL && BN_bn2binpad (number, ret_bytes, SM2_COORDINATE_BYTES) == SM2_COORDINATE_BYTES;
}

/* libcrypto knows SEQUENCE { X, Y INTEGER, C3, C2 OCTET STRING } only (GM/T 0009). */
static bool
make_raw (const CmkBuffer *asn1, CmkBuffer *ret_raw)
{
  const unsigned char *der = asn1->data;
  _cleanup_ (free_sequence) STACK_OF (ASN1_TYPE) *sequence = d2i_ASN1_SEQUENCE_ANY (NULL, &der, (long) asn1->size);
  _cleanup_ (cmk_buffer_clear) CmkBuffer raw = { 0 };
  const ASN1_TYPE *digest, *text;

  if (sequence == NULL || sk_ASN1_TYPE_num (sequence) != 4)
    return false;
  digest = sk_ASN1_TYPE_value (sequence, 2);
  text = sk_ASN1_TYPE_value (sequence, 3);
  if (digest->type != V_ASN1_OCTET_STRING || digest->value.octet_string->length != SM3_BYTES ||
      text->type != V_ASN1_OCTET_STRING)
    return false;

  raw = cmk_buffer_new (SM2_HEAD_BYTES + (size_t) text->value.octet_string->length);
  raw.size = raw.capacity;
  raw.data[0] = POINT_CONVERSION_UNCOMPRESSED;
  if (!copy_coordinate (sk_ASN1_TYPE_value (sequence, 0), raw.data + 1) ||
      !copy_coordinate (sk_ASN1_TYPE_value (sequence, 1), raw.data + 1 + SM2_COORDINATE_BYTES))
    return false;
  memcpy (raw.data + SM2_HEAD_BYTES - SM3_BYTES, digest->value.octet_string->data, SM3_BYTES);
  memcpy (raw.data + SM2_HEAD_BYTES, text->value.octet_string->data, raw.size - SM2_HEAD_BYTES);
  move (&raw, ret_raw);
  return true;
}

const char *
cmk_sm2_encrypt (EVP_PKEY *key, const CmkBuffer *plaintext, CmkBuffer *ret_ciphertext)
{
  _cleanup_ (free_key_context) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey (NULL, key, NULL);
  _cleanup_ (cmk_buffer_clear) CmkBuffer asn1 = { 0 };

  if (context == NULL || EVP_PKEY_encrypt_init (context) <= 0 || !encrypt (context, plaintext, &asn1) ||
      !make_raw (&asn1, ret_ciphertext))
    return no_algorithm;
  return NULL;
}

const char *
cmk_cipher_make_key (CmkCipher cipher, CmkBuffer *ret_key)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer key = cmk_buffer_new (ciphers[cipher].key_bytes);

  key.size = key.capacity;
  if (RAND_priv_bytes (key.data, (int) key.size) <= 0)
    return "this libcrypto has no random numbers";
  move (&key, ret_key);
  return NULL;
}

static EVP_CIPHER_CTX *
start_ecb (CmkCipher cipher, bool is_padded, const CmkBuffer *key)
{
  EVP_CIPHER *method = EVP_CIPHER_fetch (NULL, ciphers[cipher].name, NULL);
  _cleanup_ (free_cipher_context) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  EVP_CIPHER_CTX *started = NULL;

  if (method != NULL && context != NULL && EVP_EncryptInit_ex2 (context, method, key->data, NULL, NULL) > 0 &&
      EVP_CIPHER_CTX_set_padding (context, is_padded) > 0)
    {
      started = context;
      context = NULL;
    }
  EVP_CIPHER_free (method);
  return started;
}

typedef struct
{
  EVP_CIPHER_CTX *context;
  bool has_failed;
} BlockCipher;

/* A block128_f of <openssl/modes.h>, which can report nothing. */
static void
encrypt_block (const unsigned char in[BLOCK_BYTES], unsigned char out[BLOCK_BYTES], const void *key)
{
  BlockCipher *cipher = (BlockCipher *) (uintptr_t) key;
  int size = 0;

  if (EVP_EncryptUpdate (cipher->context, out, &size, in, BLOCK_BYTES) <= 0 || size != BLOCK_BYTES)
    cipher->has_failed = true;
}

/* Over the bare block cipher: EVP has this mode for AES only. */
const char *
cmk_cipher_wrap (CmkCipher cipher, const CmkBuffer *key, const CmkBuffer *plaintext, CmkBuffer *ret_ciphertext)
{
  _cleanup_ (free_cipher_context) EVP_CIPHER_CTX *context = start_ecb (cipher, false, key);
  _cleanup_ (cmk_buffer_clear) CmkBuffer ciphertext = cmk_buffer_new (plaintext->size + WRAP_OVERHEAD_BYTES);
  BlockCipher block = { context, false };

  if (context == NULL)
    return no_algorithm;
  ciphertext.size =
      CRYPTO_128_wrap_pad (&block, NULL, ciphertext.data, plaintext->data, plaintext->size, encrypt_block);
  if (ciphertext.size == 0 || block.has_failed)
    return no_algorithm;
  move (&ciphertext, ret_ciphertext);
  return NULL;
}

const char *
cmk_cipher_encrypt_ecb (CmkCipher cipher, bool is_padded, const CmkBuffer *key, const CmkBuffer *plaintext,
                        CmkBuffer *ret_ciphertext)
{
  _cleanup_ (free_cipher_context) EVP_CIPHER_CTX *context = start_ecb (cipher, is_padded, key);
  _cleanup_ (cmk_buffer_clear) CmkBuffer ciphertext = cmk_buffer_new (plaintext->size + BLOCK_BYTES);
  int size = 0, last = 0;

  if (context == NULL ||
      EVP_EncryptUpdate (context, ciphertext.data, &size, plaintext->data, (int) plaintext->size) <= 0 ||
      EVP_EncryptFinal_ex (context, ciphertext.data + size, &last) <= 0)
    return no_algorithm;
  ciphertext.size = (size_t) (size + last);
  move (&ciphertext, ret_ciphertext);
  return NULL;
}
