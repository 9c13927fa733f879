/* SPDX-License-Identifier: Apache-2.0
 *
 * The ciphertext blob and the encryption context. FZ-05 */
#include "fuzz.h"

#include "cmkd.h"
#include "crypto/crypto.h"
#include "crypto/message.h"
#include "kms/encryption-context.h"

#define MAX_PAIRS 8

static CmkSecret *materials[2]; /* of AES_256 and SM4 */

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  g_assert_true (cmk_secret_init (NULL));
  g_assert_true (cmk_crypto_init (NULL));
  materials[0] = cmk_secret_new (32, NULL);
  materials[1] = cmk_secret_new (16, NULL);
  return 0;
}

static CmkSecret *
open_blob (CmkKeySpec spec, GBytes *blob, GBytes *context)
{
  g_autoptr (GError) error = NULL;
  const CmkHmacKey key = { .secret = materials[spec == CMK_KEY_SPEC_SM4] };
  CmkSecret *plaintext = cmk_message_open (&key, spec, blob, context, &error);
  g_assert_true ((plaintext == NULL) == (error != NULL));
  return plaintext;
}

/* Nobody but us can make one. */
static void
check_foreign_blob (FuzzInput *input, CmkKeySpec spec, GBytes *context)
{
  CmkUuid id;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) blob = fuzz_take_rest (input);
  g_assert_true (cmk_message_key_id (blob, &id, &error) == (error == NULL));
  g_assert_null (open_blob (spec, blob, context));
}

static void
check_own_blob (FuzzInput *input, CmkKeySpec spec, GBytes *context)
{
  CmkUuid id = { { 0 } }, named;
  const CmkHmacKey key = { .secret = materials[spec == CMK_KEY_SPEC_SM4] };
  gsize altered_at = (gsize) fuzz_take_number (input, 2);
  guint8 difference = fuzz_take_byte (input);
  g_autoptr (GBytes) text = fuzz_take_rest (input);
  if (g_bytes_get_size (text) == 0 || g_bytes_get_size (text) > CMKD_MAX_PLAINTEXT_BYTES)
    return;
  g_autoptr (CmkSecret) plaintext = cmk_secret_new_copy (g_bytes_get_data (text, NULL), g_bytes_get_size (text), NULL);
  id.bytes[0] = difference;
  g_autoptr (GBytes) blob = cmk_message_seal (&key, spec, &id, context, plaintext, NULL);
  g_autoptr (CmkSecret) opened = open_blob (spec, blob, context);
  g_assert_true (cmk_secret_equal (opened, plaintext));
  g_assert_true (cmk_message_key_id (blob, &named, NULL) && cmk_uuid_equal (&named, &id));

  gsize size;
  g_autofree guint8 *altered = g_bytes_unref_to_data (g_steal_pointer (&blob), &size);
  altered[altered_at % size] ^= difference;
  g_autoptr (GBytes) other = g_bytes_new (altered, altered_at < size ? size : altered_at % size);
  g_autoptr (CmkSecret) reopened = open_blob (spec, other, context);
  g_assert_true ((reopened != NULL) == (difference == 0 && altered_at < size));
}

/* One context has one encoding, in whatever order its names come. */
static void
check_context (FuzzInput *input)
{
  CmkEncryptionContextPair pairs[MAX_PAIRS], reversed[MAX_PAIRS];
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  gsize n_pairs = fuzz_take_choice (input, MAX_PAIRS + 1);
  for (gsize i = 0; i < n_pairs; i++)
    {
      g_ptr_array_add (texts, fuzz_take_text (input));
      g_ptr_array_add (texts, fuzz_take_text (input));
      pairs[i] = (CmkEncryptionContextPair) { texts->pdata[2 * i], texts->pdata[2 * i + 1] };
      reversed[n_pairs - 1 - i] = pairs[i];
    }
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) one = cmk_encryption_context_encode (pairs, n_pairs, "EncryptionContext", &error);
  g_autoptr (GBytes) other = cmk_encryption_context_encode (reversed, n_pairs, "EncryptionContext", NULL);
  g_assert_true ((one == NULL) == (error != NULL));
  g_assert_true ((one == NULL) == (other == NULL));
  g_assert_true (one == NULL || g_bytes_equal (one, other));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FuzzInput input = { data, size };
  guint choice = fuzz_take_choice (&input, 3);
  if (choice == 0)
    {
      check_context (&input);
      return 0;
    }
  CmkKeySpec spec = fuzz_take_choice (&input, 2) == 0 ? CMK_KEY_SPEC_AES_256 : CMK_KEY_SPEC_SM4;
  g_autoptr (GBytes) context = fuzz_take_bytes (&input);
  if (choice == 1)
    check_foreign_blob (&input, spec, context);
  else
    check_own_blob (&input, spec, context);
  return 0;
}
