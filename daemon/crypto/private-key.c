/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoding is the numbers of the key one after the other, each as wide as its kind is for the spec and in the
 * machine's byte order, which is what OSSL_PARAM takes. It never leaves the machine, whose TPM sealed it. Of RSA it
 * holds those from which the rest is made in microseconds, a third of them all: the kernel's quota for keys is
 * small. */
#include "crypto/private-key.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/key-form.h"
#include "crypto/rsa-numbers.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EC_GROUP, EC_GROUP_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EC_POINT, EC_POINT_clear_free)

struct _CmkPrivateKey
{
  CmkKeySpec spec;
  EVP_PKEY *pair;                    /* of a held key the public half */
  const CmkPrivateKeyHolder *holder; /* NULL: the private half is in @pair */
};

#define EXPONENT_SIZE 8

typedef enum
{
  WIDTH_EXPONENT,
  WIDTH_MODULUS,
  WIDTH_PRIME,
} Width;

/* In the order of CmkRsaNumber. */
static const struct
{
  const char *name;
  Width width;
  gboolean is_encoded;
} rsa_numbers[CMK_RSA_N_NUMBERS] = {
  { OSSL_PKEY_PARAM_RSA_N, WIDTH_MODULUS, FALSE },       { OSSL_PKEY_PARAM_RSA_E, WIDTH_EXPONENT, TRUE },
  { OSSL_PKEY_PARAM_RSA_D, WIDTH_MODULUS, FALSE },       { OSSL_PKEY_PARAM_RSA_FACTOR1, WIDTH_PRIME, TRUE },
  { OSSL_PKEY_PARAM_RSA_FACTOR2, WIDTH_PRIME, TRUE },    { OSSL_PKEY_PARAM_RSA_EXPONENT1, WIDTH_PRIME, FALSE },
  { OSSL_PKEY_PARAM_RSA_EXPONENT2, WIDTH_PRIME, FALSE }, { OSSL_PKEY_PARAM_RSA_COEFFICIENT1, WIDTH_PRIME, TRUE },
};

#define MAX_PARAMS (CMK_RSA_N_NUMBERS + 1)
#define EC_N_PARTS 2

/* Which numbers of an RSA key. */
typedef enum
{
  NUMBERS_ENCODED,
  NUMBERS_ALL,
} Numbers;

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
rsa_size (CmkKeySpec spec, Numbers which)
{
  gsize size = 0;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    if (which == NUMBERS_ALL || rsa_numbers[i].is_encoded)
      size += number_size (rsa_numbers[i].width, cmk_key_spec_rsa_bits (spec));
  return size;
}

static gsize
encoded_size (CmkKeySpec spec)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  return form->curve != NID_undef ? form->scalar_size + 1 + 2 * form->scalar_size : rsa_size (spec, NUMBERS_ENCODED);
}

/* Point @ret_params at the numbers in @bytes, to be read or written there. */
static void
point_at_rsa (CmkKeySpec spec, Numbers which, guint8 *bytes, OSSL_PARAM ret_params[MAX_PARAMS])
{
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    {
      if (which != NUMBERS_ALL && !rsa_numbers[i].is_encoded)
        continue;
      gsize size = number_size (rsa_numbers[i].width, cmk_key_spec_rsa_bits (spec));
      *ret_params++ = OSSL_PARAM_construct_BN (rsa_numbers[i].name, bytes, size);
      bytes += size;
    }
  *ret_params = OSSL_PARAM_construct_end ();
}

/* The same for the parts of @encoded. */
static void
point_at_parts (CmkKeySpec spec, guint8 *encoded, OSSL_PARAM ret_params[MAX_PARAMS])
{
  const CmkKeyForm *form = cmk_key_form (spec);
  if (form->curve == NID_undef)
    {
      point_at_rsa (spec, NUMBERS_ENCODED, encoded, ret_params);
      return;
    }
  ret_params[0] = OSSL_PARAM_construct_BN (OSSL_PKEY_PARAM_PRIV_KEY, encoded, form->scalar_size);
  ret_params[1] = OSSL_PARAM_construct_octet_string (OSSL_PKEY_PARAM_PUB_KEY, encoded + form->scalar_size,
                                                     1 + 2 * form->scalar_size);
  ret_params[EC_N_PARTS] = OSSL_PARAM_construct_end ();
}

