/* SPDX-License-Identifier: Apache-2.0
 *
 * Every form, as an importer makes it and with one thing wrong at a time. RSA padding is in test-unwrap-padding.c. */
#include "crypto/unwrap.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "importer-fixture.h"
#include "key-wrap-vector.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static gint never;
static CmkPrivateKey *rsa, *other_rsa, *sm2, *other_sm2; /* wrapping pairs */
static GBytes *temporary_keys;                           /* bytes to cut them from */

/* Keys to import, by spec. RSA_4096 takes long to make and is no different. */
static EVP_PKEY *contents[CMK_KEY_SPEC_EC_SM2 + 1];

/* --- what can be sent --- */

typedef struct
{
  CmkWrappingAlgorithm algorithm;
  CmkKeySpec spec;
  gboolean separate;
  gboolean raw; /* SM2 */
} Form;

typedef enum
{
  FAULT_NONE,
  FAULT_OTHER_WRAPPING_KEY,
  FAULT_OTHER_HASH,
  FAULT_C1C2C3,
  FAULT_FIRST_BYTE_ALTERED,
  FAULT_LAST_BYTE_ALTERED,
  FAULT_TEMPORARY_KEY_OF_24,
  FAULT_TEMPORARY_KEY_OF_OTHER_CIPHER,
  FAULT_OTHER_TEMPORARY_KEY,
  FAULT_WRONG_AIV,
  FAULT_RFC_3394,
  FAULT_CONTENT_CUT,
  FAULT_CONTENT_EXTENDED,
  FAULT_NO_PADDING,
  FAULT_OTHER_PADDING,
  FAULT_CONTENT_SHORTER,
  FAULT_CONTENT_LONGER,
  FAULT_OTHER_SPEC,
  FAULT_TRADITIONAL_ENCODING,
  FAULT_PEM,
  FAULT_SCALAR_ZERO,
  FAULT_SCALAR_OF_ONES,
  N_FAULTS
} Fault;

static const char *const fault_names[] = {
  "none",
  "other wrapping key",
  "other hash",
  "C1C2C3",
  "first byte altered",
  "last byte altered",
  "temporary key of 24 bytes",
  "temporary key of the other cipher",
  "content under another temporary key",
  "wrong AIV",
  "RFC 3394",
  "content cut",
  "content extended",
  "no padding",
  "padding of 17",
  "content a byte shorter",
  "content a byte longer",
  "key of another spec",
  "PKCS#1 or SEC1",
  "PEM",
  "scalar of zeros",
  "scalar of ones",
};

static gboolean
is_sm2 (const Form *form)
{
  return form->algorithm == CMK_WRAPPING_SM2PKE || form->algorithm == CMK_WRAPPING_SM2PKE_SM4_ECB;
}

static gboolean
is_ecb (const Form *form)
{
  return form->algorithm == CMK_WRAPPING_SM2PKE_SM4_ECB ||
         form->algorithm == CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD;
}

static gboolean
has_temporary_key (const Form *form)
{
  return form->separate || is_ecb (form) || form->algorithm == CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1 ||
         form->algorithm == CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256;
}

static gboolean
is_scalar (const Form *form)
{
  return form->algorithm == CMK_WRAPPING_SM2PKE_SM4_ECB;
}

static gboolean
applies (const Form *form, Fault fault)
{
  gboolean is_key_wrap = has_temporary_key (form) && !is_ecb (form);
  gboolean is_der = cmk_key_spec_is_asymmetric (form->spec) && !is_scalar (form);
  switch (fault)
    {
    case FAULT_OTHER_HASH:
      return !is_sm2 (form) && form->algorithm != CMK_WRAPPING_RSAES_PKCS1_V1_5;
    case FAULT_C1C2C3:
      return is_sm2 (form) && form->raw;
    case FAULT_LAST_BYTE_ALTERED:
      /* Another scalar is as good as this one: the form has nothing to tell them apart. */
      return !is_scalar (form);
    case FAULT_OTHER_TEMPORARY_KEY:
    case FAULT_CONTENT_CUT:
      return has_temporary_key (form) && !is_scalar (form);
    case FAULT_TEMPORARY_KEY_OF_24:
    case FAULT_TEMPORARY_KEY_OF_OTHER_CIPHER:
    case FAULT_CONTENT_EXTENDED:
      return has_temporary_key (form);
    case FAULT_WRONG_AIV:
    case FAULT_RFC_3394:
      return is_key_wrap;
    case FAULT_NO_PADDING:
    case FAULT_OTHER_PADDING:
      return form->algorithm == CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD;
    case FAULT_CONTENT_SHORTER:
    case FAULT_CONTENT_LONGER:
      return !is_scalar (form);
    case FAULT_OTHER_SPEC:
    case FAULT_TRADITIONAL_ENCODING:
      return is_der;
    case FAULT_PEM:
      /* Too long for RSA alone. */
      return is_der && (has_temporary_key (form) || is_sm2 (form));
    case FAULT_SCALAR_ZERO:
    case FAULT_SCALAR_OF_ONES:
      return is_scalar (form);
    default:
      return TRUE;
    }
}

