/* SPDX-License-Identifier: Apache-2.0
 *
 * One key, one encoding: however a private key comes. What is refused is in test-private-key-refused.c. */
#include "key-fixture.h"

#include <openssl/crypto.h>

static const struct
{
  CmkKeySpec spec;
  gsize encoded_size;
} sizes[] = {
  { CMK_KEY_SPEC_RSA_2048, 8 + 3 * 128 }, { CMK_KEY_SPEC_RSA_3072, 8 + 3 * 192 },
  { CMK_KEY_SPEC_RSA_4096, 8 + 3 * 256 }, { CMK_KEY_SPEC_EC_P256, 32 + 65 },
  { CMK_KEY_SPEC_EC_P384, 48 + 97 },      { CMK_KEY_SPEC_EC_P256K, 32 + 65 },
  { CMK_KEY_SPEC_EC_SM2, 32 + 65 },
};

static void
assert_public_is_openssls (const CmkPrivateKey *key)
{
  g_autoptr (GError) error = NULL;
  unsigned char *expected_der = NULL;
  int size = i2d_PUBKEY (cmk_private_key_pair (key), &expected_der);
  g_autoptr (GBytes) expected = take_der (expected_der, size);
  g_autoptr (GBytes) der = cmk_private_key_public_der (key, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (der, expected));
  const unsigned char *data = g_bytes_get_data (der, NULL);
  g_autoptr (EVP_PKEY) public = d2i_PUBKEY (NULL, &data, (long) g_bytes_get_size (der));
  g_assert_nonnull (public);
  g_assert_cmpint (EVP_PKEY_eq (public, cmk_private_key_pair (key)), ==, 1);
}

/* Made, encoded, decoded, written as PKCS#8 by OpenSSL and read again. */
static void
test_spec (gconstpointer data)
{
  CmkKeySpec spec = (CmkKeySpec) GPOINTER_TO_INT (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) made = generate (spec);
  g_assert_cmpint (cmk_private_key_spec (made), ==, spec);
  g_autoptr (CmkSecret) encoded = encode (made);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    if (sizes[i].spec == spec)
      g_assert_cmpuint (cmk_secret_length (encoded), ==, sizes[i].encoded_size);
  g_autoptr (CmkPrivateKey) decoded = cmk_private_key_decode (spec, encoded, &error);
  g_assert_no_error (error);
  g_assert_cmpint (cmk_private_key_spec (decoded), ==, spec);
  g_autoptr (CmkSecret) again = encode (decoded);
  g_assert_true (cmk_secret_equal (encoded, again));
  assert_public_is_openssls (made);
  assert_public_is_openssls (decoded);
  g_autoptr (GBytes) pkcs8 = openssl_pkcs8 (cmk_private_key_pair (decoded));
  assert_same (made, pkcs8);
}

static void
test_fresh (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    if (cmk_key_spec_rsa_bits (sizes[i].spec) <= 2048)
      {
        g_autoptr (CmkPrivateKey) one = generate (sizes[i].spec);
        g_autoptr (CmkPrivateKey) other = generate (sizes[i].spec);
        g_assert_cmpint (EVP_PKEY_eq (cmk_private_key_pair (one), cmk_private_key_pair (other)), ==, 0);
      }
}