static CmkPrivateKey *
new_from_pair (CmkKeySpec spec, EVP_PKEY *pair)
{
  CmkPrivateKey *key = g_new0 (CmkPrivateKey, 1);
  key->spec = spec;
  key->pair = pair;
  return key;
}

CmkPrivateKey *
cmk_private_key_held (CmkKeySpec spec, GBytes *public_der, const CmkPrivateKeyHolder *holder, GError **error)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  guint bits = cmk_key_spec_rsa_bits (spec);
  g_autoptr (EVP_PKEY) public = cmk_public_key_load (public_der, error);
  if (public == NULL)
    return NULL;
  if (EVP_PKEY_is_a (public, form->type) != 1 ||
      (guint) EVP_PKEY_get_bits (public) != (bits > 0 ? bits : (guint) form->scalar_size * 8))
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                           "a stored public key is not of the spec that its key has; restore the state directory from "
                           "a backup, or import the key material again");
      return NULL;
    }
  CmkPrivateKey *key = new_from_pair (spec, g_steal_pointer (&public));
  key->holder = holder;
  return key;
}

const CmkPrivateKeyHolder *
cmk_private_key_holder (const CmkPrivateKey *key)
{
  return key->holder;
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
  g_return_val_if_fail (key->holder == NULL, NULL);
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

static CmkPrivateKey *
load (CmkKeySpec spec, OSSL_PARAM params[], GError **error)
{
  EVP_PKEY *pair = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, cmk_key_form (spec)->type, NULL);
  gboolean loaded = context != NULL && EVP_PKEY_fromdata_init (context) == 1 &&
                    EVP_PKEY_fromdata (context, &pair, EVP_PKEY_KEYPAIR, params) == 1;
  return cmk_openssl_ok (loaded, "cannot load a private key", error) ? new_from_pair (spec, pair) : NULL;
}

static CmkPrivateKey *
load_ec (CmkKeySpec spec, const CmkSecret *encoded, GError **error)
{
  OSSL_PARAM params[MAX_PARAMS];
  /* EVP_PKEY_fromdata() only reads; OSSL_PARAM has no type that says so. */
  point_at_parts (spec, (guint8 *) cmk_secret_peek (encoded), params);
  params[EC_N_PARTS] = OSSL_PARAM_construct_utf8_string (OSSL_PKEY_PARAM_GROUP_NAME,
                                                         (char *) OBJ_nid2sn (cmk_key_form (spec)->curve), 0);
  params[EC_N_PARTS + 1] = OSSL_PARAM_construct_end ();
  return load (spec, params, error);
}

/* The key of the e, p, q and qinv in @numbers. */
static CmkPrivateKey *
load_rsa_numbers (CmkKeySpec spec, CmkRsaNumbers *numbers, GError **error)
{
  g_autoptr (CmkSecret) all = cmk_secret_new (rsa_size (spec, NUMBERS_ALL), error);
  if (all == NULL || !cmk_rsa_numbers_derive (numbers, error))
    return NULL;
  OSSL_PARAM params[MAX_PARAMS];
  point_at_rsa (spec, NUMBERS_ALL, cmk_secret_data (all), params);
  gboolean written = TRUE;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    written = written && OSSL_PARAM_set_BN (&params[i], numbers->values[i]) == 1;
  return cmk_openssl_ok (written, "cannot lay out an RSA key", error) ? load (spec, params, error) : NULL;
}