/* --- the content --- */

static GBytes *
bytes_of_bio (BIO *bio)
{
  char *data;
  long size = BIO_get_mem_data (bio, &data);
  GBytes *bytes = g_bytes_new (data, (gsize) size);
  BIO_free (bio);
  return bytes;
}

static GBytes *
encode_content (EVP_PKEY *key, Fault fault)
{
  BIO *bio = BIO_new (BIO_s_mem ());
  int written = fault == FAULT_TRADITIONAL_ENCODING ? i2d_PrivateKey_bio (bio, key)
                : fault == FAULT_PEM ? PEM_write_bio_PKCS8PrivateKey (bio, key, NULL, NULL, 0, NULL, NULL)
                                     : i2d_PKCS8PrivateKeyInfo_bio (bio, key);
  g_assert_cmpint (written, ==, 1);
  return bytes_of_bio (bio);
}

static GBytes *
new_scalar (Fault fault)
{
  guint8 scalar[32];
  BIGNUM *number = NULL;
  g_assert_cmpint (EVP_PKEY_get_bn_param (contents[CMK_KEY_SPEC_EC_SM2], OSSL_PKEY_PARAM_PRIV_KEY, &number), ==, 1);
  g_assert_cmpint (BN_bn2binpad (number, scalar, sizeof scalar), ==, 32);
  BN_free (number);
  if (fault == FAULT_SCALAR_ZERO || fault == FAULT_SCALAR_OF_ONES)
    memset (scalar, fault == FAULT_SCALAR_ZERO ? 0 : 0xff, sizeof scalar);
  return g_bytes_new (scalar, sizeof scalar);
}

static CmkKeySpec
other_spec (CmkKeySpec spec)
{
  switch (spec)
    {
    case CMK_KEY_SPEC_RSA_2048:
      return CMK_KEY_SPEC_RSA_3072;
    case CMK_KEY_SPEC_EC_P256:
      return CMK_KEY_SPEC_EC_P256K;
    default:
      return CMK_KEY_SPEC_EC_P256;
    }
}

static GBytes *
new_content (const Form *form, Fault fault)
{
  static const guint8 material[65] = "What is imported: as many of these bytes as the key is long, or 1";
  gsize size = cmk_key_spec_material_bytes (form->spec);
  g_autoptr (GBytes) content =
      size > 0 ? g_bytes_new_static (material, size)
      : is_scalar (form)
          ? new_scalar (fault)
          : encode_content (contents[fault == FAULT_OTHER_SPEC ? other_spec (form->spec) : form->spec], fault);
  if (fault != FAULT_CONTENT_SHORTER && fault != FAULT_CONTENT_LONGER)
    return g_steal_pointer (&content);
  gsize content_size = g_bytes_get_size (content);
  g_autofree guint8 *longer = g_malloc0 (content_size + 1);
  memcpy (longer, g_bytes_get_data (content, NULL), content_size);
  return g_bytes_new (longer, fault == FAULT_CONTENT_LONGER ? content_size + 1 : content_size - 1);
}

/* --- the wrapping --- */

static GBytes *
encrypt_to_wrapping_key (const Form *form, Fault fault, const guint8 *data, gsize size)
{
  gboolean other = fault == FAULT_OTHER_WRAPPING_KEY;
  if (is_sm2 (form))
    {
      g_autoptr (GBytes) der = encrypt (other ? other_sm2 : sm2, NULL, data, size);
      return form->raw ? sm2_raw (der, fault != FAULT_C1C2C3) : g_steal_pointer (&der);
    }
  Scheme scheme = scheme_of (form->algorithm);
  if (fault == FAULT_OTHER_HASH)
    scheme.mgf1_hash = scheme.mgf1_hash == EVP_sha1 () ? EVP_sha256 () : EVP_sha1 ();
  return encrypt (other ? other_rsa : rsa, &scheme, data, size);
}

