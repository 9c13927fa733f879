/* SPDX-License-Identifier: Apache-2.0
 *
 * Encryption to a public key, with stock OpenSSL as the other party. The forms of an SM2 ciphertext are in test-sm2.c,
 * padding by hand in test-unpad.c. */
#include "key-fixture.h"

#include "crypto/asymmetric-cipher.h"

#include <openssl/rsa.h>

typedef struct
{
  CmkEncryptionAlgorithm algorithm;
  CmkKeySpec spec;
  const char *hash;
  gsize max_plaintext;
  const char *text; /* of the error */
} Case;

#define OAEP_TEXT(max, name, size)                                                                                     \
  "the ciphertext does not hold 1 to " max " bytes encrypted by " name " to this key (" size " bytes long; MGF1 hash " \
  "= OAEP hash, empty label); check that it was made for the public key that GetPublicKey gives, and that it is whole"

static const Case cases[] = {
  { CMK_ENCRYPTION_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, "SHA1", 214, OAEP_TEXT ("214", "RSAES_OAEP_SHA_1", "256") },
  { CMK_ENCRYPTION_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_RSA_2048, "SHA256", 190,
    OAEP_TEXT ("190", "RSAES_OAEP_SHA_256", "256") },
  { CMK_ENCRYPTION_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_RSA_3072, "SHA256", 318,
    OAEP_TEXT ("318", "RSAES_OAEP_SHA_256", "384") },
  { CMK_ENCRYPTION_SM2PKE, CMK_KEY_SPEC_EC_SM2, NULL, 6047,
    "the ciphertext does not hold 1 to 6047 bytes encrypted by SM2PKE to this key (SM3, order C1C3C2, raw with its "
    "leading byte 04 or ASN.1); check that it was made for the public key that GetPublicKey gives, and that it is "
    "whole" },
};

static CmkPrivateKey *keys[CMK_KEY_SPEC_EC_SM2 + 1];
static guint8 plain[6048];

static GBytes *
encrypt (const Case *c, const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) public_der = cmk_private_key_public_der (keys[c->spec], &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) plaintext = cmk_secret_new_copy (data, size, &error);
  g_assert_no_error (error);
  GBytes *ciphertext = cmk_asymmetric_encrypt (public_der, c->algorithm, plaintext, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return ciphertext;
}

static void
assert_decrypts (const Case *c, GBytes *ciphertext, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) plaintext = cmk_asymmetric_decrypt (keys[c->spec], c->algorithm, ciphertext, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (plaintext), cmk_secret_length (plaintext), plain, size);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

/* One error, one text, whatever the cause. */
static void
assert_invalid (const Case *c, GBytes *ciphertext)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_asymmetric_decrypt (keys[c->spec], c->algorithm, ciphertext, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INVALID_CIPHERTEXT);
  g_assert_cmpstr (error->message, ==, c->text);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

/* --- OpenSSL as the other party --- */

typedef struct
{
  int padding;
  const char *hash; /* NULL: that of the case */
  const char *mgf1_hash;
  const char *label;
} Choice;

static const Choice usual = { RSA_PKCS1_OAEP_PADDING, NULL, NULL, NULL };

static void
choose (EVP_PKEY_CTX *context, const Case *c, const Choice *choice)
{
  if (c->hash == NULL)
    return;
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_padding (context, choice->padding), ==, 1);
  if (choice->padding != RSA_PKCS1_OAEP_PADDING)
    return;
  const char *hash = choice->hash != NULL ? choice->hash : c->hash;
  const char *mgf1_hash = choice->mgf1_hash != NULL ? choice->mgf1_hash : hash;
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_oaep_md_name (context, hash, NULL), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_mgf1_md_name (context, mgf1_hash, NULL), ==, 1);
  /* The context takes the label over. */
  if (choice->label != NULL)
    g_assert_cmpint (
        EVP_PKEY_CTX_set0_rsa_oaep_label (context, OPENSSL_strdup (choice->label), (int) strlen (choice->label)), ==,
        1);
}

