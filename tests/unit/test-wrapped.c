/* SPDX-License-Identifier: Apache-2.0
 *
 * What is told to somebody whose parts cannot be of the form, and to somebody whose parts do not unwrap. */
#include "crypto/unwrap.h"

#include "base/error.h"
#include "crypto/crypto.h"

#define NONE -1 /* no EncryptedPrivateKey */

static const guint8 zeros[100000];

#define BY_RSA       "under the public key that came with this import token"
#define DER          "PKCS#8 DER (openssl pkcs8 -topk8 -nocrypt -outform DER)"
#define OAEP_SHA_256 "OAEP hash SHA-256, MGF1 hash SHA-256, empty label"
#define RFC_5649     "wrapped with that key by RFC 5649 (key wrap with padding, AIV A65959A6)"

static const struct
{
  CmkWrappingAlgorithm algorithm;
  CmkKeySpec spec;
  gsize material;
  gssize private_key;
  const char *text;
} texts[] = {
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_HMAC_384, 256, NONE,
    "the encrypted key material does not hold exactly 48 bytes (384 bits) encrypted by RSAES_OAEP_SHA_1 (OAEP hash "
    "SHA-1, MGF1 hash SHA-1, empty label) " BY_RSA
    "; encrypt the raw key bytes, not their hex or Base64 form, and try again" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_EC_P256, 256, NONE,
    "the encrypted key material does not hold a sound private key of spec EC_P256 as " DER
    " encrypted by RSAES_OAEP_SHA_256 (" OAEP_SHA_256 ") " BY_RSA
    "; encrypt the DER bytes, not their hex or Base64 form, and try again" },
  { CMK_WRAPPING_SM2PKE, CMK_KEY_SPEC_EC_SM2, 113, 152,
    "the encrypted key material does not hold an SM4 key of 16 bytes encrypted by SM2PKE (SM2 with SM3, order C1C3C2, "
    "raw with its leading byte 04 or ASN.1) " BY_RSA
    " and, in EncryptedPrivateKey, a sound private key of spec EC_SM2 as " DER " " RFC_5649
    "; encrypt the DER bytes, not their hex or Base64 form, and try again" },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256, CMK_KEY_SPEC_AES_256, 296, NONE,
    "the encrypted key material does not hold an AES-256 key of 32 bytes encrypted by RSA_AES_KEY_WRAP_SHA_256 "
    "(" OAEP_SHA_256 ") " BY_RSA ", followed by exactly 32 bytes (256 bits) " RFC_5649
    "; encrypt the raw key bytes, not their hex or Base64 form, and try again" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, CMK_KEY_SPEC_RSA_2048, 1488, NONE,
    "the encrypted key material does not hold an AES-256 key of 32 bytes encrypted by "
    "RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD (" OAEP_SHA_256 ") " BY_RSA
    ", followed by a sound private key of spec RSA_2048 as " DER
    " encrypted with that key by AES-256-ECB with PKCS#7 padding; encrypt the DER bytes, not their hex or Base64 form, "
    "and try again" },
  { CMK_WRAPPING_SM2PKE_SM4_ECB, CMK_KEY_SPEC_EC_SM2, 145, NONE,
    "the encrypted key material does not hold an SM4 key of 16 bytes encrypted by SM2PKE_SM4_ECB (SM2 with SM3, order "
    "C1C3C2, raw with its leading byte 04 or ASN.1) " BY_RSA
    ", followed by the private scalar of an EC_SM2 key (32 bytes) encrypted with that key by SM4-ECB without padding; "
    "encrypt the raw key bytes, not their hex or Base64 form, and try again" },
};

