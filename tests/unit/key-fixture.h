/* SPDX-License-Identifier: Apache-2.0
 *
 * Private keys as importers send them, and such as they should not: written by hand, number for number. */
#pragma once

#include "crypto/private-key.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/openssl.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)

/* --- DER --- */

#define RSA_IDENTIFIER  "06092a864886f70d0101010500"
#define P256_PARAMETERS "06082a8648ce3d030107"
#define EC_IDENTIFIER   "06072a8648ce3d0201"

static inline GBytes *
from_hex (const char *hex)
{
  gsize size = strlen (hex) / 2;
  guint8 *data = g_malloc (size + 1);
  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return g_bytes_new_take (data, size);
}

static inline void
append (GByteArray *der, GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_byte_array_append (der, data, (guint) size);
}

static inline void
append_hex (GByteArray *der, const char *hex)
{
  g_autoptr (GBytes) bytes = from_hex (hex);
  append (der, bytes);
}

static inline void
append_header (GByteArray *der, guint8 tag, gsize size)
{
  const guint8 header[] = { tag, 0x82, (guint8) (size >> 8), (guint8) size };
  const guint8 middle[] = { tag, 0x81, (guint8) size };
  const guint8 brief[] = { tag, (guint8) size };
  if (size >= 0x100)
    g_byte_array_append (der, header, sizeof header);
  else if (size >= 0x80)
    g_byte_array_append (der, middle, sizeof middle);
  else
    g_byte_array_append (der, brief, sizeof brief);
}

/* Put a header before all that @der holds. */
static inline void
wrap (GByteArray *der, guint8 tag)
{
  g_autoptr (GByteArray) header = g_byte_array_new ();
  append_header (header, tag, der->len);
  g_byte_array_prepend (der, header->data, header->len);
}

static inline void
append_number (GByteArray *der, const BIGNUM *number)
{
  gsize size = (gsize) BN_num_bytes (number);
  gboolean padded = size == 0 || BN_is_bit_set (number, (int) size * 8 - 1);
  guint8 data[1024] = { 0 };
  BN_bn2bin (number, data + padded);
  append_header (der, 0x02, size + padded);
  g_byte_array_append (der, data, (guint) (size + padded));
}

/* PrivateKeyInfo around @key with that AlgorithmIdentifier; takes @key over. */
static inline GBytes *
wrap_pkcs8 (const char *identifier, GByteArray *key)
{
  g_autoptr (GByteArray) algorithm = g_byte_array_new ();
  append_hex (algorithm, identifier);
  wrap (algorithm, 0x30);
  wrap (key, 0x04);
  g_byte_array_prepend (key, algorithm->data, algorithm->len);
  g_byte_array_prepend (key, (const guint8[]) { 0x02, 0x01, 0x00 }, 3);
  wrap (key, 0x30);
  return g_byte_array_free_to_bytes (key);
}

/* --- RSA --- */

/* n, e, d, p, q, dp, dq, qinv. */
#define N_NUMBERS 8

typedef struct
{
  BIGNUM *values[N_NUMBERS];
} Numbers;

static inline void
numbers_free (Numbers *numbers)
{
  for (guint i = 0; i < N_NUMBERS; i++)
    BN_free (numbers->values[i]);
  g_free (numbers);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Numbers, numbers_free)

/* The key of e, p and q, with d modulo (p - 1)(q - 1), which is not what cmkd keeps. NULL if e has no inverse. */
static inline Numbers *
new_numbers (const BIGNUM *e, const BIGNUM *p, const BIGNUM *q)
{
  g_autoptr (Numbers) numbers = g_new0 (Numbers, 1);
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  g_autoptr (BIGNUM) p_order = BN_dup (p);
  g_autoptr (BIGNUM) q_order = BN_dup (q);
  g_autoptr (BIGNUM) phi = BN_new ();
  const BIGNUM *given[N_NUMBERS] = { NULL, e, NULL, p, q, NULL, NULL, NULL };
  for (guint i = 0; i < N_NUMBERS; i++)
    numbers->values[i] = given[i] != NULL ? BN_dup (given[i]) : BN_new ();
  BN_sub_word (p_order, 1);
  BN_sub_word (q_order, 1);
  BN_mul (phi, p_order, q_order, context);
  BN_mul (numbers->values[0], p, q, context);
  if (BN_mod_inverse (numbers->values[2], e, phi, context) == NULL)
    return NULL;
  BN_mod (numbers->values[5], numbers->values[2], p_order, context);
  BN_mod (numbers->values[6], numbers->values[2], q_order, context);
  BN_mod_inverse (numbers->values[7], q, p, context);
  ERR_clear_error ();
  return g_steal_pointer (&numbers);
}