static gsize
temporary_key_size (const Form *form)
{
  return is_scalar (form) || (form->separate && form->spec == CMK_KEY_SPEC_EC_SM2) ? 16 : 32;
}

/* With PKCS#7 padding if the form has it. */
static GBytes *
encrypt_content (const Form *form, Fault fault, const EVP_CIPHER *cipher, const guint8 *key, GBytes *content)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (content, &size);
  if (is_scalar (form))
    return encrypt_ecb (cipher, key, data, size);
  guint8 padding = (guint8) (16 - size % 16);
  g_autofree guint8 *padded = g_malloc (size + padding);
  memcpy (padded, data, size);
  memset (padded + size, fault == FAULT_NO_PADDING ? 0 : fault == FAULT_OTHER_PADDING ? 17 : padding, padding);
  return encrypt_ecb (cipher, key, padded, size + padding);
}

static GBytes *
wrap_content (const Form *form, Fault fault, const guint8 *temporary_key, GBytes *content)
{
  static const guint8 wrong_aiv[] = { 0xa6, 0x59, 0x59, 0xa7 };
  const EVP_CIPHER *cipher = temporary_key_size (form) == 16 ? EVP_sm4_ecb () : EVP_aes_256_ecb ();
  if (fault == FAULT_TEMPORARY_KEY_OF_24)
    cipher = EVP_aes_192_ecb ();
  if (fault == FAULT_TEMPORARY_KEY_OF_OTHER_CIPHER)
    cipher = temporary_key_size (form) == 16 ? EVP_aes_256_ecb () : EVP_sm4_ecb ();
  const guint8 *key = temporary_key + (fault == FAULT_OTHER_TEMPORARY_KEY ? 1 : 0);
  gsize size;
  const guint8 *data = g_bytes_get_data (content, &size);
  if (is_ecb (form))
    return encrypt_content (form, fault, cipher, key, content);
  if (fault == FAULT_RFC_3394)
    return wrap_key_unpadded (cipher, key, data, size / 8 * 8);
  return wrap_key (cipher, key, fault == FAULT_WRONG_AIV ? wrong_aiv : NULL, data, size);
}

/* By as much as leaves a length that can be. */
static GBytes *
resize (const Form *form, GBytes *content, Fault fault)
{
  gsize unit = is_ecb (form) ? 16 : 8;
  gsize size = g_bytes_get_size (content);
  g_autofree guint8 *resized = g_malloc0 (size + 16);
  memcpy (resized, g_bytes_get_data (content, NULL), size);
  gsize resized_size = fault == FAULT_CONTENT_CUT ? size - unit : fault == FAULT_CONTENT_EXTENDED ? size + unit : size;
  return g_bytes_new (resized, resized_size);
}

static GBytes *
join (GBytes *first, GBytes *second, Fault fault)
{
  GByteArray *joined = g_byte_array_new ();
  g_byte_array_append (joined, g_bytes_get_data (first, NULL), (guint) g_bytes_get_size (first));
  if (second != NULL)
    g_byte_array_append (joined, g_bytes_get_data (second, NULL), (guint) g_bytes_get_size (second));
  if (fault == FAULT_FIRST_BYTE_ALTERED)
    joined->data[0] ^= 0x01;
  if (fault == FAULT_LAST_BYTE_ALTERED)
    joined->data[joined->len - 1] ^= 0x01;
  return g_byte_array_free_to_bytes (joined);
}

static void
wrap (const Form *form, Fault fault, CmkWrapped *ret_wrapped)
{
  *ret_wrapped = (CmkWrapped) {
    .algorithm = form->algorithm,
    .wrapping_spec = is_sm2 (form) ? CMK_WRAPPING_KEY_EC_SM2 : CMK_WRAPPING_KEY_RSA_2048,
    .spec = form->spec,
  };
  g_autoptr (GBytes) content = new_content (form, fault);
  g_autoptr (GBytes) head = NULL;
  g_autoptr (GBytes) tail = NULL;
  if (has_temporary_key (form))
    {
      const guint8 *temporary_key = g_bytes_get_data (temporary_keys, NULL);
      gsize size = fault == FAULT_TEMPORARY_KEY_OF_24             ? 24
                   : fault == FAULT_TEMPORARY_KEY_OF_OTHER_CIPHER ? 48 - temporary_key_size (form)
                                                                  : temporary_key_size (form);
      head = encrypt_to_wrapping_key (form, fault, temporary_key, size);
      g_autoptr (GBytes) wrapped = wrap_content (form, fault, temporary_key, content);
      tail = resize (form, wrapped, fault);
    }
  else
    head = encrypt_to_wrapping_key (form, fault, g_bytes_get_data (content, NULL), g_bytes_get_size (content));
  ret_wrapped->encrypted_key_material = join (head, form->separate ? NULL : tail, fault);
  if (form->separate)
    ret_wrapped->encrypted_private_key = g_steal_pointer (&tail);
}

