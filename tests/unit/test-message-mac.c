/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/message-mac.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "key-fixture.h"

typedef struct
{
  const char *name;
  CmkMacAlgorithm algorithm;
  gsize key_size;
  guint8 key_byte;
  const char *message;
  const char *mac;
} Vector;

static const Vector vectors[] = {
  { "RFC 4231 case 1: SHA-256", CMK_MAC_HMAC_SHA_256, 20, 0x0b, "Hi There",
    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
  { "RFC 4231 case 1: SHA-384", CMK_MAC_HMAC_SHA_384, 20, 0x0b, "Hi There",
    "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6" },
  { "RFC 4231 case 1: SHA-512", CMK_MAC_HMAC_SHA_512, 20, 0x0b, "Hi There",
    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
    "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854" },
  { "RFC 4868: SHA-256", CMK_MAC_HMAC_SHA_256, 32, 0x0b, "Hi There",
    "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7" },
  { "RFC 4868: SHA-384", CMK_MAC_HMAC_SHA_384, 48, 0x0b, "Hi There",
    "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee9737a959796489bddbc4c5df61d5b3297b4fb68dab9f1b582c2" },
  { "RFC 4868: SHA-512", CMK_MAC_HMAC_SHA_512, 64, 0x0b, "Hi There",
    "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"
    "ac2878ebd5803f6f0b61dbce5e251ff8789a4722c1be65aea45fd464e89f8f5b" },
};

static gboolean
check (const CmkSecret *key, const Vector *vector, GBytes *message, const guint8 *mac, gsize size)
{
  gboolean valid = -1;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) given = g_bytes_new (mac, size);
  const CmkHmacKey material = { .secret = key };
  g_assert_true (cmk_message_mac_check (&material, vector->algorithm, message, given, &valid, &error));
  g_assert_no_error (error);
  return valid;
}

static void
test_vector (gconstpointer data)
{
  const Vector *vector = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) key = cmk_secret_new (vector->key_size, &error);
  g_assert_no_error (error);
  memset (cmk_secret_data (key), vector->key_byte, vector->key_size);
  g_autoptr (GBytes) message = g_bytes_new_static (vector->message, strlen (vector->message));
  g_autoptr (GBytes) expected = from_hex (vector->mac);
  const CmkHmacKey material = { .secret = key };
  g_autoptr (GBytes) made = cmk_message_mac_make (&material, vector->algorithm, message, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (made, expected));

  gsize size = g_bytes_get_size (expected);
  guint8 mac[EVP_MAX_MD_SIZE + 1] = { 0 };
  memcpy (mac, g_bytes_get_data (expected, NULL), size);
  g_assert_true (check (key, vector, message, mac, size));
  for (gsize other = 0; other <= size + 1; other++)
    if (other != size)
      g_assert_false (check (key, vector, message, mac, other));
  for (gsize bit = 0; bit < size * 8; bit++)
    {
      mac[bit / 8] ^= (guint8) (1U << bit % 8);
      g_assert_false (check (key, vector, message, mac, size));
      mac[bit / 8] ^= (guint8) (1U << bit % 8);
    }
  g_autoptr (GBytes) longer = g_bytes_new_static (vector->message, strlen (vector->message) + 1);
  g_assert_false (check (key, vector, longer, mac, size));
  cmk_secret_data (key)[vector->key_size - 1] ^= 1;
  g_assert_false (check (key, vector, message, mac, size));
}

/* Somebody else makes the MAC: that of the vector, or none. */
static gboolean
answer (gpointer data, CmkMacAlgorithm algorithm, const guint8 *message, gsize size, guint8 *ret_mac, GError **error)
{
  const Vector *vector = data;
  g_autoptr (GBytes) mac = from_hex (vector->mac);
  g_assert_cmpint (algorithm, ==, vector->algorithm);
  if (size == 0)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT, "not now");
      return FALSE;
    }
  g_assert_cmpmem (message, size, vector->message, strlen (vector->message));
  memcpy (ret_mac, g_bytes_get_data (mac, NULL), g_bytes_get_size (mac));
  return TRUE;
}

static void
test_held (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      gboolean valid = FALSE;
      g_autoptr (GError) error = NULL;
      const CmkHmacKey held = { .compute = answer, .data = (gpointer) &vectors[i] };
      g_autoptr (GBytes) message = g_bytes_new_static (vectors[i].message, strlen (vectors[i].message));
      g_autoptr (GBytes) nothing = g_bytes_new_static ("", 0);
      g_autoptr (GBytes) expected = from_hex (vectors[i].mac);
      g_autoptr (GBytes) made = cmk_message_mac_make (&held, vectors[i].algorithm, message, &error);
      g_assert_true (g_bytes_equal (made, expected));
      g_assert_true (cmk_message_mac_check (&held, vectors[i].algorithm, message, expected, &valid, &error));
      g_assert_true (valid);
      g_assert_true (cmk_message_mac_check (&held, vectors[i].algorithm, message, message, &valid, &error));
      g_assert_false (valid);
      g_assert_no_error (error);
      g_assert_false (cmk_message_mac_check (&held, vectors[i].algorithm, nothing, expected, &valid, &error));
      g_assert_false (valid);
      g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT);
    }
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
      g_autofree char *path = g_strdup_printf ("/message-mac/%s", vectors[i].name);
      g_test_add_data_func (path, &vectors[i], test_vector);
    }
  g_test_add_func ("/message-mac/key-may-be-held-elsewhere", test_held);
  return g_test_run ();
}
