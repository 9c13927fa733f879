/* SPDX-License-Identifier: Apache-2.0
 *
 * The vectors are read out of docs/ciphertext-format.md itself, so that the page cannot say anything else than the
 * code does. */
#include "crypto/message.h"

#include "base/error.h"
#include "cmkd.h"
#include "crypto/crypto.h"

#include <openssl/err.h>
#include <string.h>

#define HEADER_SIZE 69
#define VECTORS     "```ini\n"

static GKeyFile *vectors;

static GBytes *
parse_hex (const char *text)
{
  gsize size = strlen (text) / 2;
  guint8 *bytes = g_malloc (size + 1);
  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (g_ascii_xdigit_value (text[2 * i]) << 4 | g_ascii_xdigit_value (text[2 * i + 1]));
  return g_bytes_new_take (bytes, size);
}

static GKeyFile *
read_vectors (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "..", "..", "docs", "ciphertext-format.md", NULL);
  g_autofree char *page = NULL;
  g_file_get_contents (path, &page, NULL, &error);
  g_assert_no_error (error);
  char *start = strstr (page, VECTORS);
  g_assert_nonnull (start);
  start += strlen (VECTORS);
  char *end = strstr (start, "\n```");
  g_assert_nonnull (end);
  GKeyFile *file = g_key_file_new ();
  g_key_file_load_from_data (file, start, (gsize) (end - start), G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  return file;
}

/* One vector, or a message like one. */
typedef struct
{
  CmkKeySpec spec;
  CmkUuid key_id;
  CmkSecret *material;
  CmkSecret *plaintext;
  GBytes *context;
  GBytes *blob;
} Message;

static void
clear_message (Message *message)
{
  cmk_secret_free (message->material);
  cmk_secret_free (message->plaintext);
  g_bytes_unref (message->context);
  g_bytes_unref (message->blob);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Message, clear_message)

static GBytes *
get_hex (const char *vector, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_key_file_get_string (vectors, vector, name, &error);
  g_assert_no_error (error);
  return parse_hex (text);
}

static CmkSecret *
get_secret (const char *vector, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = get_hex (vector, name);
  CmkSecret *secret = cmk_secret_new_copy (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  return secret;
}

static void
load_message (Message *ret_message, const char *vector)
{
  g_autofree char *spec = g_key_file_get_string (vectors, vector, "spec", NULL);
  g_autofree char *key_id = g_key_file_get_string (vectors, vector, "key_id", NULL);
  g_autofree char *blob = g_key_file_get_string (vectors, vector, "blob", NULL);
  int value;
  g_assert_true (cmk_spec_parse (cmk_key_specs, spec, &value));
  g_assert_true (cmk_uuid_parse (key_id, &ret_message->key_id));
  gsize size;
  guint8 *bytes = g_base64_decode (blob, &size);
  ret_message->spec = (CmkKeySpec) value;
  ret_message->material = get_secret (vector, "material");
  ret_message->plaintext = get_secret (vector, "plaintext");
  ret_message->context = get_hex (vector, "context");
  ret_message->blob = g_bytes_new_take (bytes, size);
}

static CmkSecret *
open_message (const Message *message, GError **error)
{
  const CmkHmacKey material = { .secret = message->material };
  return cmk_message_open (&material, message->spec, message->blob, message->context, error);
}

static GBytes *
seal_message (const Message *message)
{
  g_autoptr (GError) error = NULL;
  const CmkHmacKey material = { .secret = message->material };
  GBytes *blob =
      cmk_message_seal (&material, message->spec, &message->key_id, message->context, message->plaintext, &error);
  g_assert_no_error (error);
  return blob;
}

static void
assert_opens (const Message *message)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) plaintext = open_message (message, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (plaintext, message->plaintext));
}

/* Every refusal has the same text, in all tests of this program. */
static void
assert_uniform (const GError *error)
{
  static char *text;
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INVALID_CIPHERTEXT);
  if (text == NULL)
    text = g_strdup (error->message);
  g_assert_cmpstr (error->message, ==, text);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static void
assert_refused (const Message *message)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (open_message (message, &error));
  assert_uniform (error);
}

static void
replace_blob (Message *message, const guint8 *data, gsize size)
{
  GBytes *old = message->blob;
  message->blob = g_bytes_new (data, size);
  g_bytes_unref (old);
}