static void
clear (CmkWrapped *wrapped)
{
  g_bytes_unref (wrapped->encrypted_key_material);
  g_clear_pointer (&wrapped->encrypted_private_key, g_bytes_unref);
}

static const CmkPrivateKey *
pair_of (const Form *form)
{
  return is_sm2 (form) ? sm2 : rsa;
}

/* --- the tests of a form --- */

static CmkSecret *
expected_of (const Form *form)
{
  g_autoptr (GError) error = NULL;
  Form as_der = { .spec = form->spec };
  g_autoptr (GBytes) content = new_content (&as_der, FAULT_NONE);
  g_autoptr (CmkSecret) bytes =
      cmk_secret_new_copy (g_bytes_get_data (content, NULL), g_bytes_get_size (content), &error);
  g_assert_no_error (error);
  if (!cmk_key_spec_is_asymmetric (form->spec))
    return g_steal_pointer (&bytes);
  g_autoptr (CmkPrivateKey) key = cmk_private_key_parse (form->spec, bytes, &error);
  g_assert_no_error (error);
  return cmk_private_key_encode (key, &error);
}

static void
test_form (gconstpointer data)
{
  const Form *form = data;
  g_autoptr (GError) error = NULL;
  CmkWrapped wrapped;
  wrap (form, FAULT_NONE, &wrapped);
  g_assert_true (cmk_wrapped_check (&wrapped, &error));
  g_autoptr (CmkSecret) material = cmk_unwrap (pair_of (form), &wrapped, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) expected = expected_of (form);
  g_assert_true (cmk_secret_equal (material, expected));
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  clear (&wrapped);
}