static GBytes *
openssl_encrypt (const Case *c, const Choice *choice, const guint8 *data, gsize size)
{
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, cmk_private_key_pair (keys[c->spec]), NULL);
  g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
  choose (context, c, choice);
  gsize ciphertext_size = size + 512;
  guint8 *ciphertext = g_malloc (ciphertext_size);
  g_assert_cmpint (EVP_PKEY_encrypt (context, ciphertext, &ciphertext_size, data, size), ==, 1);
  return g_bytes_new_take (ciphertext, ciphertext_size);
}

static void
assert_openssl_decrypts (const Case *c, GBytes *ciphertext, gsize size)
{
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, cmk_private_key_pair (keys[c->spec]), NULL);
  g_assert_cmpint (EVP_PKEY_decrypt_init (context), ==, 1);
  choose (context, c, &usual);
  guint8 plaintext[512];
  gsize plaintext_size = sizeof plaintext;
  g_assert_cmpint (EVP_PKEY_decrypt (context, plaintext, &plaintext_size, g_bytes_get_data (ciphertext, NULL),
                                     g_bytes_get_size (ciphertext)),
                   ==, 1);
  g_assert_cmpmem (plaintext, plaintext_size, plain, size);
}

static void
test_both_ways (gconstpointer data)
{
  const Case *c = data;
  const gsize sizes[] = { 1, 16, 32, c->max_plaintext - 1, c->max_plaintext };
  g_assert_cmpuint (cmk_encryption_algorithm_max_plaintext (c->algorithm, c->spec), ==, c->max_plaintext);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) ciphertext = encrypt (c, plain, sizes[i]);
      g_autoptr (GBytes) again = encrypt (c, plain, sizes[i]);
      g_assert_false (g_bytes_equal (ciphertext, again));
      assert_decrypts (c, ciphertext, sizes[i]);
      if (c->hash != NULL)
        assert_openssl_decrypts (c, ciphertext, sizes[i]);
      else
        g_assert_cmpuint (g_bytes_get_size (ciphertext), ==, 97 + sizes[i]);
      g_autoptr (GBytes) openssls = openssl_encrypt (c, &usual, plain, sizes[i]);
      assert_decrypts (c, openssls, sizes[i]);
    }
}

/* --- what is no ciphertext --- */

static void
test_damaged (gconstpointer data)
{
  const Case *c = data;
  static const guint8 zeros[6145];
  static const gsize zero_sizes[] = { 0, 1, 97, 98, 255, 256, 257, 384, 512, 6144, 6145 };
  g_autoptr (GBytes) ciphertext = encrypt (c, plain, 32);
  gsize size = g_bytes_get_size (ciphertext);
  g_autofree guint8 *copy = g_malloc0 (size + 1);
  memcpy (copy, g_bytes_get_data (ciphertext, NULL), size);
  for (guint i = 0; i < G_N_ELEMENTS (zero_sizes); i++)
    {
      g_autoptr (GBytes) none = g_bytes_new_static (zeros, zero_sizes[i]);
      assert_invalid (c, none);
    }
  g_autoptr (GBytes) shorter = g_bytes_new (copy, size - 1);
  assert_invalid (c, shorter);
  g_autoptr (GBytes) longer = g_bytes_new (copy, size + 1);
  assert_invalid (c, longer);
  for (gsize i = 0; i < size; i++)
    {
      copy[i] ^= (guint8) (1U << i % 8);
      g_autoptr (GBytes) turned = g_bytes_new (copy, size);
      assert_invalid (c, turned);
      copy[i] ^= (guint8) (1U << i % 8);
    }
  memset (copy, 0xff, size); /* not below the modulus, no point */
  g_autoptr (GBytes) great = g_bytes_new (copy, size);
  assert_invalid (c, great);
}

