/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/crypto.h"

#include "base/error.h"
#include "crypto/openssl.h"

#include <openssl/err.h>
#include <string.h>

#define N_THREADS 8

/* FIPS 180-2, B.1 */
static void
test_sha256 (void)
{
  static const guint8 expected[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                     0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                     0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
  guint8 digest[CMK_DIGEST_SIZE];
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_sha256 ("abc", 3, digest, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (digest, sizeof digest, expected, sizeof expected);
}

static CmkSecret *
new_secret (const void *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  CmkSecret *secret = cmk_secret_new_copy (data, size, &error);
  g_assert_no_error (error);
  return secret;
}

/* RFC 4231, test case 2 */
static const char rfc4231_data[] = "what do ya want for nothing?";
static const guint8 rfc4231_mac[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
                                      0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
                                      0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43 };

static void
test_mac (void)
{
  g_autoptr (CmkSecret) key = new_secret ("Jefe", 4);
  g_autoptr (GError) error = NULL;
  guint8 mac[CMK_MAC_SIZE];
  g_assert_true (cmk_mac_compute (key, rfc4231_data, strlen (rfc4231_data), mac, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (mac, sizeof mac, rfc4231_mac, sizeof rfc4231_mac);
}

static void
test_mac_verify (void)
{
  g_autoptr (CmkSecret) key = new_secret ("Jefe", 4);
  g_autoptr (CmkSecret) other_key = new_secret ("Jeff", 4);
  gsize size = strlen (rfc4231_data);
  g_assert_true (cmk_mac_verify (key, rfc4231_data, size, rfc4231_mac));
  g_assert_false (cmk_mac_verify (other_key, rfc4231_data, size, rfc4231_mac));
  g_assert_false (cmk_mac_verify (key, rfc4231_data, size - 1, rfc4231_mac));
  for (guint bit = 0; bit < CMK_MAC_SIZE * 8; bit++)
    {
      guint8 forged[CMK_MAC_SIZE];
      memcpy (forged, rfc4231_mac, sizeof forged);
      forged[bit / 8] ^= (guint8) (1U << bit % 8);
      g_assert_false (cmk_mac_verify (key, rfc4231_data, size, forged));
    }
}

/* The expected bytes are another implementation's (HKDF of Python's cryptography). */
static void
test_derive_key (void)
{
  static const guint8 expected[] = { 0x31, 0x58, 0xca, 0xc4, 0xe3, 0x4f, 0x1b, 0x2b, 0xa5, 0x13, 0xa1,
                                     0x63, 0xd1, 0x15, 0x1a, 0xc8, 0xbf, 0x8c, 0xf8, 0xf0, 0x11, 0x8d,
                                     0xa0, 0xfa, 0xd0, 0xe0, 0x48, 0x28, 0x09, 0x0f, 0x12, 0x98 };
  guint8 bytes[32];
  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8) i;
  g_autoptr (CmkSecret) root = new_secret (bytes, sizeof bytes);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) key = cmk_derive_key (root, "cmkd/v1/test", &error);
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (key), cmk_secret_length (key), expected, sizeof expected);

  g_autoptr (CmkSecret) other = cmk_derive_key (root, "cmkd/v1/tess", &error);
  g_assert_no_error (error);
  g_assert_false (cmk_secret_equal (key, other));
}

static void
test_random (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) first = cmk_random_secret (32, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) second = cmk_random_secret (32, &error);
  g_assert_no_error (error);
  g_assert_false (cmk_secret_equal (first, second));

  guint8 bytes[2][16] = { { 0 } };
  g_assert_true (cmk_random_bytes (bytes[0], 16, &error));
  g_assert_true (cmk_random_bytes (bytes[1], 16, &error));
  g_assert_cmpint (memcmp (bytes[0], bytes[1], 16), !=, 0);
}

static void
test_library_failure (void)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (EVP_MD_fetch (NULL, "NO-SUCH-DIGEST", NULL));
  g_assert_false (cmk_openssl_ok (FALSE, "cannot load a digest", &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_assert_cmpstr (error->message, ==, "cannot load a digest: OpenSSL says: unsupported");
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static gpointer
compute_macs (gpointer data)
{
  for (guint i = 0; i < 200; i++)
    {
      guint8 mac[CMK_MAC_SIZE];
      if (!cmk_mac_compute (data, rfc4231_data, strlen (rfc4231_data), mac, NULL) ||
          memcmp (mac, rfc4231_mac, sizeof mac) != 0)
        return GINT_TO_POINTER (FALSE);
    }
  return GINT_TO_POINTER (TRUE);
}

static void
test_threads (void)
{
  g_autoptr (CmkSecret) key = new_secret ("Jefe", 4);
  GThread *threads[N_THREADS];
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("mac", compute_macs, key);
  for (guint i = 0; i < N_THREADS; i++)
    g_assert_true (GPOINTER_TO_INT (g_thread_join (threads[i])));
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  g_test_add_func ("/crypto/sha256-of-the-standard", test_sha256);
  g_test_add_func ("/crypto/mac-of-the-standard", test_mac);
  g_test_add_func ("/crypto/forged-mac-is-refused", test_mac_verify);
  g_test_add_func ("/crypto/derived-key-depends-on-label", test_derive_key);
  g_test_add_func ("/crypto/random-is-fresh", test_random);
  g_test_add_func ("/crypto/library-failure-is-internal-and-clears-the-queue", test_library_failure);
  g_test_add_func ("/crypto/works-from-many-threads", test_threads);
  return g_test_run ();
}
