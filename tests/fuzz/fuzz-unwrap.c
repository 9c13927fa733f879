/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that an importer sends: every wrapping form, RFC 5649, and SM2 in both its forms. What comes out of the
 * RSA operation is the input itself, or is padded well by us, so that what lies inside is reached. */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "crypto/key-form.h"
#include "crypto/key-wrap.h"
#include "crypto/sm2.h"
#include "crypto/unpad.h"
#include "crypto/unwrap.h"

#define MODULUS_SIZE 256

static CmkPrivateKey *rsa_key, *sm2_key;
static guint8 block[MODULUS_SIZE]; /* what the RSA operation gives */

static gboolean
give_block (gpointer data G_GNUC_UNUSED, const guint8 *input G_GNUC_UNUSED, gsize size, guint8 *ret_output,
            GError **error G_GNUC_UNUSED)
{
  g_assert_cmpuint (size, ==, sizeof block);
  memcpy (ret_output, block, sizeof block);
  return TRUE;
}

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  static const CmkPrivateKeyHolder holder = { .rsa = give_block };
  gint never = FALSE;
  fuzz_be_quiet ();
  g_assert_true (cmk_secret_init (NULL));
  g_assert_true (cmk_crypto_init (NULL));
  g_autoptr (CmkPrivateKey) made = cmk_private_key_generate (CMK_KEY_SPEC_RSA_2048, &never, NULL);
  g_autoptr (GBytes) public = cmk_private_key_public_der (made, NULL);
  rsa_key = cmk_private_key_held (CMK_KEY_SPEC_RSA_2048, public, &holder, NULL);
  g_autoptr (CmkSecret) scalar = cmk_secret_new (32, NULL);
  cmk_secret_data (scalar)[31] = 7;
  sm2_key = cmk_private_key_from_scalar (CMK_KEY_SPEC_EC_SM2, scalar, NULL);
  g_assert_nonnull (rsa_key);
  g_assert_nonnull (sm2_key);
  return 0;
}

/* --- padding, as an importer would --- */

static void
pad_pkcs1 (const guint8 *message, gsize size)
{
  memset (block, 0xff, sizeof block);
  block[0] = 0;
  block[1] = 2;
  block[MODULUS_SIZE - size - 1] = 0;
  memcpy (block + MODULUS_SIZE - size, message, size);
}

static void
pad_oaep (const guint8 *message, gsize size, const EVP_MD *hash)
{
  gsize hash_size = (gsize) EVP_MD_get_size (hash);
  guint8 *seed = block + 1, *masked = seed + hash_size;
  gsize masked_size = MODULUS_SIZE - 1 - hash_size;
  memset (block, 0, sizeof block);
  g_assert_cmpint (EVP_Digest ("", 0, masked, NULL, hash, NULL), ==, 1);
  block[MODULUS_SIZE - size - 1] = 1;
  memcpy (block + MODULUS_SIZE - size, message, size);
  g_assert_true (cmk_mgf1_apply (masked, masked_size, seed, hash_size, hash));
  g_assert_true (cmk_mgf1_apply (seed, hash_size, masked, masked_size, hash));
}

static void
pad (CmkWrappingAlgorithm algorithm, GBytes *message)
{
  gsize size = MIN (g_bytes_get_size (message), MODULUS_SIZE - 2 - 2 * 32);
  const guint8 *data = fuzz_peek (message);
  if (algorithm == CMK_WRAPPING_RSAES_PKCS1_V1_5)
    pad_pkcs1 (data, size);
  else if (algorithm == CMK_WRAPPING_RSAES_OAEP_SHA_1 || algorithm == CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1)
    pad_oaep (data, size, EVP_sha1 ());
  else
    pad_oaep (data, size, EVP_sha256 ());
}

