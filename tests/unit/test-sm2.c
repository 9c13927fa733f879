/* SPDX-License-Identifier: Apache-2.0
 *
 * The published example is that of GB/T 32918.5-2017, annex C, on the recommended curve. */
#include "crypto/sm2.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "wrapping-fixture.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <string.h>

#define SCALAR    "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
#define PUBLIC_X  "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
#define PUBLIC_Y  "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
#define C1_X      "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
#define C1_Y      "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
#define C2        "21886ca989ca9c7d58087307ca93092d651efa"
#define C3        "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
#define PLAINTEXT "encryption standard"

static EVP_PKEY *pair; /* of the example */

static const struct
{
  const char *name;
  const char *ciphertext;
  gboolean good;
} cases[] = {
  { "raw", "04" C1_X C1_Y C3 C2, TRUE },
  /* X begins with 04, Y with e8: one INTEGER as it is, one with a zero before it. */
  { "asn1", "307c0220" C1_X "022100" C1_Y "0420" C3 "0413" C2, TRUE },
  { "raw-of-c1c2c3", "04" C1_X C1_Y C2 C3, FALSE },
  { "asn1-of-c1c2c3", "307c0220" C1_X "022100" C1_Y "0413" C2 "0420" C3, FALSE },
  { "raw-without-04", C1_X C1_Y C3 C2, FALSE },
  { "compressed-point", "02" C1_X C3 C2, FALSE },
  { "hybrid-point", "06" C1_X C1_Y C3 C2, FALSE },
  { "raw-a-byte-less", "04" C1_X C1_Y C3 "21886ca989ca9c7d58087307ca93092d651e", FALSE },
  { "raw-a-byte-more", "04" C1_X C1_Y C3 C2 "00", FALSE },
  { "raw-of-nothing", "04" C1_X C1_Y C3, FALSE },
  { "asn1-of-nothing", "30690220" C1_X "022100" C1_Y "0420" C3 "0400", FALSE },
  { "altered-c2", "04" C1_X C1_Y C3 "21886ca989ca9c7d58087307ca93092d651efb", FALSE },
  { "altered-c3", "04" C1_X C1_Y "58983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766" C2, FALSE },
  { "point-off-the-curve", "04" C1_X C1_X C3 C2, FALSE },
  { "asn1-point-off-the-curve", "307b0220" C1_X "0220" C1_X "0420" C3 "0413" C2, FALSE },
  { "point-of-zeros",
    "0400000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000" C3 C2,
    FALSE },
  { "coordinates-of-ones",
    "04ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffff" C3 C2,
    FALSE },
  { "asn1-and-a-byte", "307c0220" C1_X "022100" C1_Y "0420" C3 "0413" C2 "00", FALSE },
  { "asn1-a-byte-less", "307c0220" C1_X "022100" C1_Y "0420" C3 "041321886ca989ca9c7d58087307ca93092d651e", FALSE },
  { "asn1-long-length", "30817c0220" C1_X "022100" C1_Y "0420" C3 "0413" C2, FALSE },
  { "asn1-indefinite", "30800220" C1_X "022100" C1_Y "0420" C3 "0413" C2 "0000", FALSE },
  { "asn1-integer-padded", "307d022100" C1_X "022100" C1_Y "0420" C3 "0413" C2, FALSE },
  { "asn1-integer-negative", "307b0220" C1_X "0220" C1_Y "0420" C3 "0413" C2, FALSE },
  { "asn1-digest-padded", "307d0220" C1_X "022100" C1_Y "042100" C3 "0413" C2, FALSE },
  { "asn1-other-tag", "317c0220" C1_X "022100" C1_Y "0420" C3 "0413" C2, FALSE },
  { "asn1-c2-integer", "307c0220" C1_X "022100" C1_Y "0420" C3 "0213" C2, FALSE },
  { "asn1-sequence-too-long", "307d0220" C1_X "022100" C1_Y "0420" C3 "0413" C2 "00", FALSE },
  { "asn1-value-beyond-the-end", "307c0220" C1_X "022100" C1_Y "0420" C3 "0414" C2, FALSE },
  { "asn1-head-only", "307c", FALSE },
  { "empty", "", FALSE },
  { "one-byte", "04", FALSE },
};

static EVP_PKEY *
new_pair (void)
{
  g_autoptr (GBytes) scalar = bytes_of_hex (SCALAR);
  g_autoptr (GBytes) public = bytes_of_hex ("04" PUBLIC_X PUBLIC_Y);
  gsize scalar_size, public_size;
  const guint8 *big_endian = g_bytes_get_data (scalar, &scalar_size);
  const guint8 *point = g_bytes_get_data (public, &public_size);
  guint8 number[32];
  for (gsize i = 0; i < scalar_size; i++)
    number[i] = big_endian[scalar_size - 1 - i];
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_PKEY_PARAM_GROUP_NAME, (char *) "SM2", 0),
    OSSL_PARAM_construct_BN (OSSL_PKEY_PARAM_PRIV_KEY, number, sizeof number),
    OSSL_PARAM_construct_octet_string (OSSL_PKEY_PARAM_PUB_KEY, (void *) point, public_size),
    OSSL_PARAM_construct_end (),
  };
  EVP_PKEY *key = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, "SM2", NULL);
  g_assert_cmpint (EVP_PKEY_fromdata_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_fromdata (context, &key, EVP_PKEY_KEYPAIR, params), ==, 1);
  return key;
}

