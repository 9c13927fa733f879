/* SPDX-License-Identifier: Apache-2.0
 *
 * RSA padding of symmetric material. The other party is OpenSSL with the public key alone, as an importer would use it;
 * malformed blocks are made by hand and encrypted without padding. BI-05 to BI-11 and TK-16. */
#include "crypto/unwrap.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "importer-fixture.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

#define MODULUS_SIZE  256 /* of the pair that all malformed blocks are for */
#define MATERIAL_SIZE 32
#define SEPARATOR     (MODULUS_SIZE - MATERIAL_SIZE - 1)

static CmkPrivateKey *pair;
static gint never;
static const guint8 material[64] = "0123456789abcdef0123456789ABCDEF and more, for what is too long";

static const CmkWrappingAlgorithm algorithms[] = {
  CMK_WRAPPING_RSAES_PKCS1_V1_5,
  CMK_WRAPPING_RSAES_OAEP_SHA_1,
  CMK_WRAPPING_RSAES_OAEP_SHA_256,
};

/* For a key of @size bytes. */
static CmkWrapped
wrapped_of (CmkWrappingAlgorithm algorithm, GBytes *ciphertext, gsize size)
{
  return (CmkWrapped) {
    .algorithm = algorithm,
    .wrapping_spec = CMK_WRAPPING_KEY_RSA_2048,
    .spec = size == 16 ? CMK_KEY_SPEC_SM4 : CMK_KEY_SPEC_AES_256,
    .encrypted_key_material = ciphertext,
  };
}

/* One error, one text for an algorithm and a size, whatever the cause. */
static void
assert_refused (CmkWrappingAlgorithm algorithm, GBytes *ciphertext, gsize expected_size)
{
  static const char *const hashes[] = {
    [CMK_WRAPPING_RSAES_PKCS1_V1_5] = "PKCS#1 v1.5 padding, no hash and no MGF1 hash",
    [CMK_WRAPPING_RSAES_OAEP_SHA_1] = "OAEP hash SHA-1, MGF1 hash SHA-1, empty label",
    [CMK_WRAPPING_RSAES_OAEP_SHA_256] = "OAEP hash SHA-256, MGF1 hash SHA-256, empty label",
  };
  g_autofree char *text = g_strdup_printf (
      "the encrypted key material does not hold exactly %zu bytes (%zu bits) encrypted by %s (%s) under the "
      "public key that came with this import token; encrypt the raw key bytes, not their hex or Base64 form, and "
      "try again",
      expected_size, expected_size * 8, cmk_spec_name (cmk_wrapping_algorithms, (int) algorithm), hashes[algorithm]);
  g_autoptr (GError) error = NULL;
  CmkWrapped wrapped = wrapped_of (algorithm, ciphertext, expected_size);
  g_assert_null (cmk_unwrap (pair, &wrapped, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
  g_assert_cmpstr (error->message, ==, text);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

/* TK-16 */
static void
test_other_pair (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) other = cmk_private_key_generate (CMK_KEY_SPEC_RSA_2048, &never, &error);
  g_assert_no_error (error);
  Scheme scheme = scheme_of (CMK_WRAPPING_RSAES_OAEP_SHA_256);
  g_autoptr (GBytes) ciphertext = encrypt (other, &scheme, material, MATERIAL_SIZE);
  assert_refused (CMK_WRAPPING_RSAES_OAEP_SHA_256, ciphertext, MATERIAL_SIZE);
}

/* BI-05 */
static void
test_ciphertext_size (void)
{
  static const gsize sizes[] = { 0, 1, MODULUS_SIZE - 1, MODULUS_SIZE + 1 };
  const guint8 zeros[MODULUS_SIZE + 1] = { 0 };
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint j = 0; j < G_N_ELEMENTS (algorithms); j++)
      {
        g_autofree char *text = g_strdup_printf (
            "encrypted_key_material: what is wrapped by %s with RSA_2048 is 256 bytes long before Base64",
            cmk_spec_name (cmk_wrapping_algorithms, (int) algorithms[j]));
        g_autoptr (GError) error = NULL;
        g_autoptr (GBytes) ciphertext = g_bytes_new (zeros, sizes[i]);
        CmkWrapped wrapped = wrapped_of (algorithms[j], ciphertext, MATERIAL_SIZE);
        g_assert_false (cmk_wrapped_check (&wrapped, &error));
        g_assert_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER);
        g_assert_cmpstr (error->message, ==, text);
      }
}

