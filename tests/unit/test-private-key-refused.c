/* SPDX-License-Identifier: Apache-2.0
 *
 * What is no sound private key of just its spec, in just the one form. */
#include "key-fixture.h"

#include <openssl/pkcs12.h>
#include <openssl/rsa.h>

static Numbers *sound; /* an RSA_2048 key */
static CmkPrivateKey *rsa;
static CmkPrivateKey *p256;

static GBytes *
pkcs8_of (const CmkPrivateKey *key)
{
  return openssl_pkcs8 (cmk_private_key_pair (key));
}

static void
assert_array_refused (CmkKeySpec spec, GByteArray *der)
{
  g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (der);
  assert_refused (spec, bytes);
}

/* --- the numbers of RSA --- */

typedef enum
{
  N,
  E,
  D,
  P,
  Q,
  DP,
  DQ,
  QINV,
} Which;

/* One number, and what is added to it. */
typedef struct
{
  const char *name;
  Which which;
  const char *value; /* instead of it, or NULL: add the next */
  Which added;
  int small; /* and this */
} Change;

#define NOTHING QINV + 1

static const Change changes[] = {
  { "n-plus-2", N, NULL, NOTHING, 2 },
  { "n-of-another-size", N, "7", NOTHING, 0 },
  { "n-times-2", N, NULL, N, 0 },
  { "e-of-another-key", E, "3", NOTHING, 0 },
  { "e-even", E, "10000", NOTHING, 0 },
  { "e-0", E, "0", NOTHING, 0 },
  { "e-1", E, "1", NOTHING, 0 },
  { "e-of-65-bits", E, "10000000000000001", NOTHING, 0 },
  { "d-plus-1", D, NULL, NOTHING, 1 },
  { "d-plus-n", D, NULL, N, 0 },
  { "d-0", D, "0", NOTHING, 0 },
  { "d-1", D, "1", NOTHING, 0 },
  { "p-plus-2", P, NULL, NOTHING, 2 },
  { "p-1", P, "1", NOTHING, 0 },
  { "p-0", P, "0", NOTHING, 0 },
  { "q-plus-2", Q, NULL, NOTHING, 2 },
  { "q-0", Q, "0", NOTHING, 0 },
  { "dp-plus-1", DP, NULL, NOTHING, 1 },
  { "dp-not-reduced", DP, NULL, P, -1 },
  { "dp-0", DP, "0", NOTHING, 0 },
  { "dq-plus-1", DQ, NULL, NOTHING, 1 },
  { "dq-not-reduced", DQ, NULL, Q, -1 },
  { "qinv-plus-1", QINV, NULL, NOTHING, 1 },
  { "qinv-not-reduced", QINV, NULL, P, 0 },
  { "qinv-0", QINV, "0", NOTHING, 0 },
};

static void
test_number (gconstpointer data)
{
  const Change *change = data;
  g_autoptr (Numbers) changed = new_numbers (sound->values[E], sound->values[P], sound->values[Q]);
  BIGNUM *number = changed->values[change->which];
  if (change->value != NULL)
    BN_hex2bn (&changed->values[change->which], change->value);
  if (change->added != NOTHING)
    BN_add (number, number, sound->values[change->added]);
  if (change->small >= 0)
    BN_add_word (number, (BN_ULONG) change->small);
  else
    BN_sub_word (number, (BN_ULONG) -change->small);
  g_autoptr (GBytes) pkcs8 = new_rsa_pkcs8 (changed);
  assert_refused (CMK_KEY_SPEC_RSA_2048, pkcs8);
}

static void
assert_factors_refused (const BIGNUM *p, const BIGNUM *q)
{
  g_autoptr (BIGNUM) e = new_word (65537);
  g_autoptr (Numbers) numbers = new_numbers (e, p, q);
  g_assert_nonnull (numbers);
  g_autoptr (GBytes) pkcs8 = new_rsa_pkcs8 (numbers);
  assert_refused (CMK_KEY_SPEC_RSA_2048, pkcs8);
}

/* Everything fits, but for one thing. */
static void
test_factors (void)
{
  g_autoptr (BIGNUM) p = new_prime (1024);
  g_autoptr (BIGNUM) longer = new_prime (1040);
  g_autoptr (BIGNUM) shorter = new_prime (1008);
  assert_factors_refused (p, p);
  assert_factors_refused (longer, shorter);
  assert_factors_refused (shorter, longer);
  assert_factors_refused (p, shorter);
}