static CmkPrivateKey *
load_rsa (CmkKeySpec spec, const CmkSecret *encoded, GError **error)
{
  g_autoptr (CmkRsaNumbers) numbers = cmk_rsa_numbers_new (error);
  if (numbers == NULL)
    return NULL;
  OSSL_PARAM params[MAX_PARAMS];
  point_at_parts (spec, (guint8 *) cmk_secret_peek (encoded), params);
  const OSSL_PARAM *next = params;
  gboolean read = TRUE;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    if (rsa_numbers[i].is_encoded)
      read = read && OSSL_PARAM_get_BN (next++, &numbers->values[i]) == 1;
  return cmk_openssl_ok (read, "cannot read an RSA key", error) ? load_rsa_numbers (spec, numbers, error) : NULL;
}

CmkPrivateKey *
cmk_private_key_decode (CmkKeySpec spec, const CmkSecret *encoded, GError **error)
{
  g_return_val_if_fail (cmk_key_spec_is_asymmetric (spec), NULL);
  guint bits = cmk_key_spec_rsa_bits (spec);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkPrivateKey) key = NULL;
  if (cmk_secret_length (encoded) == encoded_size (spec))
    key = bits > 0 ? load_rsa (spec, encoded, &local_error) : load_ec (spec, encoded, &local_error);
  if (key != NULL && (bits == 0 || (guint) EVP_PKEY_get_bits (key->pair) == bits))
    return g_steal_pointer (&key);
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_THROTTLED))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                       "a stored private key is not of the form it was written in; restore the state directory from "
                       "a backup, or import the key material again");
  return NULL;
}

static gboolean
decrypt_here (const CmkPrivateKey *key, const guint8 *data, gsize size, CmkSecret *block)
{
  gsize block_size = cmk_secret_length (block);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, key->pair, NULL);
  gboolean done = size == block_size && context != NULL && EVP_PKEY_decrypt_init (context) == 1 &&
                  EVP_PKEY_CTX_set_rsa_padding (context, RSA_NO_PADDING) == 1 &&
                  EVP_PKEY_decrypt (context, cmk_secret_data (block), &block_size, data, size) == 1;
  ERR_clear_error ();
  return done;
}

static gboolean
is_below_modulus (const CmkPrivateKey *key, const guint8 *data, gsize size)
{
  BIGNUM *modulus = NULL;
  BIGNUM *number = BN_bin2bn (data, (int) size, NULL);
  gboolean below = number != NULL && EVP_PKEY_get_bn_param (key->pair, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1 &&
                   BN_cmp (number, modulus) < 0;
  BN_free (modulus);
  BN_free (number);
  ERR_clear_error ();
  return below;
}

gboolean
cmk_private_key_decrypt_raw (const CmkPrivateKey *key, const guint8 *data, gsize size, CmkSecret *block,
                             gboolean *ret_in_range, GError **error)
{
  if (key->holder == NULL)
    {
      *ret_in_range = decrypt_here (key, data, size, block);
      return TRUE;
    }
  /* The holder would refuse what is out of range by an error of its own. */
  *ret_in_range = size == cmk_secret_length (block) && is_below_modulus (key, data, size);
  return !*ret_in_range || key->holder->rsa (key->holder->data, data, size, cmk_secret_data (block), error);
}

static void
set_unsound (const char *what, GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL, what);
}

/* The key of the e, p and q in @numbers. */
static CmkPrivateKey *
new_rsa (CmkKeySpec spec, CmkRsaNumbers *numbers, GError **error)
{
  return cmk_rsa_numbers_normalise (numbers, error) ? load_rsa_numbers (spec, numbers, error) : NULL;
}

/* In [1, n - 1], of SM2 in [1, n - 2]: its signatures take 1/(1 + scalar). FALSE for want of memory only. */
static gboolean
check_scalar (const CmkKeyForm *form, const EC_GROUP *group, const BIGNUM *scalar, gboolean *ret_sound)
{
  g_autoptr (BIGNUM) end = BN_dup (EC_GROUP_get0_order (group));
  if (end == NULL || BN_sub_word (end, form->curve == NID_sm2 ? 1 : 0) != 1)
    return FALSE;
  *ret_sound = !BN_is_zero (scalar) && BN_cmp (scalar, end) < 0;
  return TRUE;
}

