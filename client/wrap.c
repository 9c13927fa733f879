/* SPDX-License-Identifier: Apache-2.0 */
#include "wrap.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

typedef struct
{
  const char *name;
  int padding;
  const char *hash; /* of OAEP and its MGF1 */
} Algorithm;

static const Algorithm algorithms[] = {
  { "RSAES_PKCS1_V1_5", RSA_PKCS1_PADDING, NULL },
  { "RSAES_OAEP_SHA_1", RSA_PKCS1_OAEP_PADDING, "SHA1" },
  { "RSAES_OAEP_SHA_256", RSA_PKCS1_OAEP_PADDING, "SHA256" },
};

static const Algorithm *
find_algorithm (const char *name)
{
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
    if (strcmp (algorithms[i].name, name) == 0)
      return &algorithms[i];
  return NULL;
}

static void
free_key (EVP_PKEY **key)
{
  EVP_PKEY_free (*key);
}

static void
free_context (EVP_PKEY_CTX **context)
{
  EVP_PKEY_CTX_free (*context);
}

/* PEM says so in its first line; DER starts with the tag of a SEQUENCE. */
static EVP_PKEY *
read_key (const CmkBuffer *public_key)
{
  const unsigned char *der = public_key->data;
  EVP_PKEY *key = NULL;
  BIO *bio;

  if (public_key->size > 0 && *der == 0x30)
    return d2i_PUBKEY (NULL, &der, (long) public_key->size);

  bio = BIO_new_mem_buf (public_key->data, (int) public_key->size);
  if (bio != NULL)
    key = PEM_read_bio_PUBKEY (bio, NULL, NULL, NULL);
  BIO_free (bio);
  return key;
}

static bool
set_padding (EVP_PKEY_CTX *context, const Algorithm *algorithm)
{
  if (EVP_PKEY_encrypt_init (context) <= 0 || EVP_PKEY_CTX_set_rsa_padding (context, algorithm->padding) <= 0)
    return false;
  return algorithm->hash == NULL || (EVP_PKEY_CTX_set_rsa_oaep_md_name (context, algorithm->hash, NULL) > 0 &&
                                     EVP_PKEY_CTX_set_rsa_mgf1_md_name (context, algorithm->hash, NULL) > 0);
}

__attribute__ ((visibility ("default"))) const char *
cmk_wrap_material (const char *algorithm_name, const CmkBuffer *public_key, const CmkBuffer *material,
                   CmkBuffer *ret_wrapped)
{
  const Algorithm *algorithm = find_algorithm (algorithm_name);
  _cleanup_ (free_key) EVP_PKEY *key = NULL;
  _cleanup_ (free_context) EVP_PKEY_CTX *context = NULL;
  _cleanup_ (cmk_buffer_clear) CmkBuffer wrapped = { 0 };

  if (algorithm == NULL)
    return "the wrapping algorithm is none of RSAES_PKCS1_V1_5, RSAES_OAEP_SHA_1 and RSAES_OAEP_SHA_256";

  key = read_key (public_key);
  if (key == NULL || !EVP_PKEY_is_a (key, "RSA"))
    return "the public key is no RSA key as `cmkctl get-parameters` writes it, DER or PEM";

  context = EVP_PKEY_CTX_new_from_pkey (NULL, key, NULL);
  if (context == NULL || !set_padding (context, algorithm))
    return "this libcrypto cannot wrap by this algorithm: is a restricted provider configured in openssl.cnf?";

  wrapped = cmk_buffer_new ((size_t) EVP_PKEY_get_size (key));
  wrapped.size = wrapped.capacity;
  if (EVP_PKEY_encrypt (context, wrapped.data, &wrapped.size, material->data, material->size) <= 0)
    return "the material does not fit under this public key: is it the raw key, 32 bytes for AES_256, 16 for SM4?";

  *ret_wrapped = wrapped;
  wrapped = (CmkBuffer) { 0 };
  return NULL;
}