/* Every number fits the others as if the factor were a prime. */
static void
test_composite_factor (void)
{
  g_autoptr (BN_CTX) context = BN_CTX_new ();
  g_autoptr (BIGNUM) one = new_prime (512);
  g_autoptr (BIGNUM) other = new_prime (512);
  g_autoptr (BIGNUM) composite = BN_new ();
  g_autoptr (BIGNUM) prime = new_prime (1024);
  BN_mul (composite, one, other, context);
  assert_factors_refused (composite, prime);
  assert_factors_refused (prime, composite);
}

static void
test_negative_number (void)
{
  g_autoptr (GByteArray) der = new_pkcs1 (sound);
  /* SEQUENCE, its length, version, and the header of n, with its zero byte */
  g_assert_cmpmem (der->data + 7, 5, "\x02\x82\x01\x01\x00", 5);
  g_autoptr (GByteArray) negative = g_byte_array_new ();
  g_byte_array_append (negative, der->data + 4, 3);
  append_header (negative, 0x02, 256);
  g_byte_array_append (negative, der->data + 12, der->len - 12);
  wrap (negative, 0x30);
  g_autoptr (GBytes) pkcs8 = wrap_pkcs8 (RSA_IDENTIFIER, g_steal_pointer (&negative));
  assert_refused (CMK_KEY_SPEC_RSA_2048, pkcs8);
}

/* --- the forms --- */

static void
test_other_specs (void)
{
  for (const CmkSpecName *made = cmk_key_specs; made->name != NULL; made++)
    {
      CmkKeySpec spec = (CmkKeySpec) made->value;
      if (!cmk_key_spec_is_asymmetric (spec))
        continue;
      g_autoptr (CmkPrivateKey) key = generate (spec);
      g_autoptr (GBytes) pkcs8 = pkcs8_of (key);
      for (const CmkSpecName *other = cmk_key_specs; other->name != NULL; other++)
        if (other->value != made->value && cmk_key_spec_is_asymmetric ((CmkKeySpec) other->value))
          assert_refused ((CmkKeySpec) other->value, pkcs8);
    }
}

static void
test_2040_bits (void)
{
  g_autoptr (EVP_PKEY) key = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
  g_assert_cmpint (EVP_PKEY_keygen_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_keygen_bits (context, 2040), ==, 1);
  g_assert_cmpint (EVP_PKEY_generate (context, &key), ==, 1);
  g_autoptr (GBytes) pkcs8 = openssl_pkcs8 (key);
  assert_refused (CMK_KEY_SPEC_RSA_2048, pkcs8);
}

static void
test_three_primes (void)
{
  g_autoptr (EVP_PKEY) key = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
  g_assert_cmpint (EVP_PKEY_keygen_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_keygen_bits (context, 2048), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_keygen_primes (context, 3), ==, 1);
  g_assert_cmpint (EVP_PKEY_generate (context, &key), ==, 1);
  g_autoptr (GBytes) pkcs8 = openssl_pkcs8 (key);
  assert_refused (CMK_KEY_SPEC_RSA_2048, pkcs8);
}

static void
test_pss_key (void)
{
  g_autoptr (GBytes) pkcs8 = wrap_pkcs8 ("06092a864886f70d01010a", new_pkcs1 (sound));
  assert_refused (CMK_KEY_SPEC_RSA_2048, pkcs8);
  g_autoptr (GBytes) without_null = wrap_pkcs8 ("06092a864886f70d010101", new_pkcs1 (sound));
  assert_refused (CMK_KEY_SPEC_RSA_2048, without_null);
}

static void
test_bare_keys (void)
{
  unsigned char *der = NULL;
  int size = i2d_PrivateKey (cmk_private_key_pair (p256), &der);
  g_autoptr (GBytes) sec1 = take_der (der, size);
  assert_refused (CMK_KEY_SPEC_EC_P256, sec1);
  assert_array_refused (CMK_KEY_SPEC_RSA_2048, new_pkcs1 (sound));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) public = cmk_private_key_public_der (rsa, &error);
  g_assert_no_error (error);
  assert_refused (CMK_KEY_SPEC_RSA_2048, public);
}

static void
test_encrypted (void)
{
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8 (cmk_private_key_pair (p256));
  X509_SIG *encrypted = PKCS8_encrypt (-1, EVP_aes_256_cbc (), "password", 8, NULL, 0, 1, info);
  g_assert_nonnull (encrypted);
  unsigned char *der = NULL;
  int size = i2d_X509_SIG (encrypted, &der);
  g_autoptr (GBytes) bytes = take_der (der, size);
  X509_SIG_free (encrypted);
  PKCS8_PRIV_KEY_INFO_free (info);
  assert_refused (CMK_KEY_SPEC_EC_P256, bytes);
}

static void
test_pem (void)
{
  static const char pem[] = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n";
  g_autoptr (GBytes) bytes = g_bytes_new_static (pem, sizeof pem - 1);
  assert_refused (CMK_KEY_SPEC_EC_P256, bytes);
}