static void
assert_decrypts (GBytes *ciphertext, const void *plaintext, gsize size)
{
  g_autoptr (GError) error = NULL;
  gsize ciphertext_size;
  const guint8 *data = g_bytes_get_data (ciphertext, &ciphertext_size);
  g_autoptr (CmkSecret) decrypted = cmk_sm2_decrypt (pair, data, ciphertext_size, &error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  if (plaintext == NULL)
    {
      g_assert_null (decrypted);
      g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
      return;
    }
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (decrypted), cmk_secret_length (decrypted), plaintext, size);
}

static void
test_case (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (GBytes) ciphertext = bytes_of_hex (cases[i].ciphertext);
  assert_decrypts (ciphertext, cases[i].good ? PLAINTEXT : NULL, strlen (PLAINTEXT));
}

static GBytes *
encrypt_by_openssl (const guint8 *plaintext, gsize size)
{
  gsize encrypted_size;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, pair, NULL);
  g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_encrypt (context, NULL, &encrypted_size, plaintext, size), ==, 1);
  guint8 *encrypted = g_malloc (encrypted_size);
  g_assert_cmpint (EVP_PKEY_encrypt (context, encrypted, &encrypted_size, plaintext, size), ==, 1);
  return g_bytes_new_take (encrypted, encrypted_size);
}

/* Often enough that coordinates with a leading zero, or with the highest bit set, come up. */
static void
test_openssl (void)
{
  static const gsize sizes[] = { 1, 16, 32, 138, 6047 };
  guint8 plaintext[6047];
  for (gsize i = 0; i < sizeof plaintext; i++)
    plaintext[i] = (guint8) (i * 31 + 7);
  for (guint i = 0; i < 400; i++)
    {
      gsize size = sizes[i % G_N_ELEMENTS (sizes)];
      g_autoptr (GBytes) ciphertext = encrypt_by_openssl (plaintext, size);
      assert_decrypts (ciphertext, plaintext, size);
      g_autoptr (GBytes) followed = NULL;
      GByteArray *longer = g_byte_array_new ();
      g_byte_array_append (longer, g_bytes_get_data (ciphertext, NULL), (guint) g_bytes_get_size (ciphertext));
      g_byte_array_append (longer, plaintext, 32);
      followed = g_byte_array_free_to_bytes (longer);
      g_assert_cmpuint (cmk_sm2_ciphertext_size (g_bytes_get_data (followed, NULL), g_bytes_get_size (followed), size),
                        ==, g_bytes_get_size (ciphertext));
    }
}

static void
test_encrypt (void)
{
  guint8 plaintext[6047] = "what is asked for in raw";
  static const gsize sizes[] = { 2, 16, 6047 };
  for (guint i = 0; i < 60; i++)
    {
      g_autoptr (GError) error = NULL;
      gsize size = sizes[i % G_N_ELEMENTS (sizes)];
      g_autoptr (CmkSecret) secret = cmk_secret_new_copy (plaintext, size, &error);
      g_assert_no_error (error);
      g_autoptr (GBytes) ciphertext = cmk_sm2_encrypt (pair, secret, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (ciphertext), ==, CMK_SM2_RAW_OVERHEAD + size);
      g_assert_cmpint (((const guint8 *) g_bytes_get_data (ciphertext, NULL))[0], ==, 0x04);
      assert_decrypts (ciphertext, plaintext, size);
    }
}

static void
test_size (void)
{
  g_autoptr (GBytes) raw = bytes_of_hex ("04" C1_X C1_Y C3 C2 "1234");
  g_autoptr (GBytes) der = bytes_of_hex ("307c0220" C1_X "022100" C1_Y "0420" C3 "0413" C2 "1234");
  const guint8 *raw_data = g_bytes_get_data (raw, NULL);
  const guint8 *der_data = g_bytes_get_data (der, NULL);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (raw_data, 118, 19), ==, 116);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (raw_data, 118, 21), ==, 118);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (raw_data, 118, 22), ==, 0);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (der_data, 128, 19), ==, 126);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (der_data, 126, 19), ==, 126);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (der_data, 125, 19), ==, 0);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (der_data, 128, 18), ==, 0);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (der_data + 1, 127, 19), ==, 0);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (der_data, 0, 19), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  pair = new_pair ();
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path =
          g_strdup_printf ("/sm2/example/%s-%s", cases[i].name, cases[i].good ? "decrypts" : "is-refused");
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_case);
    }
  g_test_add_func ("/sm2/decrypts-what-openssl-encrypts", test_openssl);
  g_test_add_func ("/sm2/encrypts-to-the-raw-form", test_encrypt);
  g_test_add_func ("/sm2/size-is-known-when-something-follows", test_size);
  int result = g_test_run ();
  EVP_PKEY_free (pair);
  return result;
}
