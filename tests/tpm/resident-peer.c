/* SPDX-License-Identifier: Apache-2.0 */
#include "resident-peer.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

gsize
peer_size (CmkResidentKind kind)
{
  static const gsize sizes[] = { 32, 48, 64, 256, 384, 32, 48 };
  return sizes[kind];
}

GChecksumType
peer_hash (CmkResidentKind kind)
{
  static const GChecksumType hashes[] = { G_CHECKSUM_SHA256, G_CHECKSUM_SHA384, G_CHECKSUM_SHA512 };
  g_assert_cmpint (kind, <, G_N_ELEMENTS (hashes));
  return hashes[kind];
}

static const char *
curve_of (CmkResidentKind kind)
{
  return kind == CMK_RESIDENT_EC_P256 ? "P-256" : "P-384";
}

static gboolean
is_rsa (CmkResidentKind kind)
{
  return kind == CMK_RESIDENT_RSA_2048 || kind == CMK_RESIDENT_RSA_3072;
}

static GBytes *
number_bytes (EVP_PKEY *key, const char *name, gsize size)
{
  BIGNUM *number = NULL;
  g_assert_cmpint (EVP_PKEY_get_bn_param (key, name, &number), ==, 1);
  guint8 *bytes = g_malloc (size);
  g_assert_cmpint (BN_bn2binpad (number, bytes, (int) size), ==, (int) size);
  BN_clear_free (number);
  return g_bytes_new_take (bytes, size);
}

static CmkSecret *
secret_number (EVP_PKEY *key, const char *name, gsize size)
{
  BIGNUM *number = BN_secure_new ();
  g_assert_cmpint (EVP_PKEY_get_bn_param (key, name, &number), ==, 1);
  CmkSecret *secret = cmk_secret_new (size, NULL);
  g_assert_cmpint (BN_bn2binpad (number, cmk_secret_data (secret), (int) size), ==, (int) size);
  BN_clear_free (number);
  return secret;
}

static void
make_rsa (PeerKey *peer, guint32 exponent)
{
  gsize size = peer_size (peer->public.kind);
  size_t bits = 8 * size;
  BIGNUM *e = BN_new ();
  g_assert_cmpint (BN_set_word (e, exponent), ==, 1);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name (NULL, "RSA", NULL);
  g_assert_cmpint (EVP_PKEY_keygen_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_keygen_bits (context, (int) bits), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set1_rsa_keygen_pubexp (context, e), ==, 1);
  g_assert_cmpint (EVP_PKEY_generate (context, &peer->key), ==, 1);
  EVP_PKEY_CTX_free (context);
  BN_free (e);
  peer->public.exponent = exponent;
  peer->public.modulus = number_bytes (peer->key, OSSL_PKEY_PARAM_RSA_N, size);
  peer->secret = secret_number (peer->key, OSSL_PKEY_PARAM_RSA_FACTOR1, size / 2);
}

static void
make_ec (PeerKey *peer)
{
  gsize size = peer_size (peer->public.kind);
  peer->key = EVP_EC_gen (curve_of (peer->public.kind));
  g_assert_nonnull (peer->key);
  peer->public.x = number_bytes (peer->key, OSSL_PKEY_PARAM_EC_PUB_X, size);
  peer->public.y = number_bytes (peer->key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
  peer->secret = secret_number (peer->key, OSSL_PKEY_PARAM_PRIV_KEY, size);
}

void
peer_key_make (PeerKey *peer, CmkResidentKind kind, guint32 exponent)
{
  *peer = (PeerKey) { .public.kind = kind };
  if (is_rsa (kind))
    make_rsa (peer, exponent);
  else if (kind == CMK_RESIDENT_EC_P256 || kind == CMK_RESIDENT_EC_P384)
    make_ec (peer);
  else
    {
      peer->secret = cmk_secret_new (peer_size (kind), NULL);
      for (gsize i = 0; i < peer_size (kind); i++)
        cmk_secret_data (peer->secret)[i] = (guint8) g_random_int ();
    }
}

void
peer_key_clear (PeerKey *peer)
{
  g_clear_pointer (&peer->key, EVP_PKEY_free);
  g_clear_pointer (&peer->secret, cmk_secret_free);
  cmk_resident_public_clear (&peer->public);
}

GBytes *
peer_wrap (const CmkSecret *key, const CmkSecret *sensitive, GBytes *name, G_GNUC_UNUSED GError **error)
{
  static const guint8 zero_iv[16];
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize digest_size = 32, size = cmk_secret_length (sensitive);
  g_autoptr (CmkSecret) plain = cmk_secret_new (2 + digest_size + size, NULL);
  g_checksum_update (checksum, cmk_secret_peek (sensitive), (gssize) size);
  g_checksum_update (checksum, g_bytes_get_data (name, NULL), (gssize) g_bytes_get_size (name));
  cmk_secret_data (plain)[1] = 32;
  g_checksum_get_digest (checksum, cmk_secret_data (plain) + 2, &digest_size);
  memcpy (cmk_secret_data (plain) + 34, cmk_secret_peek (sensitive), size);

  g_autofree guint8 *wrapped = g_malloc (34 + size);
  int wrapped_size = 0;
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  g_assert_cmpint (EVP_EncryptInit_ex (context, EVP_aes_128_cfb128 (), NULL, cmk_secret_peek (key), zero_iv), ==, 1);
  g_assert_cmpint (EVP_EncryptUpdate (context, wrapped, &wrapped_size, cmk_secret_peek (plain), (int) (34 + size)), ==,
                   1);
  EVP_CIPHER_CTX_free (context);
  g_assert_cmpint (wrapped_size, ==, (int) (34 + size));
  return g_bytes_new_take (g_steal_pointer (&wrapped), 34 + size);
}

static void
push_rsa (OSSL_PARAM_BLD *builder, const CmkResidentPublic *public, const BIGNUM *modulus)
{
  g_assert_cmpint (OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_N, modulus), ==, 1);
  g_assert_cmpint (OSSL_PARAM_BLD_push_uint (builder, OSSL_PKEY_PARAM_RSA_E, public->exponent), ==, 1);
}