/* @public, if there is one, is the point that belongs to @scalar. FALSE for want of memory only. */
static gboolean
derive_point (const EC_GROUP *group, const BIGNUM *scalar, CmkPart public, EC_POINT *ret_point, gboolean *ret_sound)
{
  g_autoptr (BN_CTX) context = BN_CTX_secure_new ();
  g_autoptr (EC_POINT) given = EC_POINT_new (group);
  if (context == NULL || given == NULL || EC_POINT_mul (group, ret_point, scalar, NULL, NULL, context) != 1)
    return FALSE;
  if (public.size == 0)
    *ret_sound = TRUE;
  else if (*(const guint8 *) public.data > POINT_CONVERSION_UNCOMPRESSED) /* the hybrid form (RFC 5480) */
    *ret_sound = FALSE;
  else
    *ret_sound = EC_POINT_oct2point (group, given, public.data, public.size, context) == 1 && /* on the curve */
                 EC_POINT_cmp (group, ret_point, given, context) == 0;
  return TRUE;
}

static CmkPrivateKey *
new_ec (CmkKeySpec spec, CmkPart scalar_bytes, CmkPart public, GError **error)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  g_autoptr (CmkSecret) encoded = cmk_secret_new (encoded_size (spec), error);
  if (encoded == NULL)
    return NULL;
  OSSL_PARAM params[MAX_PARAMS];
  point_at_parts (spec, cmk_secret_data (encoded), params);
  gboolean sound = FALSE;
  g_autoptr (EC_GROUP) group = EC_GROUP_new_by_curve_name (form->curve);
  g_autoptr (EC_POINT) point = group != NULL ? EC_POINT_new (group) : NULL;
  g_autoptr (BIGNUM) scalar = BN_secure_new ();
  gboolean done =
      point != NULL && scalar != NULL && BN_bin2bn (scalar_bytes.data, (int) scalar_bytes.size, scalar) != NULL &&
      check_scalar (form, group, scalar, &sound) && (!sound || derive_point (group, scalar, public, point, &sound));
  if (done && !sound)
    {
      ERR_clear_error ();
      set_unsound ("the scalar of the private key is not one of its curve, or not that of its public key", error);
      return NULL;
    }
  done = done && OSSL_PARAM_set_BN (&params[0], scalar) == 1 &&
         EC_POINT_point2oct (group, point, POINT_CONVERSION_UNCOMPRESSED, params[1].data, params[1].data_size, NULL) ==
             params[1].data_size;
  if (!cmk_openssl_ok (done, "cannot encode an elliptic curve key", error))
    return NULL;
  return load_ec (spec, encoded, error);
}

CmkPrivateKey *
cmk_private_key_from_scalar (CmkKeySpec spec, const CmkSecret *scalar, GError **error)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  g_return_val_if_fail (form->curve != NID_undef, NULL);
  if (cmk_secret_length (scalar) != form->scalar_size)
    {
      set_unsound ("the scalar of the private key is not as long as the order of the curve", error);
      return NULL;
    }
  return new_ec (spec, (CmkPart) { cmk_secret_peek (scalar), cmk_secret_length (scalar) }, (CmkPart) { NULL, 0 },
                 error);
}

/* A number modulo n that no importer could choose comes back from the public and the private operation. The latter
 * works modulo both factors, so this is Fermat's test of each. Miller and Rabin's with the rounds that the size asks
 * for would take seconds of the thread that serves everybody, and material is not judged for weakness. */
static gboolean
check_round_trip (const CmkPrivateKey *key, GError **error)
{
  gsize size = cmk_key_spec_rsa_bits (key->spec) / 8;
  g_autofree guint8 *number = g_malloc (size);
  g_autofree guint8 *encrypted = g_malloc (size);
  g_autoptr (CmkSecret) decrypted = cmk_secret_new (size, error);
  if (decrypted == NULL || !cmk_random_bytes (number, size, error))
    return FALSE;
  number[0] = 0; /* the first bit of the modulus is set */
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, key->pair, NULL);
  gboolean sound = context != NULL && EVP_PKEY_encrypt_init (context) == 1 &&
                   EVP_PKEY_CTX_set_rsa_padding (context, RSA_NO_PADDING) == 1 &&
                   EVP_PKEY_encrypt (context, encrypted, &size, number, size) == 1 &&
                   decrypt_here (key, encrypted, size, decrypted) &&
                   CRYPTO_memcmp (number, cmk_secret_peek (decrypted), size) == 0;
  ERR_clear_error ();
  if (!sound)
    set_unsound ("the RSA private key does not undo what its public key does", error);
  return sound;
}

