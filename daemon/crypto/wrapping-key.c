/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/wrapping-key.h"

#include "base/error.h"
#include "crypto/openssl.h"
#include "crypto/unpad.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

struct _CmkWrappingKey
{
  EVP_PKEY *pair;
};

/* The encoding: bits of the modulus (32 bit, big-endian), then the numbers in this order, each as wide as
 * said here and in the machine's byte order, which is what OSSL_PARAM takes: they go in and out without a
 * copy between. */
#define BITS_SIZE     4
#define EXPONENT_SIZE 4

typedef enum
{
  WIDTH_EXPONENT,
  WIDTH_MODULUS,
  WIDTH_PRIME,
} Width;

static const struct
{
  const char *name;
  Width width;
} numbers[] = {
  { OSSL_PKEY_PARAM_RSA_N, WIDTH_MODULUS },       { OSSL_PKEY_PARAM_RSA_E, WIDTH_EXPONENT },
  { OSSL_PKEY_PARAM_RSA_D, WIDTH_MODULUS },       { OSSL_PKEY_PARAM_RSA_FACTOR1, WIDTH_PRIME },
  { OSSL_PKEY_PARAM_RSA_FACTOR2, WIDTH_PRIME },   { OSSL_PKEY_PARAM_RSA_EXPONENT1, WIDTH_PRIME },
  { OSSL_PKEY_PARAM_RSA_EXPONENT2, WIDTH_PRIME }, { OSSL_PKEY_PARAM_RSA_COEFFICIENT1, WIDTH_PRIME },
};

static gsize
number_size (Width width, guint bits)
{
  switch (width)
    {
    case WIDTH_EXPONENT:
      return EXPONENT_SIZE;
    case WIDTH_MODULUS:
      return bits / 8;
    default:
      return bits / 16;
    }
}

static gsize
encoded_size (guint bits)
{
  gsize size = BITS_SIZE;
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    size += number_size (numbers[i].width, bits);
  return size;
}

/* Point @ret_params at the numbers of @encoded, to be read or written there. */
static void
point_at_numbers (guint8 *encoded, guint bits, OSSL_PARAM ret_params[G_N_ELEMENTS (numbers) + 1])
{
  guint8 *next = encoded + BITS_SIZE;
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      gsize size = number_size (numbers[i].width, bits);
      ret_params[i] = OSSL_PARAM_construct_BN (numbers[i].name, next, size);
      next += size;
    }
  ret_params[G_N_ELEMENTS (numbers)] = OSSL_PARAM_construct_end ();
}

static CmkWrappingKey *
new_from_pair (EVP_PKEY *pair)
{
  CmkWrappingKey *key = g_new (CmkWrappingKey, 1);
  key->pair = pair;
  return key;
}

void
cmk_wrapping_key_free (CmkWrappingKey *key)
{
  if (key == NULL)
    return;
  EVP_PKEY_free (key->pair);
  g_free (key);
}

/* Called between the candidates for a prime; 0 ends the search. */
static int
go_on (EVP_PKEY_CTX *context)
{
  gint *cancelled = EVP_PKEY_CTX_get_app_data (context);
  return g_atomic_int_get (cancelled) == 0;
}

CmkWrappingKey *
cmk_wrapping_key_generate (CmkWrappingKeySpec spec, gint *cancelled, GError **error)
{
  guint bits = cmk_wrapping_key_spec_bits (spec);
  g_return_val_if_fail (bits > 0 && cancelled != NULL, NULL);
  EVP_PKEY *pair = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
  gboolean ready = context != NULL && EVP_PKEY_keygen_init (context) == 1 &&
                   EVP_PKEY_CTX_set_rsa_keygen_bits (context, (int) bits) == 1;
  if (!cmk_openssl_ok (ready, "cannot prepare to make an RSA key pair", error))
    return NULL;
  EVP_PKEY_CTX_set_app_data (context, cancelled);
  EVP_PKEY_CTX_set_cb (context, go_on);
  /* The exponent is 65537 unless told otherwise, and the private numbers are made on the secure heap. */
  if (!cmk_openssl_ok (EVP_PKEY_generate (context, &pair) == 1, "cannot make an RSA key pair", error))
    return NULL;
  return new_from_pair (pair);
}

GBytes *
cmk_wrapping_key_public_der (const CmkWrappingKey *key, GError **error)
{
  unsigned char *der = NULL;
  int size = i2d_PUBKEY (key->pair, &der);
  if (!cmk_openssl_ok (size > 0, "cannot encode a public key", error))
    return NULL;
  GBytes *bytes = g_bytes_new (der, (gsize) size);
  OPENSSL_free (der);
  return bytes;
}

CmkSecret *
cmk_wrapping_key_encode (const CmkWrappingKey *key, GError **error)
{
  guint bits = (guint) EVP_PKEY_get_bits (key->pair);
  g_autoptr (CmkSecret) encoded = cmk_secret_new (encoded_size (bits), error);
  if (encoded == NULL)
    return NULL;
  guint32 header = GUINT32_TO_BE (bits);
  memcpy (cmk_secret_data (encoded), &header, BITS_SIZE);
  OSSL_PARAM params[G_N_ELEMENTS (numbers) + 1];
  point_at_numbers (cmk_secret_data (encoded), bits, params);
  gboolean complete = EVP_PKEY_get_params (key->pair, params) == 1;
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    complete = complete && OSSL_PARAM_modified (&params[i]) == 1;
  if (!cmk_openssl_ok (complete, "cannot take the numbers out of an RSA key", error))
    return NULL;
  return g_steal_pointer (&encoded);
}