static void
assert_number_refused (const BIGNUM *number)
{
  guint8 bytes[MODULUS_SIZE];
  g_assert_cmpint (BN_bn2binpad (number, bytes, sizeof bytes), ==, MODULUS_SIZE);
  g_autoptr (GBytes) ciphertext = g_bytes_new (bytes, sizeof bytes);
  for (guint i = 0; i < G_N_ELEMENTS (algorithms); i++)
    assert_refused (algorithms[i], ciphertext, MATERIAL_SIZE);
}

/* BI-07 */
static void
test_edge_numbers (void)
{
  EVP_PKEY *public = new_public (pair);
  BIGNUM *modulus = NULL;
  BIGNUM *number = BN_new ();
  g_assert_cmpint (EVP_PKEY_get_bn_param (public, OSSL_PKEY_PARAM_RSA_N, &modulus), ==, 1);
  for (BN_ULONG word = 0; word < 3; word++)
    {
      g_assert_cmpint (BN_set_word (number, word), ==, 1);
      assert_number_refused (number);
    }
  g_assert_cmpint (BN_sub (number, modulus, BN_value_one ()), ==, 1);
  assert_number_refused (number);
  assert_number_refused (modulus);
  g_assert_cmpint (BN_add (number, modulus, BN_value_one ()), ==, 1);
  assert_number_refused (number);
  BN_zero (number);
  g_assert_cmpint (BN_set_bit (number, MODULUS_SIZE * 8), ==, 1);
  g_assert_cmpint (BN_sub_word (number, 1), ==, 1);
  assert_number_refused (number);
  BN_free (number);
  BN_free (modulus);
  EVP_PKEY_free (public);
}

/* BI-08: a well-formed block for MATERIAL_SIZE bytes with one byte changed, or one for another size. */
typedef struct
{
  const char *name;
  guint offset;
  guint8 value;
  gsize message_size;
} Block;

static const Block blocks[] = {
  { "first-byte-1", 0, 0x01, MATERIAL_SIZE },
  { "type-0", 1, 0x00, MATERIAL_SIZE },
  { "type-1", 1, 0x01, MATERIAL_SIZE },
  { "type-3", 1, 0x03, MATERIAL_SIZE },
  { "type-ff", 1, 0xff, MATERIAL_SIZE },
  { "no-padding", 2, 0x00, MATERIAL_SIZE },
  { "padding-of-7", 9, 0x00, MATERIAL_SIZE },
  { "padding-of-8-then-zero", 10, 0x00, MATERIAL_SIZE },
  { "zero-in-the-middle", 128, 0x00, MATERIAL_SIZE },
  { "zero-before-the-separator", SEPARATOR - 1, 0x00, MATERIAL_SIZE },
  { "no-separator", SEPARATOR, 0x5a, MATERIAL_SIZE },
  { "separator-one-late", SEPARATOR, 0x01, MATERIAL_SIZE - 1 },
  { "message-of-0", 0, 0x00, 0 },
  { "message-of-1", 0, 0x00, 1 },
  { "message-of-16", 0, 0x00, 16 },
  { "message-of-31", 0, 0x00, 31 },
  { "message-of-33", 0, 0x00, 33 },
  { "message-of-245", 0, 0x00, 245 },
};

static void
fill_block (guint8 block[MODULUS_SIZE], gsize message_size)
{
  for (guint i = 0; i < MODULUS_SIZE; i++)
    block[i] = (guint8) (i % 255 + 1);
  block[0] = 0x00;
  block[1] = 0x02;
  block[MODULUS_SIZE - message_size - 1] = 0x00;
}

static void
test_block (gconstpointer data)
{
  const Block *c = data;
  const Scheme raw = { RSA_NO_PADDING, NULL, NULL, NULL };
  guint8 block[MODULUS_SIZE];
  fill_block (block, c->message_size);
  block[c->offset] = c->value;
  g_autoptr (GBytes) ciphertext = encrypt (pair, &raw, block, sizeof block);
  assert_refused (CMK_WRAPPING_RSAES_PKCS1_V1_5, ciphertext, MATERIAL_SIZE);
}

