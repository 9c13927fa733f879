/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures, with stock OpenSSL, which is told everything that cmkd takes for granted, as the other party. */
#include "key-fixture.h"

#include "crypto/signature.h"

#include <openssl/rsa.h>

typedef struct
{
  const char *name;
  CmkSigningAlgorithm algorithm;
  const char *public_key;
  const char *message;
  const char *signature;
  gboolean valid;
} Vector;

#define WYCHEPROOF_KEY                                                                                                 \
  "30820122300d06092a864886f70d01010105000382010f003082010a0282010100a2b451a07d0aa5f96e455671513550514a8a5b462e"       \
  "bef717094fa1fee82224e637f9746d3f7cafd31878d80325b6ef5a1700f65903b469429e89d6eac8845097b5ab393189db92512ed8a7"       \
  "711a1253facd20f79c15e8247f3d3e42e46e48c98e254a2fe9765313a03eff8f17e1a029397a1fa26a8dce26f490ed81299615d9814c"       \
  "22da610428e09c7d9658594266f5c021d0fceca08d945a12be82de4d1ece6b4c03145b5d3495d4ed5411eb878daf05fd7afc3e09ada0"       \
  "f1126422f590975a1969816f48698bcbba1b4d9cae79d460d8f9f85e7975005d9bc22c4e5ac0f7c1a45d12569a62807d3b9a02e5a530"       \
  "e773066f453d1f5b4c2e9cf7820283f742b9d50203010001"

static const Vector vectors[] = {
  { "Wycheproof rsa_pss_2048_sha256_mgf1_32 3", CMK_SIGNING_RSA_PSS_SHA_256, WYCHEPROOF_KEY, "Test",
    "401eb03cdb47ca88033e3030f6bdecbac8f5c8fc1dd6a13d23d379ed9a2b309891d13d74fea9d21d159b9e6d8f37efa2489962e24555"
    "f56dd434ff1d31ce4f9f5abd3f22cbea8b691d6a11e44efb83e2bca155e6a164325e0fde2a8865afd5c9f51161a9d615f62af7ec2e31"
    "b3e5ab649c164490d31d88cfae35b84aea7925690f929a144b6d2f48e8fb894a52deecd1b9a6496990c4ecf1588699a42cacd10c53af"
    "350514e4291ea9a058e77f101e32c1c0cefa61d945f7bc931f8bd19e7ba3169358a60e5a8b0123bc3199b9fdcafe8e519c41ba675491"
    "a27b85e44ef2d77277c10fe107293c8290186913bc9a99b640d8da041b64f31eab1d35920985f4a5",
    TRUE },
  { "Wycheproof rsa_signature_2048_sha256 3", CMK_SIGNING_RSA_PKCS1_SHA_256, WYCHEPROOF_KEY, "Test",
    "264491e844c119f14e425c03282139a558dcdaeb82a4628173cd407fd319f9076eaebc0dd87a1c22e4d17839096886d58a9d5b7f7aeb"
    "63efec56c45ac7bead4203b6886e1faa90e028ec0ae094d46bf3f97efdd19045cfbc25a1abda2432639f9876405c0d68f8edbf047c12"
    "a454f7681d5d5a2b54bd3723d193dbad4338baad753264006e2d08931c4b8bb79aa1c9cad10eb6605f87c5831f6e2b08e002f9c6f211"
    "41f5841d92727dd3e1d99c36bc560da3c9067df99fcaf818941f72588be33032bad22caf6704223bb114d575b6d02d9d222b580005d9"
    "30e8f40cce9f672eebb634a20177d84351627964b83f2053d736a84ab1a005f63bd5ba943de6205c",
    TRUE },
  { "Wycheproof rsa_signature_2048_sha256 8: no NULL", CMK_SIGNING_RSA_PKCS1_SHA_256, WYCHEPROOF_KEY, "123400",
    "095dad1fd82bcd36652a381b7f4dd656bd89b40aa58b56da4f6aa8247874b935e65d2b86752d537df7103884d39dd9ad3d65f8740452"
    "6b09094c5615c6249979b0dc58d2199ae8696a5b76b4bb03eaf08c2ab6aec686c6b1b289c9b44f648bd30cb1ac6a64a73d68e59cd05e"
    "7aa1b780f4bfd7b83dfe3b884ec11821a93dc5bbb47a00eea4557b6b96b5656276001f1f295ddbbbc511a99b9a665b9c2674c8af0d81"
    "2286d0be3ce74817ba2cad283757de35dfb149f2835f60cb03ff155524a57f78b148feceb84cd20b0ae22e3e48f433fbd9bfd60be8af"
    "ec93165ee0310be961d3695f309d031320c830aa6ba08b5a51d943797097c57630be391bd23736cc",
    FALSE },
  { "RFC 6979 A.2.5", CMK_SIGNING_ECDSA_SHA_256,
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce66962"
    "2e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    "sample",
    "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c942d657c41d436c7a1b6e2"
    "9f65f3e900dbb9aff4064dc4ab2f843acda8",
    TRUE },
  { "RFC 6979 A.2.6", CMK_SIGNING_ECDSA_SHA_384,
    "3076301006072a8648ce3d020106052b8104002203620004ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b30"
    "0c64def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c"
    "3ae0d4fe7344fd2533264720",
    "sample",
    "306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe4602"
    "310099ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
    TRUE },
  { "secp256k1 of the key 1", CMK_SIGNING_ECDSA_SHA_256,
    "3056301006072a8648ce3d020106052b8104000a0342000479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f8"
    "1798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
    "Everything should be made as simple as possible, but not simpler.",
    "3044022033a69cd2065432a30f3d1ce4eb0d59b8ab58c74f27c41a7fdb5696ad4e6108c902206f807982866f785d3f6418d24163ddae"
    "117b7db4d5fdf0071de069fa54342262",
    TRUE },
  { "GB-T 32918.5 A.2", CMK_SIGNING_SM2DSA,
    "3059301306072a8648ce3d020106082a811ccf5501822d0342000409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08f"
    "f356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
    "message digest",
    "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3022100b1b6aa29df212fd8763182bc0d42"
    "1ca1bb9038fd1f7f42d4840b69c485bbc1aa",
    TRUE },
};

