/* SPDX-License-Identifier: Apache-2.0
 *
 * What an importer does with a wrapping key: stock OpenSSL, with the public key alone. */
#pragma once

#include "crypto/private-key.h"

#include "wrapping-fixture.h"

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static inline EVP_PKEY *
new_public (const CmkPrivateKey *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) der = cmk_private_key_public_der (key, &error);
  g_assert_no_error (error);
  const unsigned char *data = g_bytes_get_data (der, NULL);
  EVP_PKEY *public = d2i_PUBKEY (NULL, &data, (long) g_bytes_get_size (der));
  g_assert_nonnull (public);
  return public;
}

/* What an importer chooses; RSA_NO_PADDING takes a whole block. */
typedef struct
{
  int padding;
  const EVP_MD *hash;
  const EVP_MD *mgf1_hash;
  const char *label;
} Scheme;

static inline Scheme
scheme_of (CmkWrappingAlgorithm algorithm)
{
  switch (algorithm)
    {
    case CMK_WRAPPING_RSAES_PKCS1_V1_5:
      return (Scheme) { RSA_PKCS1_PADDING, NULL, NULL, NULL };
    case CMK_WRAPPING_RSAES_OAEP_SHA_1:
    case CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1:
      return (Scheme) { RSA_PKCS1_OAEP_PADDING, EVP_sha1 (), EVP_sha1 (), NULL };
    default:
      return (Scheme) { RSA_PKCS1_OAEP_PADDING, EVP_sha256 (), EVP_sha256 (), NULL };
    }
}

static inline void
choose_padding (EVP_PKEY_CTX *context, const Scheme *scheme)
{
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_padding (context, scheme->padding), ==, 1);
  if (scheme->padding == RSA_PKCS1_OAEP_PADDING)
    {
      g_assert_cmpint (EVP_PKEY_CTX_set_rsa_oaep_md (context, scheme->hash), ==, 1);
      g_assert_cmpint (EVP_PKEY_CTX_set_rsa_mgf1_md (context, scheme->mgf1_hash), ==, 1);
    }
  if (scheme->label != NULL)
    {
      /* The context takes the label over. */
      char *label = OPENSSL_strdup (scheme->label);
      g_assert_cmpint (EVP_PKEY_CTX_set0_rsa_oaep_label (context, label, (int) strlen (label)), ==, 1);
    }
}

/* @scheme NULL: SM2, in ASN.1. */
static inline GBytes *
encrypt (const CmkPrivateKey *key, const Scheme *scheme, const void *data, gsize size)
{
  EVP_PKEY *public = new_public (key);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey (NULL, public, NULL);
  gsize encrypted_size;
  g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
  if (scheme != NULL)
    choose_padding (context, scheme);
  g_assert_cmpint (EVP_PKEY_encrypt (context, NULL, &encrypted_size, data, size), ==, 1);
  guint8 *encrypted = g_malloc (encrypted_size);
  g_assert_cmpint (EVP_PKEY_encrypt (context, encrypted, &encrypted_size, data, size), ==, 1);
  EVP_PKEY_CTX_free (context);
  EVP_PKEY_free (public);
  return g_bytes_new_take (encrypted, encrypted_size);
}

/* The ASN.1 form of SM2 made raw: 04 || X || Y, then C3 and C2 in the order of GB/T 32918.4, or in the older one. */
static inline GBytes *
sm2_raw (GBytes *der, gboolean c3_first)
{
  gsize size;
  const guint8 *next = g_bytes_get_data (der, &size);
  const guint8 *end = next + size;
  const guint8 *values[4];
  gsize sizes[4];
  long length;
  int tag, class;
  g_assert_cmpint (ASN1_get_object (&next, &length, &tag, &class, end - next), ==, V_ASN1_CONSTRUCTED);
  for (guint i = 0; i < 4; i++)
    {
      g_assert_cmpint (ASN1_get_object (&next, &length, &tag, &class, end - next), ==, 0);
      values[i] = next;
      sizes[i] = (gsize) length;
      next += length;
    }
  GByteArray *raw = g_byte_array_new ();
  g_byte_array_set_size (raw, 65);
  memset (raw->data, 0, 65);
  raw->data[0] = 0x04;
  for (guint i = 0; i < 2; i++)
    {
      gsize digits = MIN (sizes[i], 32);
      memcpy (raw->data + 1 + 32 * (i + 1) - digits, values[i] + sizes[i] - digits, digits);
    }
  guint first = c3_first ? 2 : 3;
  g_byte_array_append (raw, values[first], (guint) sizes[first]);
  g_byte_array_append (raw, values[5 - first], (guint) sizes[5 - first]);
  return g_byte_array_free_to_bytes (raw);
}
