/* SPDX-License-Identifier: Apache-2.0
 *
 * Private keys: PKCS#8, bare scalars and cmkd's own encoding; and public ones. */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "crypto/key-form.h"
#include "crypto/key-parts.h"

#include <openssl/x509.h>

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  g_assert_true (cmk_secret_init (NULL));
  g_assert_true (cmk_crypto_init (NULL));
  return 0;
}

/* What cmkd writes it reads, and writes the same again. FZ-06 */
static void
check_key (CmkPrivateKey *key, CmkKeySpec spec)
{
  g_autoptr (GError) error = NULL;
  g_auto (CmkKeyParts) parts = { 0 };
  g_assert_cmpint (cmk_private_key_spec (key), ==, spec);
  g_autoptr (CmkSecret) encoded = cmk_private_key_encode (key, &error);
  g_assert_no_error (error);
  g_autoptr (CmkPrivateKey) decoded = cmk_private_key_decode (spec, encoded, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) again = cmk_private_key_encode (decoded, &error);
  g_assert_true (cmk_secret_equal (encoded, again));

  g_autoptr (GBytes) public = cmk_private_key_public_der (key, &error);
  g_assert_no_error (error);
  g_autoptr (EVP_PKEY) loaded = cmk_public_key_load (public, &error);
  g_assert_nonnull (loaded);
  if (cmk_private_key_take_apart (key, &parts, NULL))
    {
      g_autoptr (GBytes) assembled = cmk_key_parts_public_der (spec, &parts, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (assembled, public));
    }
}

static void
check_secret (FuzzInput *input, CmkKeySpec spec,
              CmkPrivateKey *(*read) (CmkKeySpec spec, const CmkSecret *secret, GError **error))
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = fuzz_take_rest (input);
  if (g_bytes_get_size (bytes) == 0)
    return;
  g_autoptr (CmkSecret) secret = cmk_secret_new_copy (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
  g_autoptr (CmkPrivateKey) key = read (spec, secret, &error);
  g_assert_true ((key == NULL) == (error != NULL));
  if (key != NULL && read != cmk_private_key_decode)
    check_key (key, spec);
}

/* The scalar has the length that whoever calls has checked. */
static void
check_scalar (FuzzInput *input, CmkKeySpec spec)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  if (form->scalar_size == 0)
    return;
  g_autoptr (CmkSecret) scalar = cmk_secret_new (form->scalar_size, NULL);
  for (gsize i = 0; i < form->scalar_size; i++)
    cmk_secret_data (scalar)[i] = fuzz_take_byte (input);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) key = cmk_private_key_from_scalar (spec, scalar, &error);
  g_assert_true ((key == NULL) == (error != NULL));
  if (key != NULL)
    check_key (key, spec);
}

static void
check_public (FuzzInput *input)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) der = fuzz_take_rest (input);
  g_autoptr (EVP_PKEY) key = cmk_public_key_load (der, &error);
  g_assert_true ((key == NULL) == (error != NULL));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FuzzInput input = { data, size };
  guint choice = fuzz_take_choice (&input, 4);
  CmkKeySpec spec = CMK_KEY_SPEC_RSA_2048 + (CmkKeySpec) fuzz_take_choice (&input, 7);
  g_assert_true (cmk_key_spec_is_asymmetric (spec));
  if (choice == 0)
    check_secret (&input, spec, cmk_private_key_parse);
  else if (choice == 1)
    check_secret (&input, spec, cmk_private_key_decode);
  else if (choice == 2)
    check_scalar (&input, spec);
  else
    check_public (&input);
  return 0;
}
