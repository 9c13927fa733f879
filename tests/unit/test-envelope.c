/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/envelope.h"

#include "base/error.h"
#include "crypto/crypto.h"

#include <openssl/err.h>
#include <string.h>

#define OVERHEAD (12 + 16)

static const char identity_text[] = "the identity";
static const char payload_text[] = "the payload";

/* nonce 00..0b, key 00..1f; made by another implementation (AESGCM of Python's cryptography). */
static const guint8 known_envelope[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x33,
                                         0x6a, 0xb3, 0x3b, 0xb5, 0x84, 0xbb, 0x77, 0xe2, 0x20, 0xf3, 0xe2, 0x6d, 0x83,
                                         0x2b, 0x18, 0x85, 0x76, 0x1a, 0x77, 0x4f, 0x5c, 0x38, 0x3b, 0x88, 0xe0, 0xfe };

static CmkSecret *
new_data_key (guint8 first)
{
  g_autoptr (GError) error = NULL;
  CmkSecret *key = cmk_secret_new (CMK_DATA_KEY_SIZE, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < CMK_DATA_KEY_SIZE; i++)
    cmk_secret_data (key)[i] = (guint8) (first + i);
  return key;
}

static GBytes *
new_identity (void)
{
  return g_bytes_new_static (identity_text, strlen (identity_text));
}

static void
assert_refused (const CmkSecret *key, GBytes *identity, const guint8 *envelope, gsize size)
{
  static char *text;
  g_autoptr (GBytes) bytes = g_bytes_new (envelope, size);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_envelope_open (key, identity, bytes, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  if (text == NULL)
    text = g_strdup (error->message);
  g_assert_cmpstr (error->message, ==, text);
}

static void
test_known (void)
{
  g_autoptr (CmkSecret) key = new_data_key (0);
  g_autoptr (GBytes) identity = new_identity ();
  g_autoptr (GBytes) envelope = g_bytes_new_static (known_envelope, sizeof known_envelope);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) payload = cmk_envelope_open (key, identity, envelope, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (payload), cmk_secret_length (payload), payload_text, strlen (payload_text));
}

static void
test_round_trip (void)
{
  static const gsize sizes[] = { 1, 15, 16, 17, 32, 2312, 16000 };
  g_autoptr (CmkSecret) key = new_data_key (7);
  g_autoptr (GBytes) identity = new_identity ();
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (CmkSecret) payload = cmk_random_secret (sizes[i], &error);
      g_assert_no_error (error);
      g_autoptr (GBytes) envelope = cmk_envelope_seal (key, identity, payload, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (envelope), ==, sizes[i] + OVERHEAD);
      g_autoptr (CmkSecret) opened = cmk_envelope_open (key, identity, envelope, &error);
      g_assert_no_error (error);
      g_assert_true (cmk_secret_equal (payload, opened));
    }
}

static void
test_empty_identity (void)
{
  g_autoptr (CmkSecret) key = new_data_key (7);
  g_autoptr (GBytes) identity = new_identity ();
  g_autoptr (GBytes) nobody = g_bytes_new (NULL, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) envelope = cmk_envelope_seal (key, nobody, key, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) opened = cmk_envelope_open (key, nobody, envelope, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (key, opened));
  assert_refused (key, identity, g_bytes_get_data (envelope, NULL), g_bytes_get_size (envelope));
}

static void
test_fresh_nonce (void)
{
  g_autoptr (CmkSecret) key = new_data_key (7);
  g_autoptr (GBytes) identity = new_identity ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) first = cmk_envelope_seal (key, identity, key, &error);
  g_autoptr (GBytes) second = cmk_envelope_seal (key, identity, key, &error);
  g_assert_no_error (error);
  g_assert_cmpint (memcmp (g_bytes_get_data (first, NULL), g_bytes_get_data (second, NULL), 12), !=, 0);
}

static void
test_altered (void)
{
  g_autoptr (CmkSecret) key = new_data_key (0);
  g_autoptr (GBytes) identity = new_identity ();
  for (guint bit = 0; bit < sizeof known_envelope * 8; bit++)
    {
      guint8 altered[sizeof known_envelope];
      memcpy (altered, known_envelope, sizeof altered);
      altered[bit / 8] ^= (guint8) (1U << bit % 8);
      assert_refused (key, identity, altered, sizeof altered);
    }
}

static void
test_truncated (void)
{
  g_autoptr (CmkSecret) key = new_data_key (0);
  g_autoptr (GBytes) identity = new_identity ();
  for (gsize size = 0; size < sizeof known_envelope; size++)
    assert_refused (key, identity, known_envelope, size);
  guint8 longer[sizeof known_envelope + 1] = { 0 };
  memcpy (longer, known_envelope, sizeof known_envelope);
  assert_refused (key, identity, longer, sizeof longer);
}

static void
test_other_identity (void)
{
  g_autoptr (CmkSecret) key = new_data_key (0);
  g_autoptr (GBytes) other = g_bytes_new_static ("the identitz", 12);
  g_autoptr (GBytes) shorter = g_bytes_new_static (identity_text, 11);
  assert_refused (key, other, known_envelope, sizeof known_envelope);
  assert_refused (key, shorter, known_envelope, sizeof known_envelope);
}

static void
test_other_key (void)
{
  g_autoptr (CmkSecret) other = new_data_key (1);
  g_autoptr (GBytes) identity = new_identity ();
  assert_refused (other, identity, known_envelope, sizeof known_envelope);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  g_test_add_func ("/envelope/of-another-implementation-opens", test_known);
  g_test_add_func ("/envelope/opens-what-was-sealed", test_round_trip);
  g_test_add_func ("/envelope/empty-identity-is-one-too", test_empty_identity);
  g_test_add_func ("/envelope/nonce-is-fresh", test_fresh_nonce);
  g_test_add_func ("/envelope/any-altered-bit-is-refused", test_altered);
  g_test_add_func ("/envelope/other-length-is-refused", test_truncated);
  g_test_add_func ("/envelope/other-identity-is-refused", test_other_identity);
  g_test_add_func ("/envelope/other-key-is-refused", test_other_key);
  return g_test_run ();
}
