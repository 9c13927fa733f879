/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/key-parts.h"

#include "base/error.h"
#include "crypto/rsa-numbers.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OSSL_PARAM, OSSL_PARAM_free)

void
cmk_key_parts_clear (CmkKeyParts *parts)
{
  g_clear_pointer (&parts->modulus, g_bytes_unref);
  g_clear_pointer (&parts->x, g_bytes_unref);
  g_clear_pointer (&parts->y, g_bytes_unref);
  g_clear_pointer (&parts->secret, cmk_secret_free);
}

/* --- numbers out of a key --- */

static GBytes *
take_public (const EVP_PKEY *pair, const char *name, gsize size, GError **error)
{
  g_autofree guint8 *data = g_malloc (size);
  BIGNUM *taken = NULL;
  gboolean done = EVP_PKEY_get_bn_param (pair, name, &taken) == 1 && BN_bn2binpad (taken, data, (int) size) >= 0;
  BN_free (taken);
  return cmk_openssl_ok (done, "cannot take a public number out of a key", error)
             ? g_bytes_new_take (g_steal_pointer (&data), size)
             : NULL;
}

static CmkSecret *
take_secret (const EVP_PKEY *pair, const char *name, gsize size, GError **error)
{
  g_autoptr (CmkSecret) secret = cmk_secret_new (size, error);
  if (secret == NULL)
    return NULL;
  g_autoptr (BIGNUM) number = BN_secure_new ();
  gboolean done = number != NULL && EVP_PKEY_get_bn_param (pair, name, &number) == 1 &&
                  BN_bn2binpad (number, cmk_secret_data (secret), (int) size) >= 0;
  return cmk_openssl_ok (done, "cannot take a number out of a private key", error) ? g_steal_pointer (&secret) : NULL;
}

static gboolean
take_exponent (const EVP_PKEY *pair, guint32 *ret_exponent, GError **error)
{
  BIGNUM *exponent = NULL;
  gboolean taken = EVP_PKEY_get_bn_param (pair, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1;
  gboolean fits = taken && BN_num_bits (exponent) <= 32;
  *ret_exponent = fits ? (guint32) BN_get_word (exponent) : 0;
  BN_free (exponent);
  if (!cmk_openssl_ok (taken, "cannot take the exponent out of an RSA key", error))
    return FALSE;
  if (!fits)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                         "the public exponent of the RSA key is longer than the 32 bits that a TPM has room for: keep "
                         "it in a key with ProtectionLevel SOFTWARE");
  return fits;
}

gboolean
cmk_private_key_take_apart (const CmkPrivateKey *key, CmkKeyParts *ret_parts, GError **error)
{
  CmkKeySpec spec = cmk_private_key_spec (key);
  EVP_PKEY *pair = cmk_private_key_pair (key);
  gsize modulus_size = cmk_key_spec_rsa_bits (spec) / 8;
  g_auto (CmkKeyParts) parts = { 0 };
  gboolean taken;
  if (modulus_size > 0)
    taken = (parts.modulus = take_public (pair, OSSL_PKEY_PARAM_RSA_N, modulus_size, error)) != NULL &&
            take_exponent (pair, &parts.exponent, error) &&
            (parts.secret = take_secret (pair, OSSL_PKEY_PARAM_RSA_FACTOR1, modulus_size / 2, error)) != NULL;
  else
    {
      gsize size = cmk_key_form (spec)->scalar_size;
      taken = (parts.x = take_public (pair, OSSL_PKEY_PARAM_EC_PUB_X, size, error)) != NULL &&
              (parts.y = take_public (pair, OSSL_PKEY_PARAM_EC_PUB_Y, size, error)) != NULL &&
              (parts.secret = take_secret (pair, OSSL_PKEY_PARAM_PRIV_KEY, size, error)) != NULL;
    }
  if (!taken)
    return FALSE;
  *ret_parts = parts;
  parts = (CmkKeyParts) { 0 };
  return TRUE;
}

/* --- a public key of numbers --- */

static BIGNUM *
new_number (GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  return BN_bin2bn (data, (int) size, NULL);
}

/* The numbers of @parts, which must outlive what @builder makes of them. */
static gboolean
push_rsa (OSSL_PARAM_BLD *builder, const CmkKeyParts *parts, BIGNUM **ret_modulus)
{
  *ret_modulus = new_number (parts->modulus);
  return *ret_modulus != NULL && OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_N, *ret_modulus) == 1 &&
         OSSL_PARAM_BLD_push_uint32 (builder, OSSL_PKEY_PARAM_RSA_E, parts->exponent) == 1;
}

static gboolean
push_point (OSSL_PARAM_BLD *builder, const CmkKeyForm *form, const CmkKeyParts *parts, GByteArray *point)
{
  static const guint8 uncompressed = POINT_CONVERSION_UNCOMPRESSED;
  GBytes *const coordinates[] = { parts->x, parts->y };
  g_byte_array_append (point, &uncompressed, 1);
  for (guint i = 0; i < G_N_ELEMENTS (coordinates); i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (coordinates[i], &size);
      g_byte_array_append (point, data, (guint) size);
    }
  return OSSL_PARAM_BLD_push_utf8_string (builder, OSSL_PKEY_PARAM_GROUP_NAME, OBJ_nid2sn (form->curve), 0) == 1 &&
         OSSL_PARAM_BLD_push_octet_string (builder, OSSL_PKEY_PARAM_PUB_KEY, point->data, point->len) == 1;
}

static EVP_PKEY *
load_public (const CmkKeyForm *form, const CmkKeyParts *parts)
{
  EVP_PKEY *public = NULL;
  g_autoptr (BIGNUM) modulus = NULL;
  g_autoptr (GByteArray) point = g_byte_array_new ();
  g_autoptr (OSSL_PARAM_BLD) builder = OSSL_PARAM_BLD_new ();
  if (builder == NULL ||
      !(form->curve == NID_undef ? push_rsa (builder, parts, &modulus) : push_point (builder, form, parts, point)))
    return NULL;
  g_autoptr (OSSL_PARAM) params = OSSL_PARAM_BLD_to_param (builder);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, form->type, NULL);
  return params != NULL && context != NULL && EVP_PKEY_fromdata_init (context) == 1 &&
                 EVP_PKEY_fromdata (context, &public, EVP_PKEY_PUBLIC_KEY, params) == 1
             ? public
             : NULL;
}

GBytes *
cmk_key_parts_public_der (CmkKeySpec spec, const CmkKeyParts *parts, GError **error)
{
  unsigned char *der = NULL;
  g_autoptr (EVP_PKEY) public = load_public (cmk_key_form (spec), parts);
  int size = public != NULL ? i2d_PUBKEY (public, &der) : 0;
  if (!cmk_openssl_ok (size > 0, "cannot encode the public key of the TPM", error))
    return NULL;
  GBytes *bytes = g_bytes_new (der, (gsize) size);
  OPENSSL_free (der);
  return bytes;
}
