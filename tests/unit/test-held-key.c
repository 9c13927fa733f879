/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys whose private half is elsewhere: in a chip that does the bare operation, and that may fail. */
#include "key-fixture.h"

#include "crypto/asymmetric-cipher.h"
#include "crypto/signature.h"
#include "crypto/unwrap.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ECDSA_SIG, ECDSA_SIG_free)

typedef struct
{
  CmkPrivateKey *key; /* what it has inside */
  guint n_calls;
  gboolean is_dead;
  gboolean is_faulty;
} Chip;

static gboolean
answer (Chip *chip, GError **error)
{
  chip->n_calls++;
  if (chip->is_dead)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT, "the chip is dead");
  return !chip->is_dead;
}

static gboolean
do_rsa (gpointer data, const guint8 *input, gsize size, guint8 *ret_output, GError **error)
{
  Chip *chip = data;
  if (!answer (chip, error))
    return FALSE;
  gboolean in_range;
  g_autoptr (CmkSecret) block = cmk_secret_new (size, error);
  g_assert_true (cmk_private_key_decrypt_raw (chip->key, input, size, block, &in_range, error));
  g_assert_true (in_range);
  memcpy (ret_output, cmk_secret_peek (block), size);
  ret_output[size / 2] ^= (guint8) chip->is_faulty;
  return TRUE;
}

static gboolean
do_ecdsa (gpointer data, const guint8 *digest, gsize size, guint8 *ret_signature, GError **error)
{
  Chip *chip = data;
  if (!answer (chip, error))
    return FALSE;
  CmkSigningAlgorithm algorithm = size == 32 ? CMK_SIGNING_ECDSA_SHA_256 : CMK_SIGNING_ECDSA_SHA_384;
  g_autoptr (GBytes) message = g_bytes_new (digest, size);
  g_autoptr (GBytes) der = cmk_signature_make (chip->key, algorithm, CMK_MESSAGE_DIGEST, message, error);
  const unsigned char *next = g_bytes_get_data (der, NULL);
  g_autoptr (ECDSA_SIG) signature = d2i_ECDSA_SIG (NULL, &next, (long) g_bytes_get_size (der));
  g_assert_cmpint (BN_bn2binpad (ECDSA_SIG_get0_r (signature), ret_signature, (int) size), ==, size);
  g_assert_cmpint (BN_bn2binpad (ECDSA_SIG_get0_s (signature), ret_signature + size, (int) size), ==, size);
  ret_signature[size / 2] ^= (guint8) chip->is_faulty;
  return TRUE;
}

static Chip chips[CMK_KEY_SPEC_EC_SM2 + 1];
static CmkPrivateKeyHolder holders[CMK_KEY_SPEC_EC_SM2 + 1];
static GBytes *publics[CMK_KEY_SPEC_EC_SM2 + 1];
static CmkPrivateKey *keys[CMK_KEY_SPEC_EC_SM2 + 1];

static const CmkKeySpec specs[] = { CMK_KEY_SPEC_RSA_2048, CMK_KEY_SPEC_RSA_3072, CMK_KEY_SPEC_EC_P256,
                                    CMK_KEY_SPEC_EC_P384 };

static void
make_chip (CmkKeySpec spec)
{
  g_autoptr (GError) error = NULL;
  chips[spec].key = generate (spec);
  holders[spec] = (CmkPrivateKeyHolder) { .rsa = do_rsa, .ecdsa = do_ecdsa, .data = &chips[spec] };
  publics[spec] = cmk_private_key_public_der (chips[spec].key, &error);
  keys[spec] = cmk_private_key_held (spec, publics[spec], &holders[spec], &error);
  g_assert_no_error (error);
}

/* --- the key --- */

static void
test_key (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (specs); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) public = cmk_private_key_public_der (keys[specs[i]], &error);
      g_assert_true (g_bytes_equal (public, publics[specs[i]]));
      g_assert_cmpint (cmk_private_key_spec (keys[specs[i]]), ==, specs[i]);
      for (guint j = 0; j < G_N_ELEMENTS (specs); j++)
        if (i != j)
          {
            g_assert_null (cmk_private_key_held (specs[j], public, &holders[specs[j]], &error));
            g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
            g_clear_error (&error);
          }
    }
}

/* --- signatures --- */

typedef struct
{
  CmkSigningAlgorithm algorithm;
  CmkKeySpec spec;
  const char *digest;
} Signing;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_MD, EVP_MD_free)