/* Set before it starts, so that the test does not depend on how long it takes. */
static void
test_cancelled (void)
{
  gint cancelled = 1;
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_private_key_generate (CMK_KEY_SPEC_RSA_4096, &cancelled, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static void
test_curve_without_canceller (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) key = cmk_private_key_generate (CMK_KEY_SPEC_EC_SM2, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (cmk_private_key_spec (key), ==, CMK_KEY_SPEC_EC_SM2);
}

/* --- the same RSA key --- */

static void
test_rsa_forms (void)
{
  g_autoptr (BIGNUM) e = new_word (65537);
  g_autoptr (BIGNUM) p = new_prime (1024);
  g_autoptr (BIGNUM) q = new_prime (1024);
  g_autoptr (Numbers) one = new_numbers (e, p, q);
  g_autoptr (Numbers) swapped = new_numbers (e, q, p);
  g_autoptr (GBytes) one_pkcs8 = new_rsa_pkcs8 (one);
  g_autoptr (GBytes) swapped_pkcs8 = new_rsa_pkcs8 (swapped);
  g_autoptr (CmkPrivateKey) key = parse (CMK_KEY_SPEC_RSA_2048, one_pkcs8);
  assert_same (key, swapped_pkcs8);
  g_autoptr (GBytes) kept = openssl_pkcs8 (cmk_private_key_pair (key));
  assert_same (key, kept);
  BIGNUM *first = NULL;
  g_assert_cmpint (EVP_PKEY_get_bn_param (cmk_private_key_pair (key), OSSL_PKEY_PARAM_RSA_FACTOR1, &first), ==, 1);
  g_assert_cmpint (BN_cmp (first, BN_cmp (p, q) > 0 ? p : q), ==, 0);
  BN_free (first);
}

/* All private exponents that are the same modulo lcm (p - 1, q - 1) do the same. */
static void
test_rsa_private_exponents (void)
{
  g_autoptr (CmkPrivateKey) key = generate (CMK_KEY_SPEC_RSA_2048);
  const EVP_PKEY *pair = cmk_private_key_pair (key);
  static const char *const names[] = { OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
                                       OSSL_PKEY_PARAM_RSA_D };
  BIGNUM *given[3] = { NULL };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_cmpint (EVP_PKEY_get_bn_param (pair, names[i], &given[i]), ==, 1);
  g_autoptr (BIGNUM) p = given[0];
  g_autoptr (BIGNUM) q = given[1];
  g_autoptr (BIGNUM) d = given[2];
  g_autoptr (BIGNUM) e = new_word (65537);
  g_autoptr (Numbers) numbers = new_numbers (e, p, q);
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  g_autoptr (BIGNUM) lcm = BN_new ();
  BN_sub_word (p, 1);
  BN_sub_word (q, 1);
  BN_gcd (lcm, p, q, context);
  BN_div (lcm, NULL, p, lcm, context);
  BN_mul (lcm, lcm, q, context);
  BN_mod (d, d, lcm, context);
  guint n_exponents = 0;
  for (; BN_cmp (d, numbers->values[0]) < 0; BN_add (d, d, lcm), n_exponents++)
    {
      BN_copy (numbers->values[2], d);
      g_autoptr (GBytes) pkcs8 = new_rsa_pkcs8 (numbers);
      assert_same (key, pkcs8);
      if (n_exponents == 3)
        break;
    }
  g_assert_cmpuint (n_exponents, >=, 2);
}

/* Attributes (RFC 5208) are no part of the key. */
static void
test_attributes (void)
{
  g_autoptr (CmkPrivateKey) key = generate (CMK_KEY_SPEC_EC_P256);
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8 (cmk_private_key_pair (key));
  unsigned char *der = NULL;
  static const unsigned char usage[] = { 0x80 };
  g_assert_cmpint (PKCS8_pkey_add1_attr_by_NID (info, NID_key_usage, V_ASN1_BIT_STRING, usage, sizeof usage), ==, 1);
  int size = i2d_PKCS8_PRIV_KEY_INFO (info, &der);
  PKCS8_PRIV_KEY_INFO_free (info);
  g_autoptr (GBytes) pkcs8 = take_der (der, size);
  g_autoptr (GBytes) plain = openssl_pkcs8 (cmk_private_key_pair (key));
  g_assert_cmpuint (g_bytes_get_size (pkcs8), >, g_bytes_get_size (plain));
  assert_same (key, pkcs8);
}

/* e from the least to the greatest that is taken. */
static void
test_rsa_exponents (void)
{
  static const char *const exponents[] = { "3", "11", "FFFFFFFFFFFFFFC5", "8000000000000003" };
  for (guint i = 0; i < G_N_ELEMENTS (exponents); i++)
    {
      BIGNUM *e = NULL;
      g_autoptr (Numbers) numbers = NULL;
      BN_hex2bn (&e, exponents[i]);
      while (numbers == NULL)
        {
          g_autoptr (BIGNUM) p = new_prime (1024);
          g_autoptr (BIGNUM) q = new_prime (1024);
          numbers = new_numbers (e, p, q);
          ERR_clear_error ();
        }
      g_autoptr (GBytes) pkcs8 = new_rsa_pkcs8 (numbers);
      g_autoptr (CmkPrivateKey) key = parse (CMK_KEY_SPEC_RSA_2048, pkcs8);
      g_autoptr (GBytes) kept = openssl_pkcs8 (cmk_private_key_pair (key));
      assert_same (key, kept);
      BN_free (e);
    }
}

/* --- the same key of a curve --- */

static const struct
{
  CmkKeySpec spec;
  int nid;
  const char *identifier;
  const char *parameters;
} curves[] = {
  { CMK_KEY_SPEC_EC_P256, NID_X9_62_prime256v1, EC_IDENTIFIER P256_PARAMETERS, P256_PARAMETERS },
  { CMK_KEY_SPEC_EC_P384, NID_secp384r1, EC_IDENTIFIER "06052b81040022", "06052b81040022" },
  { CMK_KEY_SPEC_EC_P256K, NID_secp256k1, EC_IDENTIFIER "06052b8104000a", "06052b8104000a" },
  { CMK_KEY_SPEC_EC_SM2, NID_sm2, EC_IDENTIFIER "06082a811ccf5501822d", "06082a811ccf5501822d" },
};

static GBytes *
point_of (int nid, const BIGNUM *scalar, point_conversion_form_t form)
{
  guint8 data[97];
  EC_GROUP *group = EC_GROUP_new_by_curve_name (nid);
  EC_POINT *point = EC_POINT_new (group);
  g_assert_cmpint (EC_POINT_mul (group, point, scalar, NULL, NULL, NULL), ==, 1);
  gsize size = EC_POINT_point2oct (group, point, form, data, sizeof data, NULL);
  EC_POINT_free (point);
  EC_GROUP_free (group);
  return g_bytes_new (data, size);
}

static GBytes *
scalar_of (const BIGNUM *scalar, gsize size)
{
  guint8 data[48];
  g_assert_cmpint (BN_bn2binpad (scalar, data, (int) size), ==, (int) size);
  return g_bytes_new (data, size);
}

static void
assert_curve_forms (guint curve, const BIGNUM *scalar)
{
  static const point_conversion_form_t points[] = {
    POINT_CONVERSION_UNCOMPRESSED,
    POINT_CONVERSION_COMPRESSED,
  };
  g_autoptr (GError) error = NULL;
  CmkKeySpec spec = curves[curve].spec;
  g_autoptr (GBytes) whole = scalar_of (scalar, spec == CMK_KEY_SPEC_EC_P384 ? 48 : 32);
  g_autoptr (GBytes) brief = scalar_of (scalar, (gsize) BN_num_bytes (scalar));
  g_autoptr (CmkSecret) secret = new_secret (whole);
  g_autoptr (CmkPrivateKey) key = cmk_private_key_from_scalar (spec, secret, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) encoded = encode (key);
  g_autoptr (GBytes) uncompressed = point_of (curves[curve].nid, scalar, POINT_CONVERSION_UNCOMPRESSED);
  gsize point_size = g_bytes_get_size (uncompressed);
  g_assert_cmpmem (cmk_secret_peek (encoded) + g_bytes_get_size (whole), point_size,
                   g_bytes_get_data (uncompressed, NULL), point_size);

  g_autoptr (GBytes) kept = openssl_pkcs8 (cmk_private_key_pair (key));
  assert_same (key, kept);
  g_autoptr (GBytes) bare = wrap_pkcs8 (curves[curve].identifier, new_sec1 (whole, NULL, NULL));
  assert_same (key, bare);
  g_autoptr (GBytes) cut = wrap_pkcs8 (curves[curve].identifier, new_sec1 (brief, NULL, NULL));
  assert_same (key, cut);
  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      g_autoptr (GBytes) point = point_of (curves[curve].nid, scalar, points[i]);
      g_autoptr (GBytes) full =
          wrap_pkcs8 (curves[curve].identifier, new_sec1 (whole, curves[curve].parameters, point));
      assert_same (key, full);
    }
}

static void
test_curve_forms (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (curves); i++)
    {
      EC_GROUP *group = EC_GROUP_new_by_curve_name (curves[i].nid);
      g_autoptr (BIGNUM) one = new_word (1);
      g_autoptr (BIGNUM) brief = new_word (0x123456789a);
      g_autoptr (BIGNUM) last = BN_dup (EC_GROUP_get0_order (group));
      BN_sub_word (last, curves[i].spec == CMK_KEY_SPEC_EC_SM2 ? 2 : 1);
      assert_curve_forms (i, one);
      assert_curve_forms (i, brief);
      assert_curve_forms (i, last);
      EC_GROUP_free (group);
    }
}

