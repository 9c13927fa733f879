/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoding is the numbers of the key one after the other, each as wide as its kind is for the spec and in the
 * machine's byte order, which is what OSSL_PARAM takes: they go in and out without a copy between, and loading them is
 * ten times cheaper than parsing DER. It never leaves the machine, whose TPM sealed it. */
#include "crypto/private-key.h"

#include "base/error.h"
#include "crypto/openssl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

struct _CmkPrivateKey
{
  CmkKeySpec spec;
  EVP_PKEY *pair;
};

/* What OpenSSL calls a spec. */
typedef struct
{
  CmkKeySpec spec;
  const char *type;
  const char *group;
  gsize scalar_size; /* and of a coordinate */
} Curve;

static const Curve curves[] = {
  { CMK_KEY_SPEC_EC_P256, "EC", "P-256", 32 },
  { CMK_KEY_SPEC_EC_P384, "EC", "P-384", 48 },
  { CMK_KEY_SPEC_EC_P256K, "EC", "secp256k1", 32 },
  { CMK_KEY_SPEC_EC_SM2, "SM2", "SM2", 32 },
};

#define EXPONENT_SIZE 8

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
} rsa_numbers[] = {
  { OSSL_PKEY_PARAM_RSA_N, WIDTH_MODULUS },       { OSSL_PKEY_PARAM_RSA_E, WIDTH_EXPONENT },
  { OSSL_PKEY_PARAM_RSA_D, WIDTH_MODULUS },       { OSSL_PKEY_PARAM_RSA_FACTOR1, WIDTH_PRIME },
  { OSSL_PKEY_PARAM_RSA_FACTOR2, WIDTH_PRIME },   { OSSL_PKEY_PARAM_RSA_EXPONENT1, WIDTH_PRIME },
  { OSSL_PKEY_PARAM_RSA_EXPONENT2, WIDTH_PRIME }, { OSSL_PKEY_PARAM_RSA_COEFFICIENT1, WIDTH_PRIME },
};

#define MAX_PARAMS (G_N_ELEMENTS (rsa_numbers) + 1)

static const Curve *
curve_of (CmkKeySpec spec)
{
  for (guint i = 0; i < G_N_ELEMENTS (curves); i++)
    if (curves[i].spec == spec)
      return &curves[i];
  return NULL;
}

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
encoded_size (CmkKeySpec spec)
{
  const Curve *curve = curve_of (spec);
  if (curve != NULL)
    return curve->scalar_size + 1 + 2 * curve->scalar_size;
  gsize size = 0;
  for (guint i = 0; i < G_N_ELEMENTS (rsa_numbers); i++)
    size += number_size (rsa_numbers[i].width, cmk_key_spec_rsa_bits (spec));
  return size;
}

/* Point @ret_params at the parts of @encoded, to be read or written there. */
static void
point_at_parts (CmkKeySpec spec, guint8 *encoded, OSSL_PARAM ret_params[MAX_PARAMS])
{
  const Curve *curve = curve_of (spec);
  OSSL_PARAM *next = ret_params;
  if (curve != NULL)
    {
      *next++ = OSSL_PARAM_construct_BN (OSSL_PKEY_PARAM_PRIV_KEY, encoded, curve->scalar_size);
      *next++ = OSSL_PARAM_construct_octet_string (OSSL_PKEY_PARAM_PUB_KEY, encoded + curve->scalar_size,
                                                   1 + 2 * curve->scalar_size);
    }
  for (guint i = 0; curve == NULL && i < G_N_ELEMENTS (rsa_numbers); i++)
    {
      gsize size = number_size (rsa_numbers[i].width, cmk_key_spec_rsa_bits (spec));
      *next++ = OSSL_PARAM_construct_BN (rsa_numbers[i].name, encoded, size);
      encoded += size;
    }
  *next = OSSL_PARAM_construct_end ();
}

static CmkPrivateKey *
new_from_pair (CmkKeySpec spec, EVP_PKEY *pair)
{
  CmkPrivateKey *key = g_new (CmkPrivateKey, 1);
  key->spec = spec;
  key->pair = pair;
  return key;
}

void
cmk_private_key_free (CmkPrivateKey *key)
{
  if (key == NULL)
    return;
  EVP_PKEY_free (key->pair);
  g_free (key);
}

CmkKeySpec
cmk_private_key_spec (const CmkPrivateKey *key)
{
  return key->spec;
}

EVP_PKEY *
cmk_private_key_pair (const CmkPrivateKey *key)
{
  return key->pair;
}

/* Called between the candidates for a prime; 0 ends the search. */
static int
go_on (EVP_PKEY_CTX *context)
{
  gint *cancelled = EVP_PKEY_CTX_get_app_data (context);
  return g_atomic_int_get (cancelled) == 0;
}