static const Signing signings[] = {
  { CMK_SIGNING_RSA_PSS_SHA_256, CMK_KEY_SPEC_RSA_2048, "SHA256" },
  { CMK_SIGNING_RSA_PSS_SHA_384, CMK_KEY_SPEC_RSA_2048, "SHA384" },
  { CMK_SIGNING_RSA_PSS_SHA_512, CMK_KEY_SPEC_RSA_2048, "SHA512" },
  { CMK_SIGNING_RSA_PSS_SHA_512, CMK_KEY_SPEC_RSA_3072, "SHA512" },
  { CMK_SIGNING_RSA_PKCS1_SHA_256, CMK_KEY_SPEC_RSA_2048, "SHA256" },
  { CMK_SIGNING_RSA_PKCS1_SHA_384, CMK_KEY_SPEC_RSA_2048, "SHA384" },
  { CMK_SIGNING_RSA_PKCS1_SHA_512, CMK_KEY_SPEC_RSA_2048, "SHA512" },
  { CMK_SIGNING_RSA_PKCS1_SHA_256, CMK_KEY_SPEC_RSA_3072, "SHA256" },
  { CMK_SIGNING_ECDSA_SHA_256, CMK_KEY_SPEC_EC_P256, "SHA256" },
  { CMK_SIGNING_ECDSA_SHA_384, CMK_KEY_SPEC_EC_P384, "SHA384" },
};

static GBytes *
sign (const CmkPrivateKey *key, const Signing *s, CmkMessageType type, GBytes *message)
{
  g_autoptr (GError) error = NULL;
  GBytes *signature = cmk_signature_make (key, s->algorithm, type, message, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return signature;
}

static void
assert_valid (const Signing *s, CmkMessageType type, GBytes *message, GBytes *signature)
{
  gboolean valid = FALSE;
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_signature_check (publics[s->spec], s->algorithm, type, message, signature, &valid, &error));
  g_assert_no_error (error);
  g_assert_true (valid);
}

/* ECDSA often enough that numbers begin with zeros. */
static void
test_signature (gconstpointer data)
{
  const Signing *s = data;
  guint n_messages = cmk_key_spec_rsa_bits (s->spec) > 0 ? 20 : 600;
  for (guint i = 0; i < n_messages; i++)
    {
      guint8 digest[EVP_MAX_MD_SIZE];
      g_autofree char *text = g_strdup_printf ("message %u", i);
      g_autoptr (GBytes) message = g_bytes_new (text, strlen (text));
      g_autoptr (EVP_MD) md = EVP_MD_fetch (NULL, s->digest, NULL);
      g_assert_cmpint (EVP_Digest (text, strlen (text), digest, NULL, md, NULL), ==, 1);
      g_autoptr (GBytes) digested = g_bytes_new (digest, cmk_signing_algorithm_digest_bytes (s->algorithm));
      guint n_calls = chips[s->spec].n_calls;
      g_autoptr (GBytes) of_message = sign (keys[s->spec], s, CMK_MESSAGE_RAW, message);
      g_autoptr (GBytes) of_digest = sign (keys[s->spec], s, CMK_MESSAGE_DIGEST, digested);
      g_assert_cmpuint (chips[s->spec].n_calls, ==, n_calls + 2);
      assert_valid (s, CMK_MESSAGE_RAW, message, of_message);
      assert_valid (s, CMK_MESSAGE_RAW, message, of_digest);
      assert_valid (s, CMK_MESSAGE_DIGEST, digested, of_message);
    }
}

/* It has no randomness: OpenSSL makes the same bytes. */
static void
test_pkcs1_is_openssls (void)
{
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  for (guint i = 0; i < G_N_ELEMENTS (signings); i++)
    if (signings[i].algorithm >= CMK_SIGNING_RSA_PKCS1_SHA_256 &&
        signings[i].algorithm <= CMK_SIGNING_RSA_PKCS1_SHA_512)
      {
        CmkKeySpec spec = signings[i].spec;
        g_autoptr (GBytes) held = sign (keys[spec], &signings[i], CMK_MESSAGE_RAW, message);
        g_autoptr (GBytes) here = sign (chips[spec].key, &signings[i], CMK_MESSAGE_RAW, message);
        g_assert_true (g_bytes_equal (held, here));
      }
}