/* The one error, with the one text. */
static void
test_faults (gconstpointer data)
{
  const Form *form = data;
  g_autofree char *text = NULL;
  for (Fault fault = FAULT_NONE + 1; fault < N_FAULTS; fault++)
    {
      if (!applies (form, fault))
        continue;
      g_test_message ("%s", fault_names[fault]);
      g_autoptr (GError) error = NULL;
      CmkWrapped wrapped;
      wrap (form, fault, &wrapped);
      g_assert_true (cmk_wrapped_check (&wrapped, &error));
      g_assert_no_error (error);
      g_assert_null (cmk_unwrap (pair_of (form), &wrapped, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
      if (text == NULL)
        text = g_strdup (error->message);
      g_assert_cmpstr (error->message, ==, text);
      g_assert_cmpuint (ERR_peek_error (), ==, 0);
      clear (&wrapped);
    }
  g_assert_nonnull (text);
}

/* --- by another implementation --- */

static CmkPrivateKey *
parse_hex (CmkKeySpec spec, const char *hex)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = bytes_of_hex (hex);
  g_autoptr (CmkSecret) der = cmk_secret_new_copy (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  CmkPrivateKey *key = cmk_private_key_parse (spec, der, &error);
  g_assert_no_error (error);
  return key;
}

static void
test_vectors (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkPrivateKey) wrapping_key = parse_hex (CMK_KEY_SPEC_RSA_2048, VECTOR_WRAPPING_KEY);
  CmkWrapped material = {
    .algorithm = CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1,
    .wrapping_spec = CMK_WRAPPING_KEY_RSA_2048,
    .spec = CMK_KEY_SPEC_AES_256,
    .encrypted_key_material = bytes_of_hex (VECTOR_SHA_1),
  };
  g_autoptr (CmkSecret) bytes = cmk_unwrap (wrapping_key, &material, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (cmk_secret_peek (bytes), cmk_secret_length (bytes), VECTOR_MATERIAL, strlen (VECTOR_MATERIAL));
  clear (&material);

  CmkWrapped private_key = {
    .algorithm = CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256,
    .wrapping_spec = CMK_WRAPPING_KEY_RSA_2048,
    .spec = CMK_KEY_SPEC_EC_P256,
    .encrypted_key_material = bytes_of_hex (VECTOR_SHA_256),
  };
  g_autoptr (CmkSecret) encoded = cmk_unwrap (wrapping_key, &private_key, &error);
  g_assert_no_error (error);
  g_autoptr (CmkPrivateKey) expected_key = parse_hex (CMK_KEY_SPEC_EC_P256, VECTOR_PRIVATE_KEY);
  g_autoptr (CmkSecret) expected = cmk_private_key_encode (expected_key, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_secret_equal (encoded, expected));
  clear (&private_key);
}

/* --- all of them --- */

static void
add_form (CmkWrappingAlgorithm algorithm, CmkKeySpec spec, gboolean separate, gboolean raw)
{
  Form *form = g_new (Form, 1);
  *form = (Form) { algorithm, spec, separate, raw };
  gboolean too_long = cmk_key_spec_rsa_bits (spec) > 0 && !is_sm2 (form) && !has_temporary_key (form);
  gboolean has_der = cmk_key_spec_is_asymmetric (spec);
  gboolean is_new = algorithm <= CMK_WRAPPING_SM2PKE;
  if (too_long || (separate && (!is_new || !has_der)) || (raw && !is_sm2 (form)) ||
      (algorithm == CMK_WRAPPING_RSAES_PKCS1_V1_5 && has_der && !separate))
    {
      g_free (form);
      return;
    }
  g_autofree char *name =
      g_strdup_printf ("%s/%s%s%s", cmk_spec_name (cmk_wrapping_algorithms, (int) algorithm),
                       cmk_spec_name (cmk_key_specs, (int) spec), separate ? "-separate" : "", raw ? "-raw" : "");
  g_autofree char *good = g_strdup_printf ("/unwrap/%s/unwraps", name);
  g_autofree char *bad = g_strdup_printf ("/unwrap/%s/every-fault-is-the-same-refusal", name);
  g_test_add_data_func (good, form, test_form);
  g_test_add_data_func_full (bad, form, test_faults, g_free);
}

static void
make_keys (void)
{
  g_autoptr (GError) error = NULL;
  rsa = cmk_private_key_generate (CMK_KEY_SPEC_RSA_2048, &never, &error);
  other_rsa = cmk_private_key_generate (CMK_KEY_SPEC_RSA_2048, &never, &error);
  sm2 = cmk_private_key_generate (CMK_KEY_SPEC_EC_SM2, NULL, &error);
  other_sm2 = cmk_private_key_generate (CMK_KEY_SPEC_EC_SM2, NULL, &error);
  g_assert_no_error (error);
  temporary_keys = g_bytes_new_static ("0123456789abcdefghijklmnopqrstuvwxyz", 36);
  contents[CMK_KEY_SPEC_RSA_2048] = EVP_RSA_gen (2048);
  contents[CMK_KEY_SPEC_RSA_3072] = EVP_RSA_gen (3072);
  contents[CMK_KEY_SPEC_EC_P256] = EVP_EC_gen ("P-256");
  contents[CMK_KEY_SPEC_EC_P384] = EVP_EC_gen ("P-384");
  contents[CMK_KEY_SPEC_EC_P256K] = EVP_EC_gen ("secp256k1");
  contents[CMK_KEY_SPEC_EC_SM2] = EVP_PKEY_Q_keygen (NULL, NULL, "SM2");
}

static void
free_keys (void)
{
  cmk_private_key_free (rsa);
  cmk_private_key_free (other_rsa);
  cmk_private_key_free (sm2);
  cmk_private_key_free (other_sm2);
  g_bytes_unref (temporary_keys);
  for (guint i = 0; i < G_N_ELEMENTS (contents); i++)
    EVP_PKEY_free (contents[i]);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  make_keys ();
  for (const CmkSpecName *algorithm = cmk_wrapping_algorithms; algorithm->name != NULL; algorithm++)
    for (const CmkSpecName *spec = cmk_key_specs; spec->name != NULL; spec++)
      for (guint way = 0; way < 4; way++)
        {
          CmkKeySpec key_spec = (CmkKeySpec) spec->value;
          gboolean have_key = !cmk_key_spec_is_asymmetric (key_spec) || contents[key_spec] != NULL;
          if (have_key && cmk_wrapping_algorithm_carries ((CmkWrappingAlgorithm) algorithm->value, key_spec))
            add_form ((CmkWrappingAlgorithm) algorithm->value, key_spec, (way & 1) != 0, (way & 2) != 0);
        }
  g_test_add_func ("/unwrap/blobs-of-libgcrypt", test_vectors);
  int result = g_test_run ();
  free_keys ();
  return result;
}