static inline BIGNUM *
new_prime (int bits)
{
  BIGNUM *prime = BN_new ();
  g_assert_cmpint (BN_generate_prime_ex (prime, bits, FALSE, NULL, NULL, NULL), ==, 1);
  g_assert_true (BN_is_bit_set (prime, bits - 2)); /* the product of two has all its bits */
  return prime;
}

static inline BIGNUM *
new_word (BN_ULONG value)
{
  BIGNUM *number = BN_new ();
  BN_set_word (number, value);
  return number;
}

static inline GByteArray *
new_pkcs1 (const Numbers *numbers)
{
  GByteArray *der = g_byte_array_new ();
  append_hex (der, "020100");
  for (guint i = 0; i < N_NUMBERS; i++)
    append_number (der, numbers->values[i]);
  wrap (der, 0x30);
  return der;
}

static inline GBytes *
new_rsa_pkcs8 (const Numbers *numbers)
{
  return wrap_pkcs8 (RSA_IDENTIFIER, new_pkcs1 (numbers));
}

/* --- curves --- */

/* ECPrivateKey; any but the scalar may be NULL. */
static inline GByteArray *
new_sec1 (GBytes *scalar, const char *parameters, GBytes *point)
{
  GByteArray *der = g_byte_array_new ();
  append_hex (der, "020101");
  append_header (der, 0x04, g_bytes_get_size (scalar));
  append (der, scalar);
  if (parameters != NULL)
    {
      append_header (der, 0xa0, strlen (parameters) / 2);
      append_hex (der, parameters);
    }
  if (point != NULL)
    {
      g_autoptr (GByteArray) bits = g_byte_array_new ();
      append_hex (bits, "00");
      append (bits, point);
      wrap (bits, 0x03);
      wrap (bits, 0xa1);
      g_byte_array_append (der, bits->data, bits->len);
    }
  wrap (der, 0x30);
  return der;
}

static inline GBytes *
new_p256_pkcs8 (GBytes *scalar, GBytes *point)
{
  return wrap_pkcs8 (EC_IDENTIFIER P256_PARAMETERS, new_sec1 (scalar, NULL, point));
}

/* --- stock OpenSSL --- */

static inline GBytes *
take_der (unsigned char *der, int size)
{
  g_assert_cmpint (size, >, 0);
  GBytes *bytes = g_bytes_new (der, (gsize) size);
  OPENSSL_free (der);
  return bytes;
}

static inline GBytes *
openssl_pkcs8 (const EVP_PKEY *key)
{
  unsigned char *der = NULL;
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8 (key);
  g_assert_nonnull (info);
  int size = i2d_PKCS8_PRIV_KEY_INFO (info, &der);
  PKCS8_PRIV_KEY_INFO_free (info);
  return take_der (der, size);
}

/* --- what cmkd makes of them --- */

static inline CmkSecret *
new_secret (GBytes *bytes)
{
  g_autoptr (GError) error = NULL;
  CmkSecret *secret = cmk_secret_new_copy (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  return secret;
}

static inline CmkSecret *
encode (const CmkPrivateKey *key)
{
  g_autoptr (GError) error = NULL;
  CmkSecret *encoded = cmk_private_key_encode (key, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return encoded;
}

static inline CmkPrivateKey *
generate (CmkKeySpec spec)
{
  gint never = 0;
  g_autoptr (GError) error = NULL;
  CmkPrivateKey *key = cmk_private_key_generate (spec, &never, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return key;
}

static inline CmkPrivateKey *
parse (CmkKeySpec spec, GBytes *pkcs8)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) der = new_secret (pkcs8);
  CmkPrivateKey *key = cmk_private_key_parse (spec, der, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return key;
}

static inline void
assert_refused (CmkKeySpec spec, GBytes *pkcs8)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) der = new_secret (pkcs8);
  g_assert_null (cmk_private_key_parse (spec, der, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

/* @pkcs8 is that key, in whatever form. */
static inline void
assert_same (const CmkPrivateKey *key, GBytes *pkcs8)
{
  g_autoptr (CmkPrivateKey) parsed = parse (cmk_private_key_spec (key), pkcs8);
  g_autoptr (CmkSecret) expected = encode (key);
  g_autoptr (CmkSecret) encoded = encode (parsed);
  g_assert_true (cmk_secret_equal (encoded, expected));
}