static void
test_vector (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  g_autoptr (GError) error = NULL;
  CmkUuid key_id;
  g_assert_true (cmk_message_key_id (message.blob, &key_id, &error));
  g_assert_true (cmk_uuid_equal (&key_id, &message.key_id));
  assert_opens (&message);

  /* What the page prints beside the blob is what stands in the blob. */
  const guint8 *blob = g_bytes_get_data (message.blob, NULL);
  g_autoptr (GBytes) salt = get_hex (vector, "salt");
  g_autoptr (GBytes) commitment = get_hex (vector, "commitment");
  g_assert_cmpmem (blob + 21, 16, g_bytes_get_data (salt, NULL), g_bytes_get_size (salt));
  g_assert_cmpmem (blob + 37, 32, g_bytes_get_data (commitment, NULL), g_bytes_get_size (commitment));
}

static void
test_sealed (gconstpointer vector)
{
  static const gsize sizes[] = { 1, 15, 16, 17, 4096, CMKD_MAX_PLAINTEXT_BYTES };
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_auto (Message) message = { 0 };
      load_message (&message, vector);
      g_autoptr (GError) error = NULL;
      gsize vector_overhead = g_bytes_get_size (message.blob) - cmk_secret_length (message.plaintext);
      g_clear_pointer (&message.plaintext, cmk_secret_free);
      message.plaintext = cmk_random_secret (sizes[i], &error);
      g_assert_no_error (error);
      g_autoptr (GBytes) blob = seal_message (&message);
      g_assert_cmpuint (g_bytes_get_size (blob), ==, sizes[i] + vector_overhead);
      /* Up to the salt the header is the vector's. */
      g_assert_cmpmem (g_bytes_get_data (blob, NULL), 21, g_bytes_get_data (message.blob, NULL), 21);
      replace_blob (&message, g_bytes_get_data (blob, NULL), g_bytes_get_size (blob));
      assert_opens (&message);
    }
}

/* --- material that is held elsewhere --- */

typedef struct
{
  const CmkSecret *material;
  guint n_calls;
  gboolean is_dead;
} Chip;

static gboolean
compute_hmac (gpointer data, CmkMacAlgorithm algorithm, const guint8 *message, gsize size, guint8 *ret_mac,
              GError **error)
{
  Chip *chip = data;
  chip->n_calls++;
  g_assert_cmpint (algorithm, ==, CMK_MAC_HMAC_SHA_256);
  if (chip->is_dead)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT, "the chip is dead");
  return !chip->is_dead && cmk_mac_compute (chip->material, message, size, ret_mac, error);
}