static void
test_block_by_hand (void)
{
  const Scheme raw = { RSA_NO_PADDING, NULL, NULL, NULL };
  guint8 block[MODULUS_SIZE];
  fill_block (block, MATERIAL_SIZE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) ciphertext = encrypt (pair, &raw, block, sizeof block);
  CmkWrapped wrapped = wrapped_of (CMK_WRAPPING_RSAES_PKCS1_V1_5, ciphertext, MATERIAL_SIZE);
  g_autoptr (CmkSecret) unwrapped = cmk_unwrap (pair, &wrapped, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (unwrapped), MATERIAL_SIZE, block + SEPARATOR + 1, MATERIAL_SIZE);
}

/* BI-09; what no stock tool can make is in test-unpad.c. */
static void
test_oaep_choices (void)
{
  const struct
  {
    CmkWrappingAlgorithm algorithm;
    Scheme scheme;
  } choices[] = {
    { CMK_WRAPPING_RSAES_OAEP_SHA_256, { RSA_PKCS1_OAEP_PADDING, EVP_sha256 (), EVP_sha256 (), "label" } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_256, { RSA_PKCS1_OAEP_PADDING, EVP_sha1 (), EVP_sha1 (), NULL } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_256, { RSA_PKCS1_OAEP_PADDING, EVP_sha256 (), EVP_sha1 (), NULL } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_256, { RSA_PKCS1_OAEP_PADDING, EVP_sha1 (), EVP_sha256 (), NULL } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_256, { RSA_PKCS1_OAEP_PADDING, EVP_sha512 (), EVP_sha512 (), NULL } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_1, { RSA_PKCS1_OAEP_PADDING, EVP_sha1 (), EVP_sha1 (), "label" } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_1, { RSA_PKCS1_OAEP_PADDING, EVP_sha256 (), EVP_sha256 (), NULL } },
    { CMK_WRAPPING_RSAES_OAEP_SHA_1, { RSA_PKCS1_OAEP_PADDING, EVP_sha1 (), EVP_sha256 (), NULL } },
  };
  for (guint i = 0; i < G_N_ELEMENTS (choices); i++)
    {
      g_autoptr (GBytes) ciphertext = encrypt (pair, &choices[i].scheme, material, MATERIAL_SIZE);
      assert_refused (choices[i].algorithm, ciphertext, MATERIAL_SIZE);
    }
}

/* BI-10: good padding of another length, for both sizes of material. */
static void
test_message_sizes (void)
{
  static const gsize sizes[] = { 0, 1, 15, 16, 17, 24, 31, 32, 33, 48 };
  for (guint i = 0; i < G_N_ELEMENTS (algorithms); i++)
    for (guint j = 0; j < G_N_ELEMENTS (sizes); j++)
      {
        Scheme scheme = scheme_of (algorithms[i]);
        g_autoptr (GBytes) ciphertext = encrypt (pair, &scheme, material, sizes[j]);
        if (sizes[j] != 32)
          assert_refused (algorithms[i], ciphertext, 32);
        if (sizes[j] != 16)
          assert_refused (algorithms[i], ciphertext, 16);
      }
}

/* BI-11 */
static void
test_other_algorithm (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (algorithms); i++)
    for (guint j = 0; j < G_N_ELEMENTS (algorithms); j++)
      {
        if (i == j)
          continue;
        Scheme scheme = scheme_of (algorithms[i]);
        g_autoptr (GBytes) ciphertext = encrypt (pair, &scheme, material, MATERIAL_SIZE);
        assert_refused (algorithms[j], ciphertext, MATERIAL_SIZE);
      }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  pair = cmk_private_key_generate (CMK_KEY_SPEC_RSA_2048, &never, &error);
  if (pair == NULL)
    g_error ("%s", error->message);
  g_test_add_func ("/unwrap-padding/other-pair-is-refused", test_other_pair);
  g_test_add_func ("/unwrap-padding/ciphertext-of-other-size-is-refused", test_ciphertext_size);
  g_test_add_func ("/unwrap-padding/edge-numbers-are-refused", test_edge_numbers);
  g_test_add_func ("/unwrap-padding/block-by-hand-unwraps", test_block_by_hand);
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    {
      g_autofree char *path = g_strdup_printf ("/unwrap-padding/malformed-block/%s", blocks[i].name);
      g_test_add_data_func (path, &blocks[i], test_block);
    }
  g_test_add_func ("/unwrap-padding/other-oaep-choices-are-refused", test_oaep_choices);
  g_test_add_func ("/unwrap-padding/other-message-sizes-are-refused", test_message_sizes);
  g_test_add_func ("/unwrap-padding/other-algorithm-is-refused", test_other_algorithm);
  int result = g_test_run ();
  cmk_private_key_free (pair);
  return result;
}