/* Lengths, and how the refusal begins; NULL: none. */
static const struct
{
  CmkWrappingAlgorithm algorithm;
  CmkKeySpec spec;
  gssize material;
  gssize private_key;
  const char *text;
} parts[] = {
  { CMK_WRAPPING_RSAES_PKCS1_V1_5, CMK_KEY_SPEC_SM4, 256, NONE, NULL },
  { CMK_WRAPPING_RSAES_PKCS1_V1_5, CMK_KEY_SPEC_SM4, 255, NONE,
    "encrypted_key_material: what is wrapped by RSAES_PKCS1" },
  { CMK_WRAPPING_RSAES_PKCS1_V1_5, CMK_KEY_SPEC_SM4, 257, NONE,
    "encrypted_key_material: what is wrapped by RSAES_PKCS1" },
  { CMK_WRAPPING_RSAES_PKCS1_V1_5, CMK_KEY_SPEC_EC_P256, 256, NONE,
    "EncryptedPrivateKey: missing. By RSAES_PKCS1_V1_5" },
  { CMK_WRAPPING_RSAES_PKCS1_V1_5, CMK_KEY_SPEC_EC_SM2, 256, 152, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, NONE,
    "EncryptedPrivateKey: missing. By RSAES_OAEP_SHA_1" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, 16, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, 4608, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, 4616,
    "EncryptedPrivateKey: a private key that is wrapped" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, 8,
    "EncryptedPrivateKey: a private key that is wrapped" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, 0,
    "EncryptedPrivateKey: a private key that is wrapped" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 256, 17, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 264, 1232, "encrypted_key_material: what is wrapped by" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_EC_P384, 256, NONE, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_EC_P384, 256, 192, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_AES_256, 256, 40, "EncryptedPrivateKey: leave it out" },
  { CMK_WRAPPING_SM2PKE, CMK_KEY_SPEC_AES_256, 97, NONE,
    "encrypted_key_material: what is wrapped by SM2PKE with EC_SM2" },
  { CMK_WRAPPING_SM2PKE, CMK_KEY_SPEC_AES_256, 98, NONE, NULL },
  { CMK_WRAPPING_SM2PKE, CMK_KEY_SPEC_RSA_4096, 2600, NONE, NULL },
  { CMK_WRAPPING_SM2PKE, CMK_KEY_SPEC_AES_256, 100000, NONE, "encrypted_key_material: what is wrapped by SM2PKE" },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1, CMK_KEY_SPEC_AES_256, 271, NONE,
    "encrypted_key_material: what is wrapped by RSA_A" },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1, CMK_KEY_SPEC_AES_256, 272, NONE, NULL },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1, CMK_KEY_SPEC_AES_256, 273, NONE, NULL },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1, CMK_KEY_SPEC_AES_256, 0, NONE,
    "encrypted_key_material: what is wrapped by RSA_A" },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256, CMK_KEY_SPEC_EC_P256, 408, 152,
    "EncryptedPrivateKey: leave it out: all that" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, CMK_KEY_SPEC_EC_P256, 256, NONE,
    "encrypted_key_material: what" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, CMK_KEY_SPEC_EC_P256, 271, NONE,
    "encrypted_key_material: what" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, CMK_KEY_SPEC_EC_P256, 280, NONE, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, CMK_KEY_SPEC_EC_P256, 272, NONE, NULL },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, CMK_KEY_SPEC_EC_P256, 400, 152,
    "EncryptedPrivateKey: leave" },
  { CMK_WRAPPING_SM2PKE_SM4_ECB, CMK_KEY_SPEC_EC_SM2, 144, NONE,
    "encrypted_key_material: what is wrapped by SM2PKE_SM4_ECB" },
  { CMK_WRAPPING_SM2PKE_SM4_ECB, CMK_KEY_SPEC_EC_SM2, 145, NONE, NULL },
  { CMK_WRAPPING_SM2PKE_SM4_ECB, CMK_KEY_SPEC_EC_SM2, 145, 64, "EncryptedPrivateKey: leave it out" },
};

static CmkWrapped
wrapped_of (CmkWrappingAlgorithm algorithm, CmkKeySpec spec, gssize material, gssize private_key)
{
  gboolean is_sm2 = algorithm == CMK_WRAPPING_SM2PKE || algorithm == CMK_WRAPPING_SM2PKE_SM4_ECB;
  return (CmkWrapped) {
    .algorithm = algorithm,
    .wrapping_spec = is_sm2 ? CMK_WRAPPING_KEY_EC_SM2 : CMK_WRAPPING_KEY_RSA_2048,
    .spec = spec,
    .encrypted_key_material = g_bytes_new_static (zeros, (gsize) material),
    .encrypted_private_key = private_key == NONE ? NULL : g_bytes_new_static (zeros, (gsize) private_key),
  };
}

static void
clear (CmkWrapped *wrapped)
{
  g_bytes_unref (wrapped->encrypted_key_material);
  g_clear_pointer (&wrapped->encrypted_private_key, g_bytes_unref);
}

static void
test_text (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  gint never = 0;
  g_autoptr (GError) error = NULL;
  CmkWrapped wrapped = wrapped_of (texts[i].algorithm, texts[i].spec, texts[i].material, texts[i].private_key);
  g_autoptr (CmkPrivateKey) pair =
      cmk_private_key_generate (cmk_wrapping_key_spec_key (wrapped.wrapping_spec), &never, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_wrapped_check (&wrapped, &error));
  g_assert_null (cmk_unwrap (pair, &wrapped, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL);
  g_assert_cmpstr (error->message, ==, texts[i].text);
  clear (&wrapped);
}

static void
test_parts (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autoptr (GError) error = NULL;
      CmkWrapped wrapped = wrapped_of (parts[i].algorithm, parts[i].spec, parts[i].material, parts[i].private_key);
      g_assert_cmpint (cmk_wrapped_check (&wrapped, &error), ==, parts[i].text == NULL);
      if (parts[i].text != NULL)
        {
          g_test_message ("%s", error->message);
          g_assert_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER);
          g_assert_true (g_str_has_prefix (error->message, parts[i].text));
        }
      clear (&wrapped);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *path =
          g_strdup_printf ("/wrapped/text/%s", cmk_spec_name (cmk_wrapping_algorithms, (int) texts[i].algorithm));
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_text);
    }
  g_test_add_func ("/wrapped/parts-and-lengths-are-checked", test_parts);
  return g_test_run ();
}
