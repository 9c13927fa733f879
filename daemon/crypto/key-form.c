/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/key-form.h"

#include "base/error.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <string.h>

#define TAG_INTEGER      0x02
#define TAG_BIT_STRING   0x03
#define TAG_OCTET_STRING 0x04
#define TAG_SEQUENCE     0x30
#define TAG_CONTEXT_0    0xa0
#define TAG_CONTEXT_1    0xa1

#define ID_EC_PUBLIC_KEY 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01
#define ID_EC_SIZE       9

static const CmkKeyForm forms[] = {
  { CMK_KEY_SPEC_RSA_2048,
    "RSA",
    NID_undef,
    0,
    13,
    { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 } },
  { CMK_KEY_SPEC_EC_P256,
    "EC",
    NID_X9_62_prime256v1,
    32,
    19,
    { ID_EC_PUBLIC_KEY, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 } },
  { CMK_KEY_SPEC_EC_P384, "EC", NID_secp384r1, 48, 16, { ID_EC_PUBLIC_KEY, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 } },
  { CMK_KEY_SPEC_EC_P256K,
    "EC",
    NID_secp256k1,
    32,
    16,
    { ID_EC_PUBLIC_KEY, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a } },
  { CMK_KEY_SPEC_EC_SM2,
    "SM2",
    NID_sm2,
    32,
    19,
    { ID_EC_PUBLIC_KEY, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d } },
};

const CmkKeyForm *
cmk_key_form (CmkKeySpec spec)
{
  for (guint i = 0; i < G_N_ELEMENTS (forms); i++)
    if (forms[i].spec == spec)
      return &forms[i];
  return &forms[0];
}

static gboolean
part_is (CmkPart part, const void *data, gsize size)
{
  return part.size == size && memcmp (part.data, data, size) == 0;
}

static CmkPart
skip (CmkPart part, gsize size)
{
  return (CmkPart) { (const guint8 *) part.data + size, part.size - size };
}

/* Take an element with @tag off the front of *@rest. Lengths of one and two bytes follow the first one at most: no key
 * of ours is longer. */
static gboolean
take (CmkPart *rest, guint8 tag, CmkPart *ret_contents)
{
  const guint8 *data = rest->data;
  if (rest->size < 2 || data[0] != tag)
    return FALSE;
  gsize header = 2;
  gsize size = data[1];
  if (size >= 0x80)
    {
      gsize n_bytes = size - 0x80;
      if (n_bytes < 1 || n_bytes > 2 || rest->size < header + n_bytes)
        return FALSE;
      size = n_bytes == 1 ? data[2] : (gsize) data[2] << 8 | data[3];
      header += n_bytes;
      if (size < (n_bytes == 1 ? 0x80U : 0x100U))
        return FALSE;
    }
  if (rest->size - header < size)
    return FALSE;
  *ret_contents = (CmkPart) { data + header, size };
  *rest = skip (*rest, header + size);
  return TRUE;
}

/* An INTEGER that is not negative, without the zero byte that says so. */
static gboolean
take_unsigned (CmkPart *rest, CmkPart *ret_number)
{
  if (!take (rest, TAG_INTEGER, ret_number) || ret_number->size == 0)
    return FALSE;
  const guint8 *data = ret_number->data;
  if (ret_number->size == 1 || data[0] != 0)
    return data[0] < 0x80;
  *ret_number = skip (*ret_number, 1);
  return data[1] >= 0x80;
}

static gboolean
take_version (CmkPart *rest, guint8 expected)
{
  CmkPart version;
  return take (rest, TAG_INTEGER, &version) && part_is (version, &expected, 1);
}

/* A BIT STRING of whole bytes. */
static gboolean
take_bits (CmkPart *rest, CmkPart *ret_bytes)
{
  if (!take (rest, TAG_BIT_STRING, ret_bytes) || ret_bytes->size < 2 || *(const guint8 *) ret_bytes->data != 0)
    return FALSE;
  *ret_bytes = skip (*ret_bytes, 1);
  return TRUE;
}

/* PrivateKeyInfo; its attributes say nothing about the key. */
static gboolean
open_pkcs8 (const CmkKeyForm *form, const CmkSecret *pkcs8, CmkPart *ret_private_key)
{
  CmkPart rest = { cmk_secret_peek (pkcs8), cmk_secret_length (pkcs8) };
  CmkPart info, identifier, contents, attributes;
  if (!take (&rest, TAG_SEQUENCE, &info) || rest.size != 0 || !take_version (&info, 0) ||
      !take (&info, TAG_SEQUENCE, &identifier) || !part_is (identifier, form->identifier, form->identifier_size) ||
      !take (&info, TAG_OCTET_STRING, &contents) ||
      (info.size != 0 && (!take (&info, TAG_CONTEXT_0, &attributes) || info.size != 0)))
    return FALSE;
  return take (&contents, TAG_SEQUENCE, ret_private_key) && contents.size == 0;
}