/* RFC 5649 by OpenSSL, under a key of zeros. */
static GBytes *
wrap (GBytes *plain)
{
  static const guint8 key[32];
  gsize size = g_bytes_get_size (plain);
  g_autofree guint8 *wrapped = g_malloc0 (size + 32);
  int length = 0;
  g_autoptr (EVP_CIPHER_CTX) context = EVP_CIPHER_CTX_new ();
  EVP_CIPHER_CTX_set_flags (context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  g_assert_cmpint (EVP_EncryptInit_ex (context, EVP_aes_256_wrap_pad (), NULL, key, NULL), ==, 1);
  g_assert_cmpint (EVP_EncryptUpdate (context, wrapped, &length, fuzz_peek (plain), (int) size), ==, 1);
  return g_bytes_new (wrapped, (gsize) length);
}

/* --- what is sent --- */

static GBytes *
join (GBytes *first, GBytes *second)
{
  GByteArray *joined = g_byte_array_new ();
  g_byte_array_append (joined, fuzz_peek (first), (guint) g_bytes_get_size (first));
  g_byte_array_append (joined, fuzz_peek (second), (guint) g_bytes_get_size (second));
  return g_byte_array_free_to_bytes (joined);
}

static GBytes *
encrypt_sm2 (GBytes *plain)
{
  g_autoptr (GBytes) public = cmk_private_key_public_der (sm2_key, NULL);
  g_autoptr (EVP_PKEY) key = cmk_public_key_load (public, NULL);
  if (g_bytes_get_size (plain) == 0)
    return g_bytes_ref (plain);
  g_autoptr (CmkSecret) secret = cmk_secret_new_copy (fuzz_peek (plain), g_bytes_get_size (plain), NULL);
  return cmk_sm2_encrypt (key, secret, NULL);
}

/* @carried: all that the asymmetric part holds; NULL: the input alone says what comes out of it. */
static GBytes *
take_encrypted (FuzzInput *input, const CmkWrapped *wrapped, GBytes *carried)
{
  gboolean is_sm2 = wrapped->wrapping_spec == CMK_WRAPPING_KEY_EC_SM2;
  if (carried == NULL && is_sm2)
    return fuzz_take_bytes (input);
  if (carried != NULL && is_sm2)
    return encrypt_sm2 (carried);
  if (carried != NULL)
    pad (wrapped->algorithm, carried);
  else
    for (gsize i = 0; i < sizeof block; i++)
      block[i] = fuzz_take_byte (input);
  return g_bytes_new_static (block, sizeof block);
}

static void
check_unwrap (FuzzInput *input)
{
  static const guint8 zeros[32];
  CmkWrapped wrapped = { .algorithm =
                             CMK_WRAPPING_RSAES_PKCS1_V1_5 + (CmkWrappingAlgorithm) fuzz_take_choice (input, 8),
                         .spec = CMK_KEY_SPEC_AES_256 + (CmkKeySpec) fuzz_take_choice (input, 12) };
  wrapped.wrapping_spec = cmk_wrapping_algorithm_fits (wrapped.algorithm, CMK_WRAPPING_KEY_EC_SM2)
                              ? CMK_WRAPPING_KEY_EC_SM2
                              : CMK_WRAPPING_KEY_RSA_2048;
  guint flags = fuzz_take_byte (input);
  if (!cmk_wrapping_algorithm_carries (wrapped.algorithm, wrapped.spec))
    return;
  gboolean is_direct = (flags & 2) == 0;
  g_autoptr (GBytes) inner = fuzz_take_bytes (input);
  g_autoptr (GBytes) temporary = g_bytes_new (zeros, (flags & 8) != 0 ? 16 : 32);
  g_autoptr (GBytes) encrypted = take_encrypted (input, &wrapped,
                                                 (flags & 1) == 0 ? NULL
                                                 : is_direct      ? inner
                                                                  : temporary);
  g_autoptr (GBytes) second = (flags & 16) != 0 && g_bytes_get_size (inner) > 0 ? wrap (inner) : g_bytes_ref (inner);
  g_autoptr (GBytes) joined = is_direct ? g_bytes_ref (encrypted) : join (encrypted, second);
  wrapped.encrypted_key_material = (flags & 4) != 0 ? encrypted : joined;
  wrapped.encrypted_private_key = (flags & 4) != 0 ? second : NULL;

  g_autoptr (GError) error = NULL;
  if (!cmk_wrapped_check (&wrapped, &error))
    return;
  CmkPrivateKey *key = wrapped.wrapping_spec == CMK_WRAPPING_KEY_EC_SM2 ? sm2_key : rsa_key;
  g_autoptr (CmkSecret) material = cmk_unwrap (key, &wrapped, &error);
  g_assert_true ((material == NULL) == (error != NULL));
  gsize expected = cmk_key_spec_material_bytes (wrapped.spec);
  g_assert_true (material == NULL || expected == 0 || cmk_secret_length (material) == expected);
  if (is_direct && (flags & 5) == 1 && wrapped.algorithm <= CMK_WRAPPING_SM2PKE && expected > 0)
    g_assert_true ((material != NULL) == (g_bytes_get_size (inner) == expected));
}

/* What OpenSSL has wrapped is intact, and what it does not unwrap is not. */
static void
check_key_wrap (FuzzInput *input)
{
  g_autoptr (CmkSecret) key = cmk_secret_new (32, NULL);
  gboolean is_wrapped = fuzz_take_choice (input, 2) == 1, is_intact = FALSE;
  g_autoptr (GBytes) bytes = fuzz_take_rest (input);
  gsize size = g_bytes_get_size (bytes);
  if (size == 0 || (!is_wrapped && (size < CMK_KEY_WRAP_MIN_SIZE || size % CMK_KEY_WRAP_UNIT != 0)))
    return;
  g_autoptr (GBytes) wrapped = is_wrapped ? wrap (bytes) : g_bytes_ref (bytes);
  g_autoptr (CmkSecret) plain = cmk_key_unwrap (EVP_aes_256_ecb (), key, g_bytes_get_data (wrapped, NULL),
                                                g_bytes_get_size (wrapped), &is_intact, NULL);
  g_assert_nonnull (plain);
  g_assert_true (is_intact || !is_wrapped);
  if (is_intact)
    {
      g_autoptr (GBytes) contents = g_bytes_new (cmk_secret_peek (plain), cmk_secret_length (plain));
      g_autoptr (GBytes) again = wrap (contents);
      g_assert_true (g_bytes_equal (again, wrapped));
    }
}

static void
check_sm2 (FuzzInput *input)
{
  gsize plaintext_size = 1 + fuzz_take_byte (input);
  g_autoptr (GBytes) bytes = fuzz_take_rest (input);
  gsize size = g_bytes_get_size (bytes);
  g_assert_cmpuint (cmk_sm2_ciphertext_size (fuzz_peek (bytes), size, plaintext_size), <=, size);
  if (size == 0)
    return;
  g_autoptr (GBytes) ciphertext = encrypt_sm2 (bytes);
  gsize taken = cmk_sm2_ciphertext_size (g_bytes_get_data (ciphertext, NULL), g_bytes_get_size (ciphertext), size);
  g_assert_cmpuint (taken, ==, g_bytes_get_size (ciphertext));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static void (*const checks[]) (FuzzInput *) = { check_unwrap, check_key_wrap, check_sm2 };
  FuzzInput input = { data, size };
  checks[fuzz_take_choice (&input, G_N_ELEMENTS (checks))](&input);
  return 0;
}