static gboolean
check (GBytes *public_der, CmkSigningAlgorithm algorithm, CmkMessageType type, GBytes *message, GBytes *signature)
{
  gboolean valid = -1;
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_signature_check (public_der, algorithm, type, message, signature, &valid, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return valid;
}

static void
test_vector (gconstpointer data)
{
  const Vector *vector = data;
  g_autoptr (GBytes) public_der = from_hex (vector->public_key);
  g_autoptr (GBytes) message = g_bytes_new_static (vector->message, strlen (vector->message));
  g_autoptr (GBytes) other = g_bytes_new_static (vector->message, strlen (vector->message) - 1);
  g_autoptr (GBytes) signature = from_hex (vector->signature);
  g_assert_cmpint (check (public_der, vector->algorithm, CMK_MESSAGE_RAW, message, signature), ==, vector->valid);
  g_assert_false (check (public_der, vector->algorithm, CMK_MESSAGE_RAW, other, signature));
}

/* GB/T 32918.5 prints e = SM3 (Z || M) as well. */
static void
test_sm2_digest (void)
{
  const Vector *vector = &vectors[G_N_ELEMENTS (vectors) - 1];
  g_autoptr (GBytes) public_der = from_hex (vector->public_key);
  g_autoptr (GBytes) digest = from_hex ("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640");
  g_autoptr (GBytes) signature = from_hex (vector->signature);
  g_assert_true (check (public_der, CMK_SIGNING_SM2DSA, CMK_MESSAGE_DIGEST, digest, signature));
}

/* --- OpenSSL as the other party --- */

typedef struct
{
  CmkSigningAlgorithm algorithm;
  CmkKeySpec spec;
  const char *digest;
  int padding;
  gsize digest_size;
} Case;

static const Case cases[] = {
  { CMK_SIGNING_RSA_PSS_SHA_256, CMK_KEY_SPEC_RSA_2048, "SHA256", RSA_PKCS1_PSS_PADDING, 32 },
  { CMK_SIGNING_RSA_PSS_SHA_384, CMK_KEY_SPEC_RSA_2048, "SHA384", RSA_PKCS1_PSS_PADDING, 48 },
  { CMK_SIGNING_RSA_PSS_SHA_512, CMK_KEY_SPEC_RSA_2048, "SHA512", RSA_PKCS1_PSS_PADDING, 64 },
  { CMK_SIGNING_RSA_PKCS1_SHA_256, CMK_KEY_SPEC_RSA_2048, "SHA256", RSA_PKCS1_PADDING, 32 },
  { CMK_SIGNING_RSA_PKCS1_SHA_384, CMK_KEY_SPEC_RSA_2048, "SHA384", RSA_PKCS1_PADDING, 48 },
  { CMK_SIGNING_RSA_PKCS1_SHA_512, CMK_KEY_SPEC_RSA_2048, "SHA512", RSA_PKCS1_PADDING, 64 },
  { CMK_SIGNING_ECDSA_SHA_256, CMK_KEY_SPEC_EC_P256, "SHA256", 0, 32 },
  { CMK_SIGNING_ECDSA_SHA_256, CMK_KEY_SPEC_EC_P256K, "SHA256", 0, 32 },
  { CMK_SIGNING_ECDSA_SHA_384, CMK_KEY_SPEC_EC_P384, "SHA384", 0, 48 },
  { CMK_SIGNING_SM2DSA, CMK_KEY_SPEC_EC_SM2, "SM3", 0, 32 },
};

/* One key of each spec. */
static CmkPrivateKey *keys[CMK_KEY_SPEC_EC_SM2 + 1];

static GBytes *
public_of (CmkKeySpec spec)
{
  g_autoptr (GError) error = NULL;
  GBytes *der = cmk_private_key_public_der (keys[spec], &error);
  g_assert_no_error (error);
  return der;
}

static GBytes *
sign (const Case *c, CmkMessageType type, GBytes *message)
{
  g_autoptr (GError) error = NULL;
  GBytes *signature = cmk_signature_make (keys[c->spec], c->algorithm, type, message, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
  return signature;
}

/* What a signer may choose differently. */
typedef struct
{
  int salt_size;
  const char *mgf1_digest; /* NULL: the digest */
  const char *id;
} Choice;

static const Choice usual = { RSA_PSS_SALTLEN_DIGEST, NULL, "1234567812345678" };

static void
choose (EVP_PKEY_CTX *context, const Case *c, const Choice *choice)
{
  if (c->padding != 0)
    g_assert_cmpint (EVP_PKEY_CTX_set_rsa_padding (context, c->padding), ==, 1);
  if (c->padding == RSA_PKCS1_PSS_PADDING)
    {
      const char *mgf1_digest = choice->mgf1_digest != NULL ? choice->mgf1_digest : c->digest;
      g_assert_cmpint (EVP_PKEY_CTX_set_rsa_pss_saltlen (context, choice->salt_size), ==, 1);
      g_assert_cmpint (EVP_PKEY_CTX_set_rsa_mgf1_md_name (context, mgf1_digest, NULL), ==, 1);
    }
  if (c->algorithm == CMK_SIGNING_SM2DSA)
    g_assert_cmpint (EVP_PKEY_CTX_set1_id (context, choice->id, strlen (choice->id)), ==, 1);
}

static GBytes *
openssl_sign (const Case *c, const Choice *choice, GBytes *message)
{
  EVP_PKEY_CTX *context = NULL;
  g_autoptr (EVP_MD_CTX) digest = EVP_MD_CTX_new ();
  EVP_PKEY *pair = cmk_private_key_pair (keys[c->spec]);
  gsize size = (gsize) EVP_PKEY_get_size (pair);
  guint8 *signature = g_malloc (size);
  g_assert_cmpint (EVP_DigestSignInit_ex (digest, &context, c->digest, NULL, NULL, pair, NULL), ==, 1);
  choose (context, c, choice);
  g_assert_cmpint (
      EVP_DigestSign (digest, signature, &size, g_bytes_get_data (message, NULL), g_bytes_get_size (message)), ==, 1);
  return g_bytes_new_take (signature, size);
}

static void
assert_openssl_verifies (const Case *c, GBytes *message, GBytes *signature)
{
  EVP_PKEY_CTX *context = NULL;
  g_autoptr (GBytes) der = public_of (c->spec);
  const unsigned char *data = g_bytes_get_data (der, NULL);
  g_autoptr (EVP_PKEY) public = d2i_PUBKEY (NULL, &data, (long) g_bytes_get_size (der));
  g_autoptr (EVP_MD_CTX) digest = EVP_MD_CTX_new ();
  g_assert_cmpint (EVP_DigestVerifyInit_ex (digest, &context, c->digest, NULL, NULL, public, NULL), ==, 1);
  choose (context, c, &usual);
  g_assert_cmpint (EVP_DigestVerify (digest, g_bytes_get_data (signature, NULL), g_bytes_get_size (signature),
                                     g_bytes_get_data (message, NULL), g_bytes_get_size (message)),
                   ==, 1);
}

static void
test_both_ways (gconstpointer data)
{
  const Case *c = data;
  static const gsize message_sizes[] = { 1, 32, 6144 };
  g_autoptr (GBytes) public_der = public_of (c->spec);
  for (guint i = 0; i < G_N_ELEMENTS (message_sizes); i++)
    {
      g_autoptr (GBytes) message = g_bytes_new_take (g_malloc0 (message_sizes[i]), message_sizes[i]);
      g_autoptr (GBytes) signature = sign (c, CMK_MESSAGE_RAW, message);
      if (c->padding != 0)
        g_assert_cmpuint (g_bytes_get_size (signature), ==, 256);
      assert_openssl_verifies (c, message, signature);
      g_assert_true (check (public_der, c->algorithm, CMK_MESSAGE_RAW, message, signature));
      g_autoptr (GBytes) openssls = openssl_sign (c, &usual, message);
      g_assert_true (check (public_der, c->algorithm, CMK_MESSAGE_RAW, message, openssls));
    }
}

/* The digest of a message is signed as the message is; that of SM2 is over more than the message. */
static void
test_digest (gconstpointer data)
{
  const Case *c = data;
  static const char text[] = "a message";
  guint8 digest[EVP_MAX_MD_SIZE];
  g_autoptr (GBytes) public_der = public_of (c->spec);
  g_autoptr (GBytes) message = g_bytes_new_static (text, sizeof text);
  EVP_MD *md = EVP_MD_fetch (NULL, c->digest, NULL);
  g_assert_cmpint (EVP_Digest (text, sizeof text, digest, NULL, md, NULL), ==, 1);
  EVP_MD_free (md);
  g_autoptr (GBytes) digested = g_bytes_new (digest, c->digest_size);
  g_autoptr (GBytes) by_digest = sign (c, CMK_MESSAGE_DIGEST, digested);
  g_autoptr (GBytes) by_message = sign (c, CMK_MESSAGE_RAW, message);
  gboolean same = c->algorithm != CMK_SIGNING_SM2DSA;
  g_assert_true (check (public_der, c->algorithm, CMK_MESSAGE_DIGEST, digested, by_digest));
  g_assert_cmpint (check (public_der, c->algorithm, CMK_MESSAGE_RAW, message, by_digest), ==, same);
  g_assert_cmpint (check (public_der, c->algorithm, CMK_MESSAGE_DIGEST, digested, by_message), ==, same);
  g_assert_cmpuint (c->digest_size, ==, cmk_signing_algorithm_digest_bytes (c->algorithm));
}

/* --- what is no signature --- */

static void
assert_invalid (const Case *c, GBytes *message, const guint8 *data, gsize size)
{
  g_autoptr (GBytes) public_der = public_of (c->spec);
  g_autoptr (GBytes) signature = g_bytes_new (data, size);
  g_assert_false (check (public_der, c->algorithm, CMK_MESSAGE_RAW, message, signature));
}

static void
test_garbage (gconstpointer data)
{
  const Case *c = data;
  static const guint8 zeros[512];
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  g_autoptr (GBytes) signature = sign (c, CMK_MESSAGE_RAW, message);
  gsize size = g_bytes_get_size (signature);
  g_autofree guint8 *copy = g_malloc0 (size + 1);
  memcpy (copy, g_bytes_get_data (signature, NULL), size);
  assert_invalid (c, message, zeros, 0);
  assert_invalid (c, message, zeros, 1);
  assert_invalid (c, message, zeros, size);
  assert_invalid (c, message, zeros, sizeof zeros);
  assert_invalid (c, message, copy, size - 1);
  assert_invalid (c, message, copy, size + 1);
  for (gsize i = 0; i < size; i++)
    {
      copy[i] ^= (guint8) (1U << i % 8);
      assert_invalid (c, message, copy, size);
      copy[i] ^= (guint8) (1U << i % 8);
    }
}

/* The number would be the same (RFC 8017, 8.1.2). */
static void
test_without_leading_zero (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint number = 0; cases[i].padding != 0; number++)
      {
        g_autofree char *text = g_strdup_printf ("message %u", number);
        g_autoptr (GBytes) message = g_bytes_new (text, strlen (text));
        g_autoptr (GBytes) signature = sign (&cases[i], CMK_MESSAGE_RAW, message);
        gsize size;
        const guint8 *data = g_bytes_get_data (signature, &size);
        if (data[0] != 0)
          continue;
        assert_invalid (&cases[i], message, data + 1, size - 1);
        break;
      }
}

/* r and s are from 1 to n - 1, in the shortest DER, with nothing after them. */
static void
test_ecdsa_forms (void)
{
  static const char *const forms[] = {
    "3006020100020100",     "3006020101020100", "3006020100020101", "3006020101020101", "30060201ff0201ff", "3000",
    "30080201010201010500",
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint j = 0; cases[i].padding == 0 && j < G_N_ELEMENTS (forms); j++)
      {
        g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
        g_autoptr (GBytes) form = from_hex (forms[j]);
        assert_invalid (&cases[i], message, g_bytes_get_data (form, NULL), g_bytes_get_size (form));
      }
}

/* A signature by one algorithm is none by another, nor by another key. */
static void
test_other_algorithms (void)
{
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint j = 0; j < G_N_ELEMENTS (cases); j++)
      if (i != j)
        {
          g_autoptr (GBytes) public_der = public_of (cases[j].spec);
          g_autoptr (GBytes) signature = sign (&cases[i], CMK_MESSAGE_RAW, message);
          g_assert_false (check (public_der, cases[j].algorithm, CMK_MESSAGE_RAW, message, signature));
        }
}

