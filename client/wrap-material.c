/* SPDX-License-Identifier: Apache-2.0 */
#include "wrap-material.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define SEQUENCE_TAG     0x30
#define SM2_SCALAR_BYTES 32

/* No symmetric key has more; what is longer and looks like a private key was meant to be one. */
#define MAX_RAW_BYTES 64

void
cmk_free_key (EVP_PKEY **key)
{
  EVP_PKEY_free (*key);
}

static void
free_bio (BIO **bio)
{
  BIO_free (*bio);
}

static void
free_encoder (OSSL_ENCODER_CTX **encoder)
{
  OSSL_ENCODER_CTX_free (*encoder);
}

static bool
is_pem (const CmkBuffer *data)
{
  static const char boundary[] = "-----BEGIN ";

  return memmem (data->data, data->size, boundary, sizeof boundary - 1) != NULL;
}

static bool
is_sequence (const CmkBuffer *data)
{
  return data->size > 0 && data->data[0] == SEQUENCE_TAG;
}

EVP_PKEY *
cmk_public_key_read (const CmkBuffer *data)
{
  const unsigned char *der = data->data;
  _cleanup_ (free_bio) BIO *bio = NULL;
  _cleanup_ (cmk_free_key) EVP_PKEY *key = NULL;
  EVP_PKEY *usable;

  if (is_sequence (data))
    key = d2i_PUBKEY (NULL, &der, (long) data->size);
  else if ((bio = BIO_new_mem_buf (data->data, (int) data->size)) != NULL)
    key = PEM_read_bio_PUBKEY (bio, NULL, NULL, NULL);

  if (key == NULL || !(EVP_PKEY_is_a (key, "RSA") || EVP_PKEY_is_a (key, "SM2")))
    return NULL;
  usable = key;
  key = NULL;
  return usable;
}

static EVP_PKEY *
read_private_key (const CmkBuffer *data, CmkAskPassphrase *ask, const char *file)
{
  _cleanup_ (free_bio) BIO *bio = BIO_new_mem_buf (data->data, (int) data->size);
  _cleanup_ (cmk_free_key) EVP_PKEY *key = NULL;
  const unsigned char *der = data->data;
  EVP_PKEY *whole;

  if (bio == NULL)
    return NULL;
  if (is_pem (data))
    return PEM_read_bio_PrivateKey (bio, NULL, ask, (void *) file);
  if (!is_sequence (data))
    return NULL;
  key = d2i_AutoPrivateKey (NULL, &der, (long) data->size);
  if (key == NULL)
    return d2i_PKCS8PrivateKey_bio (bio, NULL, ask, (void *) file);
  if (der != data->data + data->size)
    return NULL;
  whole = key;
  key = NULL;
  return whole;
}

static bool
find_kind (EVP_PKEY *key, CmkMaterialKind *ret_kind)
{
  static const char *const curves[] = { "prime256v1", "secp384r1", "secp256k1", "SM2" };
  char curve[32];

  if (EVP_PKEY_is_a (key, "RSA"))
    {
      *ret_kind = CMK_MATERIAL_RSA;
      return true;
    }
  if (EVP_PKEY_get_utf8_string_param (key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof curve, NULL) <= 0)
    return false;
  for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
    if (strcmp (curve, curves[i]) == 0)
      {
        *ret_kind = strcmp (curve, "SM2") == 0 ? CMK_MATERIAL_SM2 : CMK_MATERIAL_EC;
        return true;
      }
  return false;
}

static bool
encode_pkcs8 (EVP_PKEY *key, CmkBuffer *ret_der)
{
  _cleanup_ (free_encoder) OSSL_ENCODER_CTX *encoder =
      OSSL_ENCODER_CTX_new_for_pkey (key, EVP_PKEY_KEYPAIR, "DER", "PrivateKeyInfo", NULL);
  _cleanup_ (cmk_buffer_clear) CmkBuffer der = { 0 };
  unsigned char *end;
  size_t left = 0;

  if (encoder == NULL || !OSSL_ENCODER_to_data (encoder, NULL, &left))
    return false;
  der = cmk_buffer_new (left);
  der.size = left;
  end = der.data;
  if (!OSSL_ENCODER_to_data (encoder, &end, &left))
    return false;

  *ret_der = der;
  der = (CmkBuffer) { 0 };
  return true;
}

static CmkBuffer
copy (const CmkBuffer *data)
{
  CmkBuffer bytes = cmk_buffer_new (data->size);

  memcpy (bytes.data, data->data, data->size);
  bytes.size = data->size;
  return bytes;
}

const char *
cmk_material_read (const CmkBuffer *data, CmkAskPassphrase *ask, const char *file, CmkMaterial *ret_material)
{
  _cleanup_ (cmk_free_key) EVP_PKEY *key = read_private_key (data, ask, file);
  CmkMaterialKind kind;

  if (key == NULL && (is_pem (data) || (is_sequence (data) && data->size > MAX_RAW_BYTES)))
    return "no private key can be read from the key material: is it one, and the passphrase right?";
  if (key == NULL)
    {
      *ret_material = (CmkMaterial) { CMK_MATERIAL_RAW, copy (data) };
      return NULL;
    }

  if (!find_kind (key, &kind))
    return "the private key is none of RSA (rsaEncryption), P-256, P-384, secp256k1 and SM2";

  /* A curve that was written out as numbers goes under its name, the only form that is imported. */
  if (kind != CMK_MATERIAL_RSA)
    (void) EVP_PKEY_set_utf8_string_param (key, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_GROUP);
  if (!encode_pkcs8 (key, &ret_material->data))
    return "this libcrypto cannot encode the private key as PKCS#8";
  ret_material->kind = kind;
  return NULL;
}

static bool
copy_scalar (const CmkBuffer *pkcs8, CmkBuffer *ret_scalar)
{
  _cleanup_ (cmk_free_key) EVP_PKEY *key = read_private_key (pkcs8, NULL, NULL); /* never encrypted */
  BIGNUM *number = NULL;
  int size;

  if (key == NULL || EVP_PKEY_get_bn_param (key, OSSL_PKEY_PARAM_PRIV_KEY, &number) <= 0)
    return false;
  *ret_scalar = cmk_buffer_new (SM2_SCALAR_BYTES);
  size = BN_bn2binpad (number, ret_scalar->data, SM2_SCALAR_BYTES);
  BN_clear_free (number);
  ret_scalar->size = SM2_SCALAR_BYTES;
  return size == SM2_SCALAR_BYTES;
}

const char *
cmk_material_get_scalar (const CmkMaterial *material, CmkBuffer *ret_scalar)
{
  if (material->kind == CMK_MATERIAL_RAW && material->data.size == SM2_SCALAR_BYTES)
    {
      *ret_scalar = copy (&material->data);
      return NULL;
    }
  if (material->kind != CMK_MATERIAL_SM2)
    return "SM2PKE_SM4_ECB carries an SM2 private key only, or the 32 bytes of its secret number";
  return copy_scalar (&material->data, ret_scalar) ? NULL : "the SM2 private key has no secret number of 32 bytes";
}