static void
test_salts_differ (void)
{
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  g_autoptr (GBytes) one = sign (keys[signings[0].spec], &signings[0], CMK_MESSAGE_RAW, message);
  g_autoptr (GBytes) other = sign (keys[signings[0].spec], &signings[0], CMK_MESSAGE_RAW, message);
  g_assert_false (g_bytes_equal (one, other));
}

static void
test_wrong_signature_is_kept_back (void)
{
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  for (guint i = 0; i < G_N_ELEMENTS (signings); i++)
    {
      g_autoptr (GError) error = NULL;
      Chip *chip = &chips[signings[i].spec];
      chip->is_faulty = TRUE;
      g_assert_null (
          cmk_signature_make (keys[signings[i].spec], signings[i].algorithm, CMK_MESSAGE_RAW, message, &error));
      chip->is_faulty = FALSE;
      g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
      g_assert_cmpuint (ERR_peek_error (), ==, 0);
    }
}

/* --- decryption --- */

typedef enum
{
  BLOCK_GOOD,
  BLOCK_ZERO,
  BLOCK_MODULUS,
  BLOCK_OF_ONES,
  N_BLOCKS
} Block;

static GBytes *
encrypt (int padding, const char *hash, const char *text)
{
  const unsigned char *der = g_bytes_get_data (publics[CMK_KEY_SPEC_RSA_2048], NULL);
  g_autoptr (EVP_PKEY) public = d2i_PUBKEY (NULL, &der, (long) g_bytes_get_size (publics[CMK_KEY_SPEC_RSA_2048]));
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, public, NULL);
  gsize size = 256;
  guint8 *encrypted = g_malloc (size);
  g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_padding (context, padding), ==, 1);
  if (padding == RSA_PKCS1_OAEP_PADDING)
    g_assert_cmpint (EVP_PKEY_CTX_set_rsa_oaep_md_name (context, hash, NULL), ==, 1);
  g_assert_cmpint (EVP_PKEY_encrypt (context, encrypted, &size, (const guint8 *) text, strlen (text)), ==, 1);
  return g_bytes_new_take (encrypted, size);
}

static GBytes *
make_block (Block block, int padding, const char *hash, const char *text)
{
  if (block == BLOCK_GOOD)
    return encrypt (padding, hash, text);
  guint8 *data = g_malloc (256);
  memset (data, block == BLOCK_OF_ONES ? 0xff : 0, 256);
  if (block == BLOCK_MODULUS)
    {
      BIGNUM *modulus = NULL;
      g_assert_cmpint (
          EVP_PKEY_get_bn_param (cmk_private_key_pair (keys[CMK_KEY_SPEC_RSA_2048]), OSSL_PKEY_PARAM_RSA_N, &modulus),
          ==, 1);
      g_assert_cmpint (BN_bn2binpad (modulus, data, 256), ==, 256);
      BN_free (modulus);
    }
  return g_bytes_new_take (data, 256);
}

/* What it is decrypted to, or NULL with the text of the error in @ret_text. */
typedef CmkSecret *(*Open) (const CmkPrivateKey *key, int algorithm, GBytes *ciphertext, GError **error);

static CmkSecret *
open_message (const CmkPrivateKey *key, int algorithm, GBytes *ciphertext, GError **error)
{
  return cmk_asymmetric_decrypt (key, (CmkEncryptionAlgorithm) algorithm, ciphertext, error);
}

static CmkSecret *
open_wrapped (const CmkPrivateKey *key, int algorithm, GBytes *ciphertext, GError **error)
{
  const CmkWrapped wrapped = { .algorithm = (CmkWrappingAlgorithm) algorithm,
                               .wrapping_spec = CMK_WRAPPING_KEY_RSA_2048,
                               .spec = CMK_KEY_SPEC_SM4,
                               .encrypted_key_material = ciphertext };
  g_assert_true (cmk_wrapped_check (&wrapped, error));
  return cmk_unwrap (key, &wrapped, error);
}

typedef struct
{
  const char *name;
  Open open;
  int algorithm;
  int padding;
  const char *hash;
} Opening;