static void
test_other_choices (void)
{
  static const struct
  {
    guint of;
    Choice choice;
  } choices[] = {
    { 0, { 0, NULL, NULL } },
    { 0, { 20, NULL, NULL } },
    { 0, { 31, NULL, NULL } },
    { 0, { 33, NULL, NULL } },
    { 0, { RSA_PSS_SALTLEN_MAX, NULL, NULL } },
    { 0, { RSA_PSS_SALTLEN_DIGEST, "SHA1", NULL } },
    { 0, { RSA_PSS_SALTLEN_DIGEST, "SHA512", NULL } },
    { 1, { 32, NULL, NULL } },
    { 2, { 48, NULL, NULL } },
    { 9, { 0, NULL, "" } },
    { 9, { 0, NULL, "1234567812345679" } },
  };
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  for (guint i = 0; i < G_N_ELEMENTS (choices); i++)
    {
      g_autoptr (GBytes) signature = openssl_sign (&cases[choices[i].of], &choices[i].choice, message);
      assert_invalid (&cases[choices[i].of], message, g_bytes_get_data (signature, NULL), g_bytes_get_size (signature));
    }
}

/* --- the public key --- */

static void
assert_key_refused (const guint8 *data, gsize size, CmkSigningAlgorithm algorithm)
{
  gboolean valid = -1;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) der = g_bytes_new (data, size);
  g_autoptr (GBytes) message = g_bytes_new_static ("message", 7);
  g_assert_false (cmk_signature_check (der, algorithm, CMK_MESSAGE_RAW, message, message, &valid, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  g_assert_false (valid);
  g_assert_cmpuint (ERR_peek_error (), ==, 0);
}

static void
test_damaged_key (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) der = public_of (cases[i].spec);
      gsize size = g_bytes_get_size (der);
      g_autofree guint8 *copy = g_malloc0 (size + 1);
      memcpy (copy, g_bytes_get_data (der, NULL), size);
      for (gsize other = 0; other <= size + 1; other++)
        if (other != size)
          assert_key_refused (copy, other, cases[i].algorithm);
      copy[10] ^= 1; /* in the identifier */
      assert_key_refused (copy, size, cases[i].algorithm);
      copy[10] ^= 1;
      copy[size - 1] ^= 1; /* off the curve, or another exponent */
      if (cases[i].padding == 0)
        assert_key_refused (copy, size, cases[i].algorithm);
    }
}