gboolean
cmk_pkcs8_read_rsa (const CmkSecret *pkcs8, CmkPart ret_numbers[CMK_RSA_N_NUMBERS])
{
  CmkPart key;
  /* Version 1 is that of more than two primes. */
  if (!open_pkcs8 (&forms[0], pkcs8, &key) || !take_version (&key, 0))
    return FALSE;
  for (guint i = 0; i < CMK_RSA_N_NUMBERS; i++)
    if (!take_unsigned (&key, &ret_numbers[i]))
      return FALSE;
  return key.size == 0;
}

/* What may follow the scalar: the curve once more, which has to be the same one, and the point. */
static gboolean
read_ec_rest (const CmkKeyForm *form, CmkPart rest, CmkPart *ret_point)
{
  CmkPart curve, public;
  *ret_point = (CmkPart) { NULL, 0 };
  if (take (&rest, TAG_CONTEXT_0, &curve) &&
      !part_is (curve, form->identifier + ID_EC_SIZE, form->identifier_size - ID_EC_SIZE))
    return FALSE;
  if (take (&rest, TAG_CONTEXT_1, &public) && (!take_bits (&public, ret_point) || public.size != 0))
    return FALSE;
  return rest.size == 0;
}

gboolean
cmk_pkcs8_read_ec (const CmkKeyForm *form, const CmkSecret *pkcs8, CmkPart *ret_scalar, CmkPart *ret_point)
{
  CmkPart key;
  return open_pkcs8 (form, pkcs8, &key) && take_version (&key, 1) && take (&key, TAG_OCTET_STRING, ret_scalar) &&
         read_ec_rest (form, key, ret_point);
}

#define MAX_NUMBER_SIZE 512

/* What OSSL_PARAM points at, in the machine's byte order. */
typedef struct
{
  OSSL_PARAM params[3];
  guint8 modulus[MAX_NUMBER_SIZE];
  guint8 exponent[MAX_NUMBER_SIZE];
} PublicNumbers;

static OSSL_PARAM
construct_number (const char *name, CmkPart number, guint8 *machine_order)
{
  const guint8 *data = number.data;
  for (gsize i = 0; i < number.size; i++)
    machine_order[G_BYTE_ORDER == G_LITTLE_ENDIAN ? number.size - 1 - i : i] = data[i];
  return OSSL_PARAM_construct_BN (name, machine_order, number.size);
}

static gboolean
read_public_rsa (CmkPart key, PublicNumbers *ret_numbers)
{
  CmkPart numbers, modulus, exponent;
  if (!take (&key, TAG_SEQUENCE, &numbers) || key.size != 0 || !take_unsigned (&numbers, &modulus) ||
      !take_unsigned (&numbers, &exponent) || numbers.size != 0 || modulus.size > MAX_NUMBER_SIZE ||
      exponent.size > MAX_NUMBER_SIZE)
    return FALSE;
  ret_numbers->params[0] = construct_number (OSSL_PKEY_PARAM_RSA_N, modulus, ret_numbers->modulus);
  ret_numbers->params[1] = construct_number (OSSL_PKEY_PARAM_RSA_E, exponent, ret_numbers->exponent);
  ret_numbers->params[2] = OSSL_PARAM_construct_end ();
  return TRUE;
}

static EVP_PKEY *
load_public (const CmkKeyForm *form, CmkPart key)
{
  PublicNumbers numbers;
  const OSSL_PARAM point[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_PKEY_PARAM_GROUP_NAME, (char *) OBJ_nid2sn (form->curve), 0),
    OSSL_PARAM_construct_octet_string (OSSL_PKEY_PARAM_PUB_KEY, (void *) key.data, key.size),
    OSSL_PARAM_construct_end (),
  };
  if (form->curve == NID_undef && !read_public_rsa (key, &numbers))
    return NULL;
  EVP_PKEY *public = NULL;
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (NULL, form->type, NULL);
  if (context == NULL || EVP_PKEY_fromdata_init (context) != 1 ||
      EVP_PKEY_fromdata (context, &public, EVP_PKEY_PUBLIC_KEY,
                         form->curve != NID_undef ? (OSSL_PARAM *) point : numbers.params) != 1)
    return NULL;
  return public;
}

EVP_PKEY *
cmk_public_key_load (GBytes *der, GError **error)
{
  CmkPart rest, info, identifier, key;
  EVP_PKEY *loaded = NULL;
  rest.data = g_bytes_get_data (der, &rest.size);
  if (take (&rest, TAG_SEQUENCE, &info) && rest.size == 0 && take (&info, TAG_SEQUENCE, &identifier) &&
      take_bits (&info, &key) && info.size == 0)
    for (guint i = 0; loaded == NULL && i < G_N_ELEMENTS (forms); i++)
      if (part_is (identifier, forms[i].identifier, forms[i].identifier_size))
        loaded = load_public (&forms[i], key);
  ERR_clear_error ();
  if (loaded == NULL)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                         "a stored public key is not of the form it was written in; restore the state directory from a "
                         "backup, or import the key material again");
  return loaded;
}