static const Opening openings[] = {
  { "decrypt/oaep-sha-1", open_message, CMK_ENCRYPTION_RSAES_OAEP_SHA_1, RSA_PKCS1_OAEP_PADDING, "SHA1" },
  { "decrypt/oaep-sha-256", open_message, CMK_ENCRYPTION_RSAES_OAEP_SHA_256, RSA_PKCS1_OAEP_PADDING, "SHA256" },
  { "unwrap/pkcs1", open_wrapped, CMK_WRAPPING_RSAES_PKCS1_V1_5, RSA_PKCS1_PADDING, NULL },
  { "unwrap/oaep-sha-1", open_wrapped, CMK_WRAPPING_RSAES_OAEP_SHA_1, RSA_PKCS1_OAEP_PADDING, "SHA1" },
  { "unwrap/oaep-sha-256", open_wrapped, CMK_WRAPPING_RSAES_OAEP_SHA_256, RSA_PKCS1_OAEP_PADDING, "SHA256" },
};

/* The same as with the key in this process, to the letter. */
static void
test_opening (gconstpointer data)
{
  const Opening *o = data;
  Chip *chip = &chips[CMK_KEY_SPEC_RSA_2048];
  for (Block block = 0; block < N_BLOCKS; block++)
    {
      g_autoptr (GError) held_error = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) ciphertext = make_block (block, o->padding, o->hash, "sixteen bytes...");
      guint n_calls = chip->n_calls;
      g_autoptr (CmkSecret) held = o->open (keys[CMK_KEY_SPEC_RSA_2048], o->algorithm, ciphertext, &held_error);
      g_assert_cmpuint (chip->n_calls - n_calls, ==, block == BLOCK_GOOD || block == BLOCK_ZERO);
      g_autoptr (CmkSecret) here = o->open (chip->key, o->algorithm, ciphertext, &error);
      g_assert_cmpint (held != NULL, ==, block == BLOCK_GOOD);
      g_assert_cmpint (here != NULL, ==, block == BLOCK_GOOD);
      g_assert_cmpuint (ERR_peek_error (), ==, 0);
      if (held != NULL)
        {
          g_assert_cmpmem (cmk_secret_peek (held), cmk_secret_length (held), "sixteen bytes...", 16);
          continue;
        }
      g_assert_cmpint (held_error->code, ==, error->code);
      g_assert_cmpstr (held_error->message, ==, error->message);
    }
}

static void
test_failure_is_the_holders (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (specs); i++)
    chips[specs[i]].is_dead = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (signings); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
      g_assert_null (
          cmk_signature_make (keys[signings[i].spec], signings[i].algorithm, CMK_MESSAGE_RAW, message, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT);
    }
  for (guint i = 0; i < G_N_ELEMENTS (openings); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) ciphertext = encrypt (openings[i].padding, openings[i].hash, "sixteen bytes...");
      g_assert_null (openings[i].open (keys[CMK_KEY_SPEC_RSA_2048], openings[i].algorithm, ciphertext, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_LOCKOUT);
    }
  for (guint i = 0; i < G_N_ELEMENTS (specs); i++)
    chips[specs[i]].is_dead = FALSE;
}

static void
add_cases (void)
{
  g_test_add_func ("/held-key/has-its-public-key-and-spec", test_key);
  for (guint i = 0; i < G_N_ELEMENTS (signings); i++)
    {
      g_autofree char *path =
          g_strdup_printf ("/held-key/signs/%s-%s", cmk_spec_name (cmk_signing_algorithms, (int) signings[i].algorithm),
                           cmk_spec_name (cmk_key_specs, (int) signings[i].spec));
      g_test_add_data_func (path, &signings[i], test_signature);
    }
  for (guint i = 0; i < G_N_ELEMENTS (openings); i++)
    {
      g_autofree char *path = g_strdup_printf ("/held-key/%s-as-any-other", openings[i].name);
      g_test_add_data_func (path, &openings[i], test_opening);
    }
  g_test_add_func ("/held-key/pkcs1-signature-is-openssls", test_pkcs1_is_openssls);
  g_test_add_func ("/held-key/salts-differ", test_salts_differ);
  g_test_add_func ("/held-key/wrong-signature-is-kept-back", test_wrong_signature_is_kept_back);
  g_test_add_func ("/held-key/failure-is-the-holders", test_failure_is_the_holders);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (specs); i++)
    make_chip (specs[i]);
  add_cases ();
  int result = g_test_run ();
  for (guint i = 0; i < G_N_ELEMENTS (specs); i++)
    {
      cmk_private_key_free (keys[specs[i]]);
      cmk_private_key_free (chips[specs[i]].key);
      g_bytes_unref (publics[specs[i]]);
    }
  return result;
}