/* The bits that @encoded claims, if one of our keys could look like that; else 0. */
static guint
plausible_bits (const CmkSecret *encoded)
{
  guint32 header;
  if (cmk_secret_length (encoded) < BITS_SIZE)
    return 0;
  memcpy (&header, cmk_secret_peek (encoded), BITS_SIZE);
  guint bits = GUINT32_FROM_BE (header);
  for (const CmkSpecName *spec = cmk_wrapping_key_specs; spec->name != NULL; spec++)
    if (bits > 0 && cmk_wrapping_key_spec_bits ((CmkWrappingKeySpec) spec->value) == bits)
      return cmk_secret_length (encoded) == encoded_size (bits) ? bits : 0;
  return 0;
}

/* The pair whose numbers are in @encoded; NULL if there can be none. */
static EVP_PKEY *
load_pair (const CmkSecret *encoded, guint bits)
{
  EVP_PKEY *pair = NULL;
  OSSL_PARAM params[G_N_ELEMENTS (numbers) + 1];
  /* EVP_PKEY_fromdata() only reads; OSSL_PARAM has no type that says so. */
  point_at_numbers ((guint8 *) cmk_secret_peek (encoded), bits, params);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
  if (context == NULL || EVP_PKEY_fromdata_init (context) != 1 ||
      EVP_PKEY_fromdata (context, &pair, EVP_PKEY_KEYPAIR, params) != 1)
    return NULL;
  return pair;
}

CmkWrappingKey *
cmk_wrapping_key_decode (const CmkSecret *encoded, GError **error)
{
  guint bits = plausible_bits (encoded);
  g_autoptr (EVP_PKEY) pair = bits > 0 ? load_pair (encoded, bits) : NULL;
  gboolean fits = pair != NULL && (guint) EVP_PKEY_get_bits (pair) == bits;
  ERR_clear_error ();
  if (!fits)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                           "a stored wrapping key is not of the form it was written in; call GetParametersForImport "
                           "again and use the new public key and import token");
      return NULL;
    }
  return new_from_pair (g_steal_pointer (&pair));
}

/* RSADP with blinding and no padding. FALSE for a wrong length and for a number that is not below the
 * modulus; both are public, so that saying it early tells nobody anything. */
static gboolean
decrypt_raw (const CmkWrappingKey *key, GBytes *ciphertext, CmkSecret *block)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (ciphertext, &size);
  gsize block_size = cmk_secret_length (block);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, key->pair, NULL);
  return size == block_size && context != NULL && EVP_PKEY_decrypt_init (context) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding (context, RSA_NO_PADDING) == 1 &&
         EVP_PKEY_decrypt (context, cmk_secret_data (block), &block_size, data, size) == 1;
}

/* OpenSSL's own OAEP is not used: its provider leaves the raw block, which needs no key to be unmasked,
 * behind in freed memory. */
static gboolean
unpad (CmkWrappingAlgorithm algorithm, CmkSecret *block, CmkSecret *material)
{
  guint8 *data = cmk_secret_data (block);
  gsize size = cmk_secret_length (block);
  guint8 *message = cmk_secret_data (material);
  gsize message_size = cmk_secret_length (material);
  switch (algorithm)
    {
    case CMK_WRAPPING_RSAES_PKCS1_V1_5:
      return cmk_unpad_pkcs1 (data, size, message, message_size);
    case CMK_WRAPPING_RSAES_OAEP_SHA_1:
      return cmk_unpad_oaep (data, size, cmk_algorithms ()->sha1, message, message_size);
    case CMK_WRAPPING_RSAES_OAEP_SHA_256:
      return cmk_unpad_oaep (data, size, cmk_algorithms ()->sha256, message, message_size);
    default:
      g_return_val_if_reached (FALSE);
    }
}

static void
set_incorrect_material (CmkWrappingAlgorithm algorithm, gsize material_size, GError **error)
{
  const char *padding = algorithm == CMK_WRAPPING_RSAES_PKCS1_V1_5 ? "PKCS#1 v1.5 padding, no hash and no MGF1 hash"
                        : algorithm == CMK_WRAPPING_RSAES_OAEP_SHA_1
                            ? "OAEP hash SHA-1, MGF1 hash SHA-1, empty label"
                            : "OAEP hash SHA-256, MGF1 hash SHA-256, empty label";
  g_set_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL,
               "the encrypted key material does not hold exactly %" G_GSIZE_FORMAT " bytes (%" G_GSIZE_FORMAT
               " bits) encrypted by %s (%s) under the public key that came with this import token; encrypt the raw "
               "key bytes, not their hex or Base64 form, and try again",
               material_size, material_size * 8, cmk_spec_name (cmk_wrapping_algorithms, (int) algorithm), padding);
}

CmkSecret *
cmk_wrapping_key_unwrap (const CmkWrappingKey *key, CmkWrappingAlgorithm algorithm, GBytes *ciphertext,
                         gsize material_size, GError **error)
{
  g_autoptr (CmkSecret) block = cmk_secret_new ((gsize) EVP_PKEY_get_size (key->pair), error);
  if (block == NULL)
    return NULL;
  g_autoptr (CmkSecret) material = cmk_secret_new (material_size, error);
  if (material == NULL)
    return NULL;
  /* A number out of range leaves the block zero, and no padding fits that: from here on there is one path. */
  gboolean in_range = decrypt_raw (key, ciphertext, block);
  gboolean padded = unpad (algorithm, block, material);
  ERR_clear_error ();
  if ((in_range & padded) == 0)
    {
      set_incorrect_material (algorithm, material_size, error);
      return NULL;
    }
  return g_steal_pointer (&material);
}