static void
test_other_choices (void)
{
  static const struct
  {
    guint of;
    Choice choice;
  } choices[] = {
    { 0, { RSA_PKCS1_PADDING, NULL, NULL, NULL } },          { 0, { RSA_PKCS1_OAEP_PADDING, "SHA256", NULL, NULL } },
    { 0, { RSA_PKCS1_OAEP_PADDING, NULL, "SHA256", NULL } }, { 0, { RSA_PKCS1_OAEP_PADDING, NULL, NULL, "label" } },
    { 1, { RSA_PKCS1_PADDING, NULL, NULL, NULL } },          { 1, { RSA_PKCS1_OAEP_PADDING, "SHA1", NULL, NULL } },
    { 1, { RSA_PKCS1_OAEP_PADDING, NULL, "SHA1", NULL } },   { 1, { RSA_PKCS1_OAEP_PADDING, NULL, NULL, "label" } },
  };
  for (guint i = 0; i < G_N_ELEMENTS (choices); i++)
    {
      g_autoptr (GBytes) ciphertext = openssl_encrypt (&cases[choices[i].of], &choices[i].choice, plain, 32);
      assert_invalid (&cases[choices[i].of], ciphertext);
    }
}

/* Nothing can be encrypted that AsymmetricEncrypt would not take. */
static void
test_empty (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (cases[i].hash != NULL)
      {
        g_autoptr (GBytes) ciphertext = openssl_encrypt (&cases[i], &usual, plain, 0);
        assert_invalid (&cases[i], ciphertext);
      }
}

static void
test_other_key (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) ciphertext = encrypt (&cases[i], plain, 32);
      g_autoptr (CmkPrivateKey) mine = keys[cases[i].spec];
      keys[cases[i].spec] = generate (cases[i].spec);
      assert_invalid (&cases[i], ciphertext);
      cmk_private_key_free (keys[cases[i].spec]);
      keys[cases[i].spec] = g_steal_pointer (&mine);
    }
}

static void
test_no_locked_memory (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) ciphertext = encrypt (&cases[i], plain, 32);
      g_autoptr (GPtrArray) others = g_ptr_array_new_with_free_func ((GDestroyNotify) cmk_secret_free);
      for (gsize size = 1 << 21; size > 0; size /= 2)
        for (CmkSecret *other; (other = cmk_secret_new (size, NULL)) != NULL;)
          g_ptr_array_add (others, other);
      g_assert_null (cmk_asymmetric_decrypt (keys[cases[i].spec], cases[i].algorithm, ciphertext, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_THROTTLED);
    }
}

static void
test_damaged_public_key (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkSecret) plaintext = cmk_secret_new (32, &error);
  g_autoptr (GBytes) none = g_bytes_new_static ("no key", 6);
  g_assert_null (cmk_asymmetric_encrypt (none, CMK_ENCRYPTION_SM2PKE, plaintext, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

static void
add_cases (const char *what, GTestDataFunc function)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/asymmetric-cipher/%s/%s-%s",
                                               cmk_spec_name (cmk_encryption_algorithms, (int) cases[i].algorithm),
                                               cmk_spec_name (cmk_key_specs, (int) cases[i].spec), what);
      g_test_add_data_func (path, &cases[i], function);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (keys[cases[i].spec] == NULL)
      keys[cases[i].spec] = generate (cases[i].spec);
  for (guint i = 0; i < sizeof plain; i++)
    plain[i] = (guint8) (i * 7 + 1);
  add_cases ("both-ways-with-openssl", test_both_ways);
  add_cases ("damaged-is-invalid", test_damaged);
  g_test_add_func ("/asymmetric-cipher/other-choices-are-invalid", test_other_choices);
  g_test_add_func ("/asymmetric-cipher/nothing-is-invalid", test_empty);
  g_test_add_func ("/asymmetric-cipher/other-key-is-invalid", test_other_key);
  g_test_add_func ("/asymmetric-cipher/no-locked-memory-is-no-fault-of-the-ciphertext", test_no_locked_memory);
  g_test_add_func ("/asymmetric-cipher/damaged-public-key-is-no-answer", test_damaged_public_key);
  int result = g_test_run ();
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    cmk_private_key_free (keys[i]);
  return result;
}