static void
push_ec (OSSL_PARAM_BLD *builder, const CmkResidentPublic *public, const guint8 *point)
{
  g_assert_cmpint (OSSL_PARAM_BLD_push_utf8_string (builder, OSSL_PKEY_PARAM_GROUP_NAME, curve_of (public->kind), 0),
                   ==, 1);
  g_assert_cmpint (
      OSSL_PARAM_BLD_push_octet_string (builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * peer_size (public->kind)), ==,
      1);
}

/* What was pushed must live until the parameters are made. */
static EVP_PKEY *
public_key (const CmkResidentPublic *public)
{
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new ();
  guint8 point[1 + 2 * 48] = { 4 };
  gsize size = peer_size (public->kind);
  BIGNUM *modulus = NULL;
  if (is_rsa (public->kind))
    {
      modulus = BN_bin2bn (g_bytes_get_data (public->modulus, NULL), (int) size, NULL);
      push_rsa (builder, public, modulus);
    }
  else
    {
      memcpy (point + 1, g_bytes_get_data (public->x, NULL), size);
      memcpy (point + 1 + size, g_bytes_get_data (public->y, NULL), size);
      push_ec (builder, public, point);
    }
  OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param (builder);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name (NULL, is_rsa (public->kind) ? "RSA" : "EC", NULL);
  EVP_PKEY *key = NULL;
  g_assert_cmpint (EVP_PKEY_fromdata_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_fromdata (context, &key, EVP_PKEY_PUBLIC_KEY, parameters), ==, 1);
  EVP_PKEY_CTX_free (context);
  OSSL_PARAM_free (parameters);
  OSSL_PARAM_BLD_free (builder);
  BN_free (modulus);
  return key;
}

GBytes *
peer_rsa_public (const CmkResidentPublic *public, const guint8 *input, gsize size)
{
  EVP_PKEY *key = public_key (public);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new (key, NULL);
  g_autofree guint8 *output = g_malloc (size);
  size_t output_size = size;
  g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_padding (context, RSA_NO_PADDING), ==, 1);
  g_assert_cmpint (EVP_PKEY_encrypt (context, output, &output_size, input, size), ==, 1);
  EVP_PKEY_CTX_free (context);
  EVP_PKEY_free (key);
  return g_bytes_new_take (g_steal_pointer (&output), output_size);
}

gboolean
peer_verifies (const CmkResidentPublic *public, const guint8 *digest, gsize size, const guint8 *signature)
{
  ECDSA_SIG *numbers = ECDSA_SIG_new ();
  g_assert_cmpint (
      ECDSA_SIG_set0 (numbers, BN_bin2bn (signature, (int) size, NULL), BN_bin2bn (signature + size, (int) size, NULL)),
      ==, 1);
  guint8 *der = NULL;
  int der_size = i2d_ECDSA_SIG (numbers, &der);
  ECDSA_SIG_free (numbers);
  EVP_PKEY *key = public_key (public);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new (key, NULL);
  g_assert_cmpint (EVP_PKEY_verify_init (context), ==, 1);
  gboolean ok = EVP_PKEY_verify (context, der, (size_t) der_size, digest, size) == 1;
  EVP_PKEY_CTX_free (context);
  EVP_PKEY_free (key);
  OPENSSL_free (der);
  return ok;
}
