/* SPDX-License-Identifier: Apache-2.0
 *
 * A known answer, made with hashlib of Python and `openssl enc -aes-128-cfb -iv 00...`. That TPMs open it is seen
 * wherever a private key is imported into one. */
#include "crypto/inner-wrap.h"

#include "crypto/crypto.h"
#include "key-fixture.h"

#define KEY       "101112131415161718191a1b1c1d1e1f"
#define SENSITIVE "00280023000000000020404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
#define NAME      "000befa1f375d76194fa51a3556a97e641e61685f914d446979da50a551a4333ffd7"
#define WRAPPED                                                                                                        \
  "ed8382f2de6c16519782af6fd5abe5a807d6955593f0915044d4066a657da3c3536906bd1e68f6fe0ae0766c9e7e6f9d1a3f0b66f5aef3d59d" \
  "904c9e14d36373bca6a11b7cab4ae75b76dde1"

static GBytes *
wrap_hex (const char *key_hex, const char *sensitive_hex, const char *name_hex)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) key_bytes = from_hex (key_hex);
  g_autoptr (GBytes) sensitive_bytes = from_hex (sensitive_hex);
  g_autoptr (GBytes) name = from_hex (name_hex);
  g_autoptr (CmkSecret) key = new_secret (key_bytes);
  g_autoptr (CmkSecret) sensitive = new_secret (sensitive_bytes);
  GBytes *wrapped = cmk_inner_wrap (key, sensitive, name, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return wrapped;
}

static void
test_known_answer (void)
{
  g_autoptr (GBytes) expected = from_hex (WRAPPED);
  g_autoptr (GBytes) wrapped = wrap_hex (KEY, SENSITIVE, NAME);
  g_assert_cmpmem (g_bytes_get_data (wrapped, NULL), g_bytes_get_size (wrapped), g_bytes_get_data (expected, NULL),
                   g_bytes_get_size (expected));
}

/* The name is in the digest, which the first blocks hold. */
static void
test_name_counts (void)
{
  g_autoptr (GBytes) expected = from_hex (WRAPPED);
  g_autoptr (GBytes) wrapped = wrap_hex (KEY, SENSITIVE, "000b");
  g_assert_cmpuint (g_bytes_get_size (wrapped), ==, g_bytes_get_size (expected));
  g_assert_cmpint (memcmp (g_bytes_get_data (wrapped, NULL), g_bytes_get_data (expected, NULL), 16), !=, 0);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  g_test_add_func ("/inner-wrap/known-answer", test_known_answer);
  g_test_add_func ("/inner-wrap/name-counts", test_name_counts);
  return g_test_run ();
}