/* Too short by any number of bytes, too long by one, and with any bit of it turned. */
static void
assert_damage_refused (CmkKeySpec spec, GBytes *pkcs8, guint step)
{
  gsize size = g_bytes_get_size (pkcs8);
  g_autofree guint8 *data = g_malloc0 (size + 1);
  memcpy (data, g_bytes_get_data (pkcs8, NULL), size);
  g_autoptr (GBytes) longer = g_bytes_new (data, size + 1);
  assert_refused (spec, longer);
  for (gsize shorter = 1; shorter < size; shorter++)
    {
      /* Its own block of memory, so that reading past its end shows. */
      g_autoptr (GBytes) cut = g_bytes_new (data, shorter);
      assert_refused (spec, cut);
    }
  for (gsize bit = 0; bit < size * 8; bit += step)
    {
      data[bit / 8] ^= (guint8) (1U << bit % 8);
      g_autoptr (GBytes) turned = g_bytes_new (data, size);
      assert_refused (spec, turned);
      data[bit / 8] ^= (guint8) (1U << bit % 8);
    }
}

static void
test_damage (void)
{
  g_autoptr (GBytes) rsa_pkcs8 = pkcs8_of (rsa);
  g_autoptr (GBytes) p256_pkcs8 = pkcs8_of (p256);
  assert_damage_refused (CMK_KEY_SPEC_RSA_2048, rsa_pkcs8, 7);
  assert_damage_refused (CMK_KEY_SPEC_EC_P256, p256_pkcs8, 1);
}

/* --- curves --- */

#define ORDER "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void
test_scalars (void)
{
  static const char *const scalars[] = {
    "",
    "00",
    ZEROS,
    ORDER,
    "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632552",
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    ("01" ZEROS),
  };
  for (guint i = 0; i < G_N_ELEMENTS (scalars); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) scalar = from_hex (scalars[i]);
      g_autoptr (GBytes) pkcs8 = new_p256_pkcs8 (scalar, NULL);
      assert_refused (CMK_KEY_SPEC_EC_P256, pkcs8);
      if (g_bytes_get_size (scalar) == 0)
        continue;
      g_autoptr (CmkSecret) secret = new_secret (scalar);
      g_assert_null (cmk_private_key_from_scalar (CMK_KEY_SPEC_EC_P256, secret, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
      g_assert_cmpuint (ERR_peek_error (), ==, 0);
    }
}

/* There is no 1/(1 + scalar) for it, which SM2 signs with. */
static void
test_last_scalar_of_sm2 (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) scalar = from_hex ("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54122");
  g_autoptr (CmkSecret) secret = new_secret (scalar);
  g_assert_null (cmk_private_key_from_scalar (CMK_KEY_SPEC_EC_SM2, secret, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
}

static void
test_scalar_lengths (void)
{
  static const gsize lengths[] = { 1, 31, 33, 48 };
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CmkSecret) scalar = cmk_secret_new (lengths[i], &error);
      g_assert_no_error (error);
      cmk_secret_data (scalar)[lengths[i] - 1] = 1;
      g_assert_null (cmk_private_key_from_scalar (CMK_KEY_SPEC_EC_SM2, scalar, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
    }
}

/* The point of the scalar 1 is the generator. */
#define X "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
#define Y "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"

static void
test_points (void)
{
  static const struct
  {
    const char *point;
    gboolean right;
  } points[] = {
    { "04" X Y, TRUE },
    { "03" X, TRUE },
    { "02" X, FALSE },   /* the other y */
    { "04" X X, FALSE }, /* off the curve */
    { "04" X ZEROS, FALSE },
    { "04" X Y "00", FALSE },
    { "04" X, FALSE },
    { X Y, FALSE },
    { "07" X Y, FALSE }, /* hybrid */
    { "00", FALSE },     /* infinity */
    { "", FALSE },
    /* twice the generator */
    { "047CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC4766997807775510DB8ED040293D9AC69F7430DBBA7DADE63CE982"
      "29"
      "9E04B79D227873D1",
      FALSE },
  };
  g_autoptr (GBytes) one = from_hex ("01");
  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      g_autoptr (GBytes) point = from_hex (points[i].point);
      g_autoptr (GBytes) pkcs8 = new_p256_pkcs8 (one, point);
      if (!points[i].right)
        {
          assert_refused (CMK_KEY_SPEC_EC_P256, pkcs8);
          continue;
        }
      g_autoptr (CmkPrivateKey) key = parse (CMK_KEY_SPEC_EC_P256, pkcs8);
      g_assert_nonnull (key);
    }
}

static void
test_parameters (void)
{
  g_autoptr (EVP_PKEY) explicit = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, "EC", NULL);
  g_assert_cmpint (EVP_PKEY_keygen_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_group_name (context, "P-256"), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_ec_param_enc (context, OPENSSL_EC_EXPLICIT_CURVE), ==, 1);
  g_assert_cmpint (EVP_PKEY_generate (context, &explicit), ==, 1);
  g_autoptr (GBytes) explicit_pkcs8 = openssl_pkcs8 (explicit);
  g_assert_cmpuint (g_bytes_get_size (explicit_pkcs8), >, 200);
  assert_refused (CMK_KEY_SPEC_EC_P256, explicit_pkcs8);

  /* Another curve inside than outside, which OpenSSL would believe. */
  g_autoptr (GBytes) one = from_hex ("01");
  g_autoptr (GBytes) inner = wrap_pkcs8 (EC_IDENTIFIER P256_PARAMETERS, new_sec1 (one, "06052b8104000a", NULL));
  assert_refused (CMK_KEY_SPEC_EC_P256, inner);
  assert_refused (CMK_KEY_SPEC_EC_P256K, inner);
  g_autoptr (GBytes) none = wrap_pkcs8 (EC_IDENTIFIER, new_sec1 (one, P256_PARAMETERS, NULL));
  assert_refused (CMK_KEY_SPEC_EC_P256, none);
}