static EVP_PKEY_CTX *
new_context (CmkKeySpec spec)
{
  const Curve *curve = curve_of (spec);
  return EVP_PKEY_CTX_new_from_name (NULL, curve != NULL ? curve->type : "RSA", NULL);
}

CmkPrivateKey *
cmk_private_key_generate (CmkKeySpec spec, gint *cancelled, GError **error)
{
  const Curve *curve = curve_of (spec);
  guint bits = cmk_key_spec_rsa_bits (spec);
  g_return_val_if_fail (curve != NULL || (bits > 0 && cancelled != NULL), NULL);
  EVP_PKEY *pair = NULL;
  g_autoptr (EVP_PKEY_CTX) context = new_context (spec);
  gboolean ready = context != NULL && EVP_PKEY_keygen_init (context) == 1 &&
                   (curve != NULL ? EVP_PKEY_CTX_set_group_name (context, curve->group)
                                  : EVP_PKEY_CTX_set_rsa_keygen_bits (context, (int) bits)) == 1;
  if (!cmk_openssl_ok (ready, "cannot prepare to make a key pair", error))
    return NULL;
  if (cancelled != NULL)
    {
      EVP_PKEY_CTX_set_app_data (context, cancelled);
      EVP_PKEY_CTX_set_cb (context, go_on);
    }
  /* The exponent is 65537 unless told otherwise, and the private numbers are made on the secure heap. */
  if (!cmk_openssl_ok (EVP_PKEY_generate (context, &pair) == 1, "cannot make a key pair", error))
    return NULL;
  return new_from_pair (spec, pair);
}

GBytes *
cmk_private_key_public_der (const CmkPrivateKey *key, GError **error)
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
cmk_private_key_encode (const CmkPrivateKey *key, GError **error)
{
  g_autoptr (CmkSecret) encoded = cmk_secret_new (encoded_size (key->spec), error);
  if (encoded == NULL)
    return NULL;
  OSSL_PARAM params[MAX_PARAMS];
  point_at_parts (key->spec, cmk_secret_data (encoded), params);
  gboolean complete = EVP_PKEY_get_params (key->pair, params) == 1;
  for (const OSSL_PARAM *param = params; param->key != NULL; param++)
    complete = complete && OSSL_PARAM_modified (param) == 1;
  if (!cmk_openssl_ok (complete, "cannot take the numbers out of a private key", error))
    return NULL;
  return g_steal_pointer (&encoded);
}

/* The pair whose numbers are in @encoded; NULL if there can be none. */
static EVP_PKEY *
load_pair (CmkKeySpec spec, const CmkSecret *encoded)
{
  EVP_PKEY *pair = NULL;
  OSSL_PARAM params[MAX_PARAMS];
  const Curve *curve = curve_of (spec);
  /* EVP_PKEY_fromdata() only reads; OSSL_PARAM has no type that says so. */
  point_at_parts (spec, (guint8 *) cmk_secret_peek (encoded), params);
  if (curve != NULL)
    {
      params[2] = OSSL_PARAM_construct_utf8_string (OSSL_PKEY_PARAM_GROUP_NAME, (char *) curve->group, 0);
      params[3] = OSSL_PARAM_construct_end ();
    }
  g_autoptr (EVP_PKEY_CTX) context = new_context (spec);
  if (context == NULL || EVP_PKEY_fromdata_init (context) != 1 ||
      EVP_PKEY_fromdata (context, &pair, EVP_PKEY_KEYPAIR, params) != 1)
    return NULL;
  return pair;
}

CmkPrivateKey *
cmk_private_key_decode (CmkKeySpec spec, const CmkSecret *encoded, GError **error)
{
  g_return_val_if_fail (cmk_key_spec_is_asymmetric (spec), NULL);
  guint bits = cmk_key_spec_rsa_bits (spec);
  g_autoptr (EVP_PKEY) pair = cmk_secret_length (encoded) == encoded_size (spec) ? load_pair (spec, encoded) : NULL;
  gboolean fits = pair != NULL && (bits == 0 || (guint) EVP_PKEY_get_bits (pair) == bits);
  ERR_clear_error ();
  if (!fits)
    {
      g_set_error_literal (
          error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
          "a stored private key is not of the form it was written in; restore the state directory from "
          "a backup, or import the key material again");
      return NULL;
    }
  return new_from_pair (spec, g_steal_pointer (&pair));
}

gboolean
cmk_private_key_decrypt_raw (const CmkPrivateKey *key, const guint8 *data, gsize size, CmkSecret *block)
{
  gsize block_size = cmk_secret_length (block);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, key->pair, NULL);
  gboolean done = size == block_size && context != NULL && EVP_PKEY_decrypt_init (context) == 1 &&
                  EVP_PKEY_CTX_set_rsa_padding (context, RSA_NO_PADDING) == 1 &&
                  EVP_PKEY_decrypt (context, cmk_secret_data (block), &block_size, data, size) == 1;
  ERR_clear_error ();
  return done;
}
