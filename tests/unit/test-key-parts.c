/* SPDX-License-Identifier: Apache-2.0
 *
 * Key pairs as numbers, and back. */
#include "crypto/key-parts.h"

#include "key-fixture.h"

static const CmkKeySpec specs[] = { CMK_KEY_SPEC_RSA_2048, CMK_KEY_SPEC_RSA_3072, CMK_KEY_SPEC_EC_P256,
                                    CMK_KEY_SPEC_EC_P384 };

static void
take_apart (const CmkPrivateKey *key, CmkKeyParts *ret_parts)
{
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_private_key_take_apart (key, ret_parts, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static void
test_public_half (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (specs); i++)
    {
      g_autoptr (GError) error = NULL;
      g_auto (CmkKeyParts) parts = { 0 };
      g_autoptr (CmkPrivateKey) key = generate (specs[i]);
      take_apart (key, &parts);
      g_autoptr (GBytes) expected = cmk_private_key_public_der (key, &error);
      g_autoptr (GBytes) der = cmk_key_parts_public_der (specs[i], &parts, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (der, expected));
    }
}

static void
test_prime (void)
{
  g_auto (CmkKeyParts) parts = { 0 };
  g_autoptr (CmkPrivateKey) key = generate (CMK_KEY_SPEC_RSA_2048);
  take_apart (key, &parts);
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  g_autoptr (BIGNUM) rest = BN_new ();
  g_autoptr (BIGNUM) modulus =
      BN_bin2bn (g_bytes_get_data (parts.modulus, NULL), (int) g_bytes_get_size (parts.modulus), NULL);
  g_autoptr (BIGNUM) prime = BN_bin2bn (cmk_secret_peek (parts.secret), (int) cmk_secret_length (parts.secret), NULL);
  g_assert_cmpuint (g_bytes_get_size (parts.modulus), ==, 256);
  g_assert_cmpuint (cmk_secret_length (parts.secret), ==, 128);
  g_assert_cmpuint (parts.exponent, ==, 65537);
  g_assert_cmpint (BN_mod (rest, modulus, prime, context), ==, 1);
  g_assert_true (BN_is_zero (rest));
  g_assert_cmpint (BN_num_bits (prime), ==, 1024);
}

/* Until numbers with leading zeros have come up: they keep their length. */
static void
test_scalar (void)
{
  static const CmkKeySpec curves[] = { CMK_KEY_SPEC_EC_P256, CMK_KEY_SPEC_EC_P384 };
  static const gsize sizes[] = { 32, 48 };
  for (guint i = 0; i < 2 * 512; i++)
    {
      g_autoptr (GError) error = NULL;
      g_auto (CmkKeyParts) parts = { 0 };
      g_autoptr (CmkPrivateKey) key = generate (curves[i % 2]);
      take_apart (key, &parts);
      g_assert_cmpuint (cmk_secret_length (parts.secret), ==, sizes[i % 2]);
      g_assert_cmpuint (g_bytes_get_size (parts.x), ==, sizes[i % 2]);
      g_assert_cmpuint (g_bytes_get_size (parts.y), ==, sizes[i % 2]);
      g_autoptr (CmkPrivateKey) same = cmk_private_key_from_scalar (curves[i % 2], parts.secret, &error);
      g_autoptr (GBytes) expected = cmk_private_key_public_der (same, &error);
      g_autoptr (GBytes) der = cmk_key_parts_public_der (curves[i % 2], &parts, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (der, expected));
    }
}

static void
test_exponent (void)
{
  static const struct
  {
    BN_ULONG exponent;
    gboolean fits;
  } cases[] = { { 3, TRUE }, { 0xfffffffb, TRUE }, { 0x10000000f, FALSE } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Numbers) numbers = NULL;
      g_autoptr (BIGNUM) e = new_word (cases[i].exponent);
      while (numbers == NULL)
        {
          g_autoptr (BIGNUM) p = new_prime (1024);
          g_autoptr (BIGNUM) q = new_prime (1024);
          numbers = new_numbers (e, p, q);
        }
      g_autoptr (GError) error = NULL;
      g_auto (CmkKeyParts) parts = { 0 };
      g_autoptr (GBytes) pkcs8 = new_rsa_pkcs8 (numbers);
      g_autoptr (CmkPrivateKey) key = parse (CMK_KEY_SPEC_RSA_2048, pkcs8);
      g_assert_cmpint (cmk_private_key_take_apart (key, &parts, &error), ==, cases[i].fits);
      if (!cases[i].fits)
        {
          g_assert_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION);
          continue;
        }
      g_assert_cmpuint (parts.exponent, ==, cases[i].exponent);
      g_autoptr (GBytes) expected = cmk_private_key_public_der (key, &error);
      g_autoptr (GBytes) der = cmk_key_parts_public_der (CMK_KEY_SPEC_RSA_2048, &parts, &error);
      g_assert_true (g_bytes_equal (der, expected));
    }
}

static void
test_point_off_the_curve (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) number = g_bytes_new_take (g_malloc0 (32), 32);
  const CmkKeyParts parts = { .x = number, .y = number };
  g_assert_null (cmk_key_parts_public_der (CMK_KEY_SPEC_EC_P256, &parts, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  g_test_add_func ("/key-parts/public-half", test_public_half);
  g_test_add_func ("/key-parts/prime", test_prime);
  g_test_add_func ("/key-parts/scalar", test_scalar);
  g_test_add_func ("/key-parts/exponent-of-32-bits", test_exponent);
  g_test_add_func ("/key-parts/point-off-the-curve", test_point_off_the_curve);
  return g_test_run ();
}