/* --- the encoding --- */

static void
assert_not_decoded (CmkKeySpec spec, const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) encoded = cmk_secret_new_copy (data, size, &error);
  g_assert_no_error (error);
  g_assert_null (cmk_private_key_decode (spec, encoded, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static void
assert_other_encodings_refused (const CmkPrivateKey *key)
{
  CmkKeySpec spec = cmk_private_key_spec (key);
  g_autoptr (CmkSecret) encoded = encode (key);
  gsize size = cmk_secret_length (encoded);
  g_autofree guint8 *data = g_malloc0 (size + 1);
  memcpy (data, cmk_secret_peek (encoded), size);
  for (gsize other = 1; other <= size + 1; other++)
    if (other != size)
      assert_not_decoded (spec, data, other);
  data[size - 1] ^= 1; /* off the curve, or another qinv */
  if (cmk_key_spec_rsa_bits (spec) == 0)
    assert_not_decoded (spec, data, size);
  memset (data, 0, size);
  assert_not_decoded (spec, data, size);
}

static void
test_encodings (void)
{
  assert_other_encodings_refused (rsa);
  assert_other_encodings_refused (p256);
}

static void
add_changes (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/private-key-refused/rsa/%s", changes[i].name);
      g_test_add_data_func (path, &changes[i], test_number);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  g_autoptr (BIGNUM) e = new_word (65537);
  g_autoptr (BIGNUM) p = new_prime (1024);
  g_autoptr (BIGNUM) q = new_prime (1024);
  sound = new_numbers (e, p, q);
  g_autoptr (GBytes) pkcs8 = new_rsa_pkcs8 (sound);
  rsa = parse (CMK_KEY_SPEC_RSA_2048, pkcs8);
  p256 = generate (CMK_KEY_SPEC_EC_P256);
  add_changes ();
  g_test_add_func ("/private-key-refused/rsa/factors-of-other-sizes", test_factors);
  g_test_add_func ("/private-key-refused/rsa/composite-factor", test_composite_factor);
  g_test_add_func ("/private-key-refused/rsa/negative-number", test_negative_number);
  g_test_add_func ("/private-key-refused/rsa/2040-bits", test_2040_bits);
  g_test_add_func ("/private-key-refused/rsa/three-primes", test_three_primes);
  g_test_add_func ("/private-key-refused/rsa/other-identifier", test_pss_key);
  g_test_add_func ("/private-key-refused/other-spec", test_other_specs);
  g_test_add_func ("/private-key-refused/bare-key", test_bare_keys);
  g_test_add_func ("/private-key-refused/encrypted", test_encrypted);
  g_test_add_func ("/private-key-refused/pem", test_pem);
  g_test_add_func ("/private-key-refused/damaged", test_damage);
  g_test_add_func ("/private-key-refused/curve/scalar-out-of-range", test_scalars);
  g_test_add_func ("/private-key-refused/curve/last-scalar-of-sm2", test_last_scalar_of_sm2);
  g_test_add_func ("/private-key-refused/curve/scalar-of-another-length", test_scalar_lengths);
  g_test_add_func ("/private-key-refused/curve/point", test_points);
  g_test_add_func ("/private-key-refused/curve/parameters", test_parameters);
  g_test_add_func ("/private-key-refused/encoding", test_encodings);
  int result = g_test_run ();
  numbers_free (sound);
  cmk_private_key_free (rsa);
  cmk_private_key_free (p256);
  return result;
}
