/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/wrapping-key.h"

#include "base/error.h"
#include "crypto/openssl.h"
#include "crypto/private-key.h"
#include "crypto/unpad.h"

#include <openssl/err.h>

/* A thin layer over the RSA specs of CmkPrivateKey. */
struct _CmkWrappingKey
{
  CmkPrivateKey *pair;
};

static CmkWrappingKey *
new_from_pair (CmkPrivateKey *pair)
{
  if (pair == NULL)
    return NULL;
  CmkWrappingKey *key = g_new (CmkWrappingKey, 1);
  key->pair = pair;
  return key;
}

void
cmk_wrapping_key_free (CmkWrappingKey *key)
{
  if (key == NULL)
    return;
  cmk_private_key_free (key->pair);
  g_free (key);
}

CmkWrappingKey *
cmk_wrapping_key_generate (CmkWrappingKeySpec spec, gint *cancelled, GError **error)
{
  return new_from_pair (cmk_private_key_generate (cmk_wrapping_key_spec_key (spec), cancelled, error));
}

GBytes *
cmk_wrapping_key_public_der (const CmkWrappingKey *key, GError **error)
{
  return cmk_private_key_public_der (key->pair, error);
}

CmkSecret *
cmk_wrapping_key_encode (const CmkWrappingKey *key, GError **error)
{
  return cmk_private_key_encode (key->pair, error);
}

CmkWrappingKey *
cmk_wrapping_key_decode (const CmkSecret *encoded, GError **error)
{
  /* n and d of whole width and five of half, and the exponent. */
  gsize bits = (cmk_secret_length (encoded) - 8) * 16 / 9;
  CmkKeySpec spec = bits == 4096 ? CMK_KEY_SPEC_RSA_4096 : bits == 3072 ? CMK_KEY_SPEC_RSA_3072 : CMK_KEY_SPEC_RSA_2048;
  return new_from_pair (cmk_private_key_decode (spec, encoded, error));
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
  g_autoptr (CmkSecret) block = cmk_secret_new (cmk_key_spec_rsa_bits (cmk_private_key_spec (key->pair)) / 8, error);
  if (block == NULL)
    return NULL;
  g_autoptr (CmkSecret) material = cmk_secret_new (material_size, error);
  if (material == NULL)
    return NULL;
  /* A number out of range leaves the block zero, and no padding fits that: from here on there is one path. */
  gsize size;
  const guint8 *data = g_bytes_get_data (ciphertext, &size);
  gboolean in_range = cmk_private_key_decrypt_raw (key->pair, data, size, block);
  gboolean padded = unpad (algorithm, block, material);
  ERR_clear_error ();
  if ((in_range & padded) == 0)
    {
      set_incorrect_material (algorithm, material_size, error);
      return NULL;
    }
  return g_steal_pointer (&material);
}