static void
test_held (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  g_autoptr (GError) error = NULL;
  Chip chip = { .material = message.material };
  const CmkHmacKey held = { .compute = compute_hmac, .data = &chip };
  g_autoptr (CmkSecret) opened = cmk_message_open (&held, message.spec, message.blob, message.context, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (opened, message.plaintext));
  g_assert_cmpuint (chip.n_calls, ==, 1);

  g_autoptr (GBytes) blob =
      cmk_message_seal (&held, message.spec, &message.key_id, message.context, message.plaintext, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (chip.n_calls, ==, 2);
  replace_blob (&message, g_bytes_get_data (blob, NULL), g_bytes_get_size (blob));
  assert_opens (&message);

  chip.is_dead = TRUE;
  g_assert_null (cmk_message_open (&held, message.spec, message.blob, message.context, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT);
}

static void
test_fresh (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  g_autoptr (GBytes) first = seal_message (&message);
  g_autoptr (GBytes) second = seal_message (&message);
  const guint8 *a = g_bytes_get_data (first, NULL);
  const guint8 *b = g_bytes_get_data (second, NULL);
  g_assert_cmpint (memcmp (a + 21, b + 21, 16), !=, 0);
  g_assert_cmpint (memcmp (a + 37, b + 37, 32), !=, 0);
}

/* BI-16 */
static void
test_altered (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  gsize size;
  g_autofree guint8 *altered = g_bytes_unref_to_data (g_bytes_ref (message.blob), &size);
  for (gsize bit = 0; bit < size * 8; bit++)
    {
      altered[bit / 8] ^= (guint8) (1U << bit % 8);
      replace_blob (&message, altered, size);
      assert_refused (&message);
      altered[bit / 8] ^= (guint8) (1U << bit % 8);
    }
  replace_blob (&message, altered, size);
  assert_opens (&message);
}

/* BI-16 */
static void
test_other_length (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  gsize size;
  g_autofree guint8 *data = g_bytes_unref_to_data (g_bytes_ref (message.blob), &size);
  for (gsize shorter = 0; shorter < size; shorter++)
    {
      replace_blob (&message, data, shorter);
      assert_refused (&message);
    }
  g_autofree guint8 *longer = g_malloc0 (size + CMKD_MAX_PLAINTEXT_BYTES);
  memcpy (longer, data, size);
  replace_blob (&message, longer, size + 1);
  assert_refused (&message);
  replace_blob (&message, longer, size + CMKD_MAX_PLAINTEXT_BYTES);
  assert_refused (&message);
}

static void
test_other_context (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  gsize size;
  g_autofree guint8 *original = g_bytes_unref_to_data (g_bytes_ref (message.context), &size);
  g_autofree guint8 *context = g_malloc0 (size + 1);
  if (size > 0)
    memcpy (context, original, size);
  for (gsize bit = 0; bit < size * 8; bit++)
    {
      context[bit / 8] ^= (guint8) (1U << bit % 8);
      g_bytes_unref (message.context);
      message.context = g_bytes_new (context, size);
      assert_refused (&message);
      context[bit / 8] ^= (guint8) (1U << bit % 8);
    }
  g_bytes_unref (message.context);
  message.context = g_bytes_new (context, size + 1);
  assert_refused (&message);
}

/* A byte that moves from the front of the ciphertext to the end of the context leaves what is authenticated the same
 * in a careless format. */
static void
test_shifted_context (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  gsize size;
  g_autofree guint8 *data = g_bytes_unref_to_data (g_bytes_ref (message.blob), &size);
  g_autoptr (GByteArray) context = g_bytes_unref_to_array (g_steal_pointer (&message.context));
  g_byte_array_append (context, data + HEADER_SIZE, 1);
  message.context = g_bytes_new (context->data, context->len);
  memmove (data + HEADER_SIZE, data + HEADER_SIZE + 1, size - HEADER_SIZE - 1);
  replace_blob (&message, data, size - 1);
  assert_refused (&message);
}

static void
test_other_material (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  for (gsize bit = 0; bit < cmk_secret_length (message.material) * 8; bit++)
    {
      cmk_secret_data (message.material)[bit / 8] ^= (guint8) (1U << bit % 8);
      assert_refused (&message);
      cmk_secret_data (message.material)[bit / 8] ^= (guint8) (1U << bit % 8);
    }
}

/* WS-09: the same material under two key ids. */
static void
test_same_material (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  gsize size;
  g_autofree guint8 *data = g_bytes_unref_to_data (g_bytes_ref (message.blob), &size);
  CmkUuid other = cmk_uuid_new ();
  memcpy (data + 5, other.bytes, sizeof other.bytes);
  replace_blob (&message, data, size);
  assert_refused (&message);
}

static void
test_other_spec (gconstpointer vector)
{
  g_auto (Message) message = { 0 };
  load_message (&message, vector);
  g_autoptr (GError) error = NULL;
  message.spec = message.spec == CMK_KEY_SPEC_AES_256 ? CMK_KEY_SPEC_SM4 : CMK_KEY_SPEC_AES_256;
  cmk_secret_free (message.material);
  message.material = cmk_random_secret (cmk_key_spec_material_bytes (message.spec), &error);
  g_assert_no_error (error);
  assert_refused (&message);
}

static void
test_no_blob (void)
{
  static const char *const texts[] = {
    "",
    "434d",
    "434d4b01",
    "434d4b0200000000",
  };
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GBytes) blob = parse_hex (texts[i]);
      g_autoptr (GError) error = NULL;
      CmkUuid key_id;
      g_assert_false (cmk_message_key_id (blob, &key_id, &error));
      assert_uniform (error);
    }
}

static const struct
{
  const char *name;
  GTestDataFunc function;
} cases[] = {
  { "opens-as-the-page-says", test_vector },
  { "opens-what-was-sealed", test_sealed },
  { "salt-and-keys-are-fresh", test_fresh },
  { "material-may-be-held-elsewhere", test_held },
  { "any-altered-bit-is-refused", test_altered },
  { "other-length-is-refused", test_other_length },
  { "other-context-is-refused", test_other_context },
  { "byte-moved-to-the-context-is-refused", test_shifted_context },
  { "other-material-is-refused", test_other_material },
  { "same-material-of-another-key-is-refused", test_same_material },
  { "key-of-another-spec-is-refused", test_other_spec },
};

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  vectors = read_vectors ();
  gsize n_vectors;
  g_auto (GStrv) names = g_key_file_get_groups (vectors, &n_vectors);
  g_assert_cmpuint (n_vectors, >=, 4);
  for (gsize i = 0; i < n_vectors; i++)
    for (guint j = 0; j < G_N_ELEMENTS (cases); j++)
      {
        g_autofree char *path = g_strdup_printf ("/message/%s/%s", names[i], cases[j].name);
        g_test_add_data_func_full (path, g_strdup (names[i]), cases[j].function, g_free);
      }
  g_test_add_func ("/message/what-is-no-blob-names-no-key", test_no_blob);
  int result = g_test_run ();
  g_key_file_unref (vectors);
  return result;
}