static void
add_cases (const char *what, GTestDataFunc function)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path =
          g_strdup_printf ("/signature/%s/%s-%s", cmk_spec_name (cmk_signing_algorithms, (int) cases[i].algorithm),
                           cmk_spec_name (cmk_key_specs, (int) cases[i].spec), what);
      g_test_add_data_func (path, &cases[i], function);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_secret_init (&error) || !cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (keys[cases[i].spec] == NULL)
      keys[cases[i].spec] = generate (cases[i].spec);
  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      g_autofree char *path = g_strdup_printf ("/signature/vector/%s", vectors[i].name);
      g_test_add_data_func (path, &vectors[i], test_vector);
    }
  g_test_add_func ("/signature/vector/sm2-digest", test_sm2_digest);
  add_cases ("both-ways-with-openssl", test_both_ways);
  add_cases ("digest", test_digest);
  add_cases ("garbage-is-invalid", test_garbage);
  g_test_add_func ("/signature/rsa-without-leading-zero", test_without_leading_zero);
  g_test_add_func ("/signature/ecdsa-forms", test_ecdsa_forms);
  g_test_add_func ("/signature/other-algorithm-is-invalid", test_other_algorithms);
  g_test_add_func ("/signature/other-choice-is-invalid", test_other_choices);
  g_test_add_func ("/signature/damaged-public-key-is-no-answer", test_damaged_key);
  int result = g_test_run ();
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    cmk_private_key_free (keys[i]);
  return result;
}