static CmkPrivateKey *
parse_rsa (CmkKeySpec spec, const CmkSecret *der, GError **error)
{
  CmkPart parts[CMK_RSA_N_NUMBERS];
  guint bits = cmk_key_spec_rsa_bits (spec);
  if (!cmk_pkcs8_read_rsa (der, parts))
    {
      set_unsound ("not a PKCS#8 private key of rsaEncryption", error);
      return NULL;
    }
  g_autoptr (CmkRsaNumbers) numbers = cmk_rsa_numbers_new (error);
  if (numbers == NULL)
    return NULL;
  gboolean read = TRUE;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    read = read && BN_bin2bn (parts[i].data, (int) parts[i].size, numbers->values[i]) != NULL;
  if (!cmk_openssl_ok (read, "cannot read an RSA key", error) || !cmk_rsa_numbers_check (numbers, bits, error))
    return NULL;
  g_autoptr (CmkPrivateKey) key = new_rsa (spec, numbers, error);
  return key != NULL && check_round_trip (key, error) ? g_steal_pointer (&key) : NULL;
}

CmkPrivateKey *
cmk_private_key_parse (CmkKeySpec spec, const CmkSecret *der, GError **error)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  CmkPart scalar, public;
  if (form->curve == NID_undef)
    return parse_rsa (spec, der, error);
  if (!cmk_pkcs8_read_ec (form, der, &scalar, &public))
    {
      set_unsound ("not a PKCS#8 private key of the named curve", error);
      return NULL;
    }
  return new_ec (spec, scalar, public, error);
}

/* Called between the candidates for a prime; 0 ends the search. */
static int
go_on (EVP_PKEY_CTX *context)
{
  gint *cancelled = EVP_PKEY_CTX_get_app_data (context);
  return g_atomic_int_get (cancelled) == 0;
}

/* OpenSSL's numbers need not be those that stand for the key. */
static CmkPrivateKey *
complete_rsa (CmkKeySpec spec, const EVP_PKEY *pair, GError **error)
{
  g_autoptr (CmkRsaNumbers) numbers = cmk_rsa_numbers_new (error);
  if (numbers == NULL)
    return NULL;
  static const CmkRsaNumber wanted[] = { CMK_RSA_E, CMK_RSA_P, CMK_RSA_Q };
  gboolean taken = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++)
    taken = taken && EVP_PKEY_get_bn_param (pair, rsa_numbers[wanted[i]].name, &numbers->values[wanted[i]]) == 1;
  return cmk_openssl_ok (taken, "cannot take the primes out of an RSA key", error) ? new_rsa (spec, numbers, error)
                                                                                   : NULL;
}

CmkPrivateKey *
cmk_private_key_generate (CmkKeySpec spec, gint *cancelled, GError **error)
{
  const CmkKeyForm *form = cmk_key_form (spec);
  int bits = (int) cmk_key_spec_rsa_bits (spec);
  g_return_val_if_fail (form->curve != NID_undef || (bits > 0 && cancelled != NULL), NULL);
  g_autoptr (EVP_PKEY) pair = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, form->type, NULL);
  gboolean ready = context != NULL && EVP_PKEY_keygen_init (context) == 1 &&
                   (form->curve != NID_undef ? EVP_PKEY_CTX_set_group_name (context, OBJ_nid2sn (form->curve))
                                             : EVP_PKEY_CTX_set_rsa_keygen_bits (context, bits)) == 1;
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
  return form->curve == NID_undef ? complete_rsa (spec, pair, error) : new_from_pair (spec, g_steal_pointer (&pair));
}
