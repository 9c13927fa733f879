/* SPDX-License-Identifier: Apache-2.0
 *
 * Base64, and the import token, as it comes and with the right MAC. FZ-02 */
#include "fuzz.h"

#include "base64.h"
#include "kms/import-token.h"

static CmkSecret *key;

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  g_assert_true (cmk_secret_init (NULL));
  g_assert_true (cmk_crypto_init (NULL));
  key = cmk_secret_new (32, NULL);
  return 0;
}

/* There is one text for some bytes. */
static void
check_base64 (FuzzInput *input)
{
  g_autoptr (GBytes) text = fuzz_take_rest (input);
  gsize chars = g_bytes_get_size (text), size;
  g_autofree guint8 *data = g_malloc (CMK_BASE64_BYTES (chars) + 1);
  if (!cmk_base64_decode ((const char *) fuzz_peek (text), chars, data, &size))
    return;
  g_assert_cmpuint (size, <=, CMK_BASE64_BYTES (chars));
  g_autofree char *again = g_malloc (CMK_BASE64_CHARS (size) + 1);
  cmk_base64_encode (data, size, again);
  g_assert_cmpmem (again, strlen (again), fuzz_peek (text), chars);
}

static void
check_foreign_token (FuzzInput *input)
{
  CmkImportToken token = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) encoded = fuzz_take_rest (input);
  g_assert_false (cmk_import_token_decode (encoded, key, &token, &error));
  g_assert_nonnull (error);
}

/* Whatever it says, we must have said it. */
static void
check_authentic_token (FuzzInput *input)
{
  CmkImportToken token = { 0 };
  g_autoptr (GBytes) says = fuzz_take_exactly (input, CMK_IMPORT_TOKEN_SIZE - CMK_MAC_SIZE);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint8 mac[CMK_MAC_SIZE];
  g_byte_array_append (bytes, fuzz_peek (says), (guint) g_bytes_get_size (says));
  g_assert_true (cmk_mac_compute (key, bytes->data, bytes->len, mac, NULL));
  g_byte_array_append (bytes, mac, sizeof mac);
  gboolean is_whole = bytes->len == CMK_IMPORT_TOKEN_SIZE;
  g_autoptr (GBytes) encoded = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  const guint8 *first = fuzz_peek (says);
  g_assert_true (cmk_import_token_decode (encoded, key, &token, NULL) == (is_whole && first[0] == 1));
}

static void
check_own_token (FuzzInput *input)
{
  CmkImportToken token = { .algorithm = CMK_WRAPPING_SM2PKE, .wrapping_spec = CMK_WRAPPING_KEY_EC_SM2 }, read = { 0 };
  for (guint i = 0; i < sizeof token.store_id.bytes; i++)
    {
      token.store_id.bytes[i] = fuzz_take_byte (input);
      token.set_id.bytes[i] = fuzz_take_byte (input);
      token.key_id.bytes[i] = fuzz_take_byte (input);
    }
  token.issued_at = fuzz_take_number (input, 8);
  token.expires_at = fuzz_take_number (input, 8);
  g_autoptr (GBytes) encoded = cmk_import_token_encode (&token, key, NULL);
  g_assert_true (cmk_import_token_decode (encoded, key, &read, NULL));
  g_assert_true (cmk_uuid_equal (&read.store_id, &token.store_id));
  g_assert_true (cmk_uuid_equal (&read.set_id, &token.set_id));
  g_assert_true (cmk_uuid_equal (&read.key_id, &token.key_id));
  g_assert_cmpint (read.expires_at, ==, token.expires_at);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static void (*const checks[]) (FuzzInput *) = { check_base64, check_foreign_token, check_authentic_token,
                                                  check_own_token };
  FuzzInput input = { data, size };
  checks[fuzz_take_choice (&input, G_N_ELEMENTS (checks))](&input);
  return 0;
}
