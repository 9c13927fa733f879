/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 5649 with the vectors of its section 6, which are of AES-192, the one size that no import form has. */
#include "crypto/key-wrap.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "wrapping-fixture.h"

#include <openssl/err.h>
#include <string.h>

#define RFC_KEY "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8"

typedef struct
{
  const char *name;
  const char *wrapped;
  const char *unwrapped; /* NULL: refused */
} Vector;

static const Vector vectors[] = {
  { "20-octets", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
    "c37b7e6492584340bed12207808941155068f738" },
  { "7-octets", "afbeb0f07dfbf5419200f2ccb50bb24f", "466f7250617369" },
  { "altered-first", "128bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a", NULL },
  { "altered-last", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6b", NULL },
  { "altered-block", "afbeb0f07dfbf5419200f2ccb50bb24e", NULL },
  { "blocks-in-other-order", "138bdeaa9b8fa7fc5ae6ae5360d1ae6a61f97742e72248ee5f54f373fa543b6a", NULL },
  { "a-block-less", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a", NULL },
  { "a-block-more", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a0000000000000000", NULL },
  { "an-octet-less", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b", NULL },
  { "an-octet-more", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a00", NULL },
  { "one-block-alone", "138bdeaa9b8fa7fc", NULL },
};

static const struct
{
  const char *name;
  const EVP_CIPHER *(*cipher) (void);
} ciphers[] = {
  { "aes-128", EVP_aes_128_ecb },
  { "aes-192", EVP_aes_192_ecb },
  { "aes-256", EVP_aes_256_ecb },
  { "sm4", EVP_sm4_ecb },
};

static CmkSecret *
new_secret (const void *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  CmkSecret *secret = cmk_secret_new_copy (data, size, &error);
  g_assert_no_error (error);
  return secret;
}

/* What is refused comes back as zeros of the size that was given. */
static void
assert_unwraps (const EVP_CIPHER *cipher, const CmkSecret *key, GBytes *wrapped, const guint8 *expected, gsize size)
{
  g_autoptr (GError) error = NULL;
  gboolean intact = !expected;
  gsize wrapped_size;
  const guint8 *data = g_bytes_get_data (wrapped, &wrapped_size);
  g_autofree guint8 *zeros = g_malloc0 (wrapped_size);
  g_autoptr (CmkSecret) unwrapped = cmk_key_unwrap (cipher, key, data, wrapped_size, &intact, &error);
  g_assert_no_error (error);
  g_assert_cmpint (intact, ==, expected != NULL);
  if (expected != NULL)
    g_assert_cmpmem (cmk_secret_peek (unwrapped), cmk_secret_length (unwrapped), expected, size);
  else
    g_assert_cmpmem (cmk_secret_peek (unwrapped), cmk_secret_length (unwrapped), zeros, wrapped_size);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static void
test_vector (gconstpointer data)
{
  const Vector *vector = data;
  g_autoptr (GBytes) key_bytes = bytes_of_hex (RFC_KEY);
  g_autoptr (CmkSecret) key = new_secret (g_bytes_get_data (key_bytes, NULL), g_bytes_get_size (key_bytes));
  g_autoptr (GBytes) wrapped = bytes_of_hex (vector->wrapped);
  g_autoptr (GBytes) unwrapped = vector->unwrapped != NULL ? bytes_of_hex (vector->unwrapped) : NULL;
  assert_unwraps (EVP_aes_192_ecb (), key, wrapped, unwrapped != NULL ? g_bytes_get_data (unwrapped, NULL) : NULL,
                  unwrapped != NULL ? g_bytes_get_size (unwrapped) : 0);
}

/* From one octet over every length of the last block to that of an RSA_4096 key. */
static void
test_lengths (gconstpointer data)
{
  static const gsize lengths[] = { 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 138, 2375 };
  const EVP_CIPHER *cipher = ciphers[GPOINTER_TO_UINT (data)].cipher ();
  guint8 plain[2375];
  for (gsize i = 0; i < sizeof plain; i++)
    plain[i] = (guint8) (i * 7 + 1);
  g_autoptr (CmkSecret) key = new_secret (plain + 100, (gsize) EVP_CIPHER_get_key_length (cipher));
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (GBytes) wrapped = wrap_key (cipher, cmk_secret_peek (key), NULL, plain, lengths[i]);
      assert_unwraps (cipher, key, wrapped, plain, lengths[i]);
    }
}

/* The blob is of this cipher and key, but for the AIV, or is RFC 3394. */
static void
test_other_iv (gconstpointer data)
{
  static const guint8 plain[32] = "a key of two and thirty octets";
  static const guint8 iv[] = { 0xa6, 0xa6, 0xa6, 0xa6 };
  static const guint8 nearly[] = { 0xa6, 0x59, 0x59, 0xa7 };
  const EVP_CIPHER *cipher = ciphers[GPOINTER_TO_UINT (data)].cipher ();
  g_autoptr (CmkSecret) key = new_secret (plain, (gsize) EVP_CIPHER_get_key_length (cipher));
  g_autoptr (GBytes) with_iv = wrap_key (cipher, cmk_secret_peek (key), iv, plain, sizeof plain);
  g_autoptr (GBytes) with_nearly = wrap_key (cipher, cmk_secret_peek (key), nearly, plain, sizeof plain);
  g_autoptr (GBytes) unpadded = wrap_key_unpadded (cipher, cmk_secret_peek (key), plain, sizeof plain);
  assert_unwraps (cipher, key, with_iv, NULL, 0);
  assert_unwraps (cipher, key, with_nearly, NULL, 0);
  assert_unwraps (cipher, key, unpadded, NULL, 0);
}

static void
test_other_key (void)
{
  static const guint8 plain[33] = "a key of two and thirty octets";
  g_autoptr (CmkSecret) key = new_secret (plain, 32);
  g_autoptr (CmkSecret) other = new_secret (plain + 1, 32);
  g_autoptr (GBytes) wrapped = wrap_key (EVP_aes_256_ecb (), cmk_secret_peek (key), NULL, plain, sizeof plain);
  assert_unwraps (EVP_aes_256_ecb (), other, wrapped, NULL, 0);
}

/* Wraps of a well-formed AIV over a padding that is not, made by hand: the wrapping of RFC 3394 with that AIV as its
 * initial value. */
static void
test_bad_padding (void)
{
  static const struct
  {
    guint8 length; /* of 16 padded octets, in the AIV */
    guint8 last;
    gsize good; /* 0: refused */
  } cases[] = { { 16, 0xff, 16 }, { 15, 0x00, 15 }, { 9, 0x00, 9 }, { 8, 0x00, 0 },
                { 0, 0x00, 0 },   { 17, 0x00, 0 },  { 9, 0x01, 0 }, { 15, 0x80, 0 } };
  guint8 key_bytes[32] = { 1 };
  g_autoptr (CmkSecret) key = new_secret (key_bytes, sizeof key_bytes);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const guint8 aiv[8] = { 0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, cases[i].length };
      guint8 padded[16] = "12345678";
      padded[15] = cases[i].last;
      g_autoptr (GBytes) wrapped = wrap_key_with_iv (EVP_aes_256_ecb (), key_bytes, aiv, padded, sizeof padded);
      assert_unwraps (EVP_aes_256_ecb (), key, wrapped, cases[i].good > 0 ? padded : NULL, cases[i].good);
    }
}

static void
test_ecb (void)
{
  static const guint8 plain[48] = "three blocks, of which the last one is nothing";
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) key = new_secret (plain, 16);
  g_autoptr (GBytes) encrypted = encrypt_ecb (EVP_sm4_ecb (), plain, plain, sizeof plain);
  g_autoptr (CmkSecret) decrypted =
      cmk_ecb_decrypt (EVP_sm4_ecb (), key, g_bytes_get_data (encrypted, NULL), g_bytes_get_size (encrypted), &error);
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (decrypted), cmk_secret_length (decrypted), plain, sizeof plain);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      g_autofree char *path = g_strdup_printf ("/key-wrap/rfc-5649-section-6/%s", vectors[i].name);
      g_test_add_data_func (path, &vectors[i], test_vector);
    }
  for (guint i = 0; i < G_N_ELEMENTS (ciphers); i++)
    {
      g_autofree char *lengths = g_strdup_printf ("/key-wrap/%s/every-length-unwraps", ciphers[i].name);
      g_autofree char *other_iv = g_strdup_printf ("/key-wrap/%s/other-iv-is-refused", ciphers[i].name);
      g_test_add_data_func (lengths, GUINT_TO_POINTER (i), test_lengths);
      g_test_add_data_func (other_iv, GUINT_TO_POINTER (i), test_other_iv);
    }
  g_test_add_func ("/key-wrap/other-key-is-refused", test_other_key);
  g_test_add_func ("/key-wrap/padding-is-checked", test_bad_padding);
  g_test_add_func ("/key-wrap/ecb-decrypts", test_ecb);
  return g_test_run ();
}