/* --- room --- */

static void
test_no_locked_memory (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) key = generate (CMK_KEY_SPEC_EC_P256);
  g_autoptr (GBytes) pkcs8 = openssl_pkcs8 (cmk_private_key_pair (key));
  g_autoptr (CmkSecret) der = new_secret (pkcs8);
  g_autoptr (GPtrArray) others = g_ptr_array_new_with_free_func ((GDestroyNotify) cmk_secret_free);
  for (gsize size = 1 << 21; size > 0; size /= 2)
    for (CmkSecret *other; (other = cmk_secret_new (size, NULL)) != NULL;)
      g_ptr_array_add (others, other);
  g_assert_null (cmk_private_key_parse (CMK_KEY_SPEC_EC_P256, der, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_THROTTLED);
  g_clear_error (&error);
  g_assert_null (cmk_private_key_encode (key, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_THROTTLED);
}

static void
test_no_secure_heap (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) key = generate (CMK_KEY_SPEC_RSA_2048);
  g_autoptr (GBytes) pkcs8 = openssl_pkcs8 (cmk_private_key_pair (key));
  g_autoptr (CmkSecret) der = new_secret (pkcs8);
  g_autoptr (GPtrArray) others = g_ptr_array_new ();
  for (gsize size = 1 << 18; size >= 64; size /= 2)
    for (void *other; (other = OPENSSL_secure_malloc (size)) != NULL;)
      g_ptr_array_add (others, other);
  ERR_clear_error ();
  g_assert_null (cmk_private_key_parse (CMK_KEY_SPEC_RSA_2048, der, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  for (guint i = 0; i < others->len; i++)
    OPENSSL_secure_free (g_ptr_array_index (others, i));
}

/* --- RSADP --- */

static gboolean
is_in_range (const CmkPrivateKey *key, const guint8 *data, gsize size, CmkSecret *block)
{
  gboolean in_range = -1;
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_private_key_decrypt_raw (key, data, size, block, &in_range, &error));
  g_assert_no_error (error);
  return in_range;
}

static void
test_decrypt_raw (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) key = generate (CMK_KEY_SPEC_RSA_2048);
  g_autoptr (CmkSecret) block = cmk_secret_new (256, &error);
  g_assert_no_error (error);
  guint8 data[257] = { 0 };
  static const guint8 zeros[256];
  data[255] = 1; /* 1^d = 1 */
  g_assert_true (is_in_range (key, data, 256, block));
  g_assert_cmpmem (cmk_secret_peek (block), 256, data, 256);
  memset (cmk_secret_data (block), 0, 256);
  g_assert_false (is_in_range (key, data, 255, block));
  g_assert_false (is_in_range (key, data, 257, block));
  memset (data, 0xff, 256);
  g_assert_false (is_in_range (key, data, 256, block));
  g_assert_cmpmem (cmk_secret_peek (block), 256, zeros, 256);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      const char *name = cmk_spec_name (cmk_key_specs, (int) sizes[i].spec);
      g_autofree char *path = g_strdup_printf ("/private-key/%s-has-one-encoding", name);
      g_test_add_data_func (path, GINT_TO_POINTER (sizes[i].spec), test_spec);
    }
  g_test_add_func ("/private-key/every-pair-is-fresh", test_fresh);
  g_test_add_func ("/private-key/making-one-can-be-cancelled", test_cancelled);
  g_test_add_func ("/private-key/curve-needs-no-canceller", test_curve_without_canceller);
  g_test_add_func ("/private-key/rsa-forms-are-one-key", test_rsa_forms);
  g_test_add_func ("/private-key/rsa-private-exponents-are-one-key", test_rsa_private_exponents);
  g_test_add_func ("/private-key/rsa-exponents", test_rsa_exponents);
  g_test_add_func ("/private-key/attributes-do-not-count", test_attributes);
  g_test_add_func ("/private-key/curve-forms-are-one-key", test_curve_forms);
  g_test_add_func ("/private-key/no-locked-memory-is-no-fault-of-the-key", test_no_locked_memory);
  g_test_add_func ("/private-key/no-secure-heap-is-no-fault-of-the-key", test_no_secure_heap);
  g_test_add_func ("/private-key/raw-decryption", test_decrypt_raw);
  return g_test_run ();
}
