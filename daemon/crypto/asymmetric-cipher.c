/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/asymmetric-cipher.h"

#include "base/error.h"
#include "crypto/key-form.h"
#include "crypto/sm2.h"
#include "crypto/unpad.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

static const EVP_MD *
oaep_hash (CmkEncryptionAlgorithm algorithm)
{
  return algorithm == CMK_ENCRYPTION_RSAES_OAEP_SHA_1 ? cmk_algorithms ()->sha1 : cmk_algorithms ()->sha256;
}

static GBytes *
encrypt_rsa (EVP_PKEY *public, const EVP_MD *hash, const CmkSecret *plaintext, GError **error)
{
  gsize size = (gsize) EVP_PKEY_get_size (public);
  g_autofree guint8 *ciphertext = g_malloc (size);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, public, NULL);
  gboolean encrypted =
      context != NULL && EVP_PKEY_encrypt_init (context) == 1 &&
      EVP_PKEY_CTX_set_rsa_padding (context, RSA_PKCS1_OAEP_PADDING) == 1 &&
      EVP_PKEY_CTX_set_rsa_oaep_md (context, hash) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md (context, hash) == 1 &&
      EVP_PKEY_encrypt (context, ciphertext, &size, cmk_secret_peek (plaintext), cmk_secret_length (plaintext)) == 1;
  if (!cmk_openssl_ok (encrypted, "cannot encrypt with RSAES-OAEP", error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&ciphertext), size);
}

GBytes *
cmk_asymmetric_encrypt (GBytes *public_der, CmkEncryptionAlgorithm algorithm, const CmkSecret *plaintext,
                        GError **error)
{
  g_autoptr (EVP_PKEY) public = cmk_public_key_load (public_der, error);
  if (public == NULL)
    return NULL;
  if (algorithm == CMK_ENCRYPTION_SM2PKE)
    return cmk_sm2_encrypt (public, plaintext, error);
  return encrypt_rsa (public, oaep_hash (algorithm), plaintext, error);
}

static void
set_invalid (CmkEncryptionAlgorithm algorithm, CmkKeySpec spec, GError **error)
{
  gsize limit = cmk_encryption_algorithm_max_plaintext (algorithm, spec);
  const char *name = cmk_spec_name (cmk_encryption_algorithms, (int) algorithm);
  if (algorithm == CMK_ENCRYPTION_SM2PKE)
    g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_CIPHERTEXT,
                 "the ciphertext does not hold 1 to %" G_GSIZE_FORMAT " bytes encrypted by %s to this key (SM3, order "
                 "C1C3C2, raw with its leading byte 04 or ASN.1); check that it was made for the public key that "
                 "GetPublicKey gives, and that it is whole",
                 limit, name);
  else
    g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_CIPHERTEXT,
                 "the ciphertext does not hold 1 to %" G_GSIZE_FORMAT
                 " bytes encrypted by %s to this key (%u bytes long; "
                 "MGF1 hash = OAEP hash, empty label); check that it was made for the public key that GetPublicKey "
                 "gives, and that it is whole",
                 limit, name, cmk_key_spec_rsa_bits (spec) / 8);
}

static CmkSecret *
decrypt_rsa (const CmkPrivateKey *key, CmkEncryptionAlgorithm algorithm, GBytes *ciphertext, GError **error)
{
  CmkKeySpec spec = cmk_private_key_spec (key);
  gsize block_size = cmk_key_spec_rsa_bits (spec) / 8;
  g_autoptr (CmkSecret) block = cmk_secret_new (block_size, error);
  if (block == NULL)
    return NULL;
  gsize size, offset;
  const guint8 *data = g_bytes_get_data (ciphertext, &size);
  /* A number out of range leaves the block zero, and no padding fits that: from here on there is one path. */
  gboolean in_range;
  if (!cmk_private_key_decrypt_raw (key, data, size, block, &in_range, error))
    return NULL;
  gboolean padded = cmk_unpad_oaep_any (cmk_secret_data (block), block_size, oaep_hash (algorithm), &offset);
  ERR_clear_error ();
  if ((in_range & padded) == 0)
    {
      set_invalid (algorithm, spec, error);
      return NULL;
    }
  memmove (cmk_secret_data (block), cmk_secret_peek (block) + offset, block_size - offset);
  cmk_secret_shorten (block, block_size - offset);
  return g_steal_pointer (&block);
}

CmkSecret *
cmk_asymmetric_decrypt (const CmkPrivateKey *key, CmkEncryptionAlgorithm algorithm, GBytes *ciphertext, GError **error)
{
  if (algorithm != CMK_ENCRYPTION_SM2PKE)
    return decrypt_rsa (key, algorithm, ciphertext, error);
  gsize size;
  const guint8 *data = g_bytes_get_data (ciphertext, &size);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkSecret) plaintext = cmk_sm2_decrypt (cmk_private_key_pair (key), data, size, &local_error);
  if (plaintext != NULL)
    return g_steal_pointer (&plaintext);
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL))
    set_invalid (algorithm, cmk_private_key_spec (key), error);
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}
