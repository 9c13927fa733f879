/* SPDX-License-Identifier: Apache-2.0
 *
 * The closed sets of base/spec.h and base/algorithm.h. */
#include "base/algorithm.h"

#include <string.h>

typedef struct
{
  const CmkSpecName *set;
  int value;
  const char *name;
} Member;

/* Spelled out once more: these numbers are in people's databases and under their MACs. */
static const Member members[] = {
  { cmk_key_specs, 1, "AES_256" },
  { cmk_key_specs, 2, "SM4" },
  { cmk_key_specs, 3, "HMAC_256" },
  { cmk_key_specs, 4, "HMAC_384" },
  { cmk_key_specs, 5, "HMAC_512" },
  { cmk_key_specs, 6, "RSA_2048" },
  { cmk_key_specs, 7, "RSA_3072" },
  { cmk_key_specs, 8, "RSA_4096" },
  { cmk_key_specs, 9, "EC_P256" },
  { cmk_key_specs, 10, "EC_P384" },
  { cmk_key_specs, 11, "EC_P256K" },
  { cmk_key_specs, 12, "EC_SM2" },
  { cmk_key_usages, 1, "ENCRYPT_DECRYPT" },
  { cmk_key_usages, 2, "SIGN_VERIFY" },
  { cmk_key_usages, 3, "GENERATE_VERIFY_MAC" },
  { cmk_origins, 1, "CMKD_KMS" },
  { cmk_origins, 2, "EXTERNAL" },
  { cmk_protection_levels, 1, "SOFTWARE" },
  { cmk_protection_levels, 2, "TPM" },
  { cmk_key_states, 1, "Enabled" },
  { cmk_key_states, 2, "Disabled" },
  { cmk_key_states, 3, "PendingImport" },
  { cmk_key_states, 4, "PendingDeletion" },
  { cmk_wrapping_algorithms, 1, "RSAES_PKCS1_V1_5" },
  { cmk_wrapping_algorithms, 2, "RSAES_OAEP_SHA_1" },
  { cmk_wrapping_algorithms, 3, "RSAES_OAEP_SHA_256" },
  { cmk_wrapping_algorithms, 4, "SM2PKE" },
  { cmk_wrapping_algorithms, 5, "RSA_AES_KEY_WRAP_SHA_1" },
  { cmk_wrapping_algorithms, 6, "RSA_AES_KEY_WRAP_SHA_256" },
  { cmk_wrapping_algorithms, 7, "RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD" },
  { cmk_wrapping_algorithms, 8, "SM2PKE_SM4_ECB" },
  { cmk_wrapping_key_specs, 1, "RSA_2048" },
  { cmk_wrapping_key_specs, 2, "RSA_3072" },
  { cmk_wrapping_key_specs, 3, "RSA_4096" },
  { cmk_wrapping_key_specs, 4, "EC_SM2" },
};

static gsize
count_set (const CmkSpecName *set)
{
  gsize n = 0;
  while (set[n].name != NULL)
    n++;
  return n;
}

static void
test_members (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    {
      int value = -1;
      g_assert_cmpstr (cmk_spec_name (members[i].set, members[i].value), ==, members[i].name);
      g_assert_true (cmk_spec_parse (members[i].set, members[i].name, &value));
      g_assert_cmpint (value, ==, members[i].value);
    }
  g_assert_cmpuint (count_set (cmk_key_specs) + count_set (cmk_key_usages) + count_set (cmk_origins) +
                        count_set (cmk_protection_levels) + count_set (cmk_key_states) +
                        count_set (cmk_wrapping_algorithms) + count_set (cmk_wrapping_key_specs),
                    ==, G_N_ELEMENTS (members));
}

static void
test_unknown (void)
{
  static const char *const names[] = { "", "aes_256", "AES_256 ", "AES_25", "AES_2567", "SM2PKE" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      int value = -1;
      g_assert_false (cmk_spec_parse (cmk_key_specs, names[i], &value));
      g_assert_cmpint (value, ==, -1);
    }
  g_assert_null (cmk_spec_name (cmk_key_specs, 0));
  g_assert_null (cmk_spec_name (cmk_key_specs, 13));
  g_assert_null (cmk_spec_name (cmk_key_specs, -1));
}

static void
test_list (void)
{
  g_autofree char *two = cmk_spec_list (cmk_origins);
  g_assert_cmpstr (two, ==, "CMKD_KMS or EXTERNAL");
  g_autofree char *three = cmk_spec_list (cmk_key_usages);
  g_assert_cmpstr (three, ==, "ENCRYPT_DECRYPT, SIGN_VERIFY or GENERATE_VERIFY_MAC");
}

static void
test_material (void)
{
  static const gsize expected[] = {
    [CMK_KEY_SPEC_AES_256] = 32,  [CMK_KEY_SPEC_SM4] = 16,      [CMK_KEY_SPEC_HMAC_256] = 32,
    [CMK_KEY_SPEC_HMAC_384] = 48, [CMK_KEY_SPEC_HMAC_512] = 64, [CMK_KEY_SPEC_EC_SM2] = 0
  };
  for (const CmkSpecName *spec = cmk_key_specs; spec->name != NULL; spec++)
    g_assert_cmpuint (cmk_key_spec_material_bytes ((CmkKeySpec) spec->value), ==, expected[spec->value]);
}

typedef struct
{
  CmkKeySpec spec;
  CmkKeyUsage default_usage;
  gboolean encrypts, signs, macs;
} UsageCase;

static const UsageCase usage_cases[] = {
  { CMK_KEY_SPEC_AES_256, CMK_KEY_USAGE_ENCRYPT_DECRYPT, TRUE, FALSE, FALSE },
  { CMK_KEY_SPEC_SM4, CMK_KEY_USAGE_ENCRYPT_DECRYPT, TRUE, FALSE, FALSE },
  { CMK_KEY_SPEC_HMAC_256, CMK_KEY_USAGE_GENERATE_VERIFY_MAC, FALSE, FALSE, TRUE },
  { CMK_KEY_SPEC_HMAC_384, CMK_KEY_USAGE_GENERATE_VERIFY_MAC, FALSE, FALSE, TRUE },
  { CMK_KEY_SPEC_HMAC_512, CMK_KEY_USAGE_GENERATE_VERIFY_MAC, FALSE, FALSE, TRUE },
  { CMK_KEY_SPEC_RSA_2048, CMK_KEY_USAGE_SIGN_VERIFY, TRUE, TRUE, FALSE },
  { CMK_KEY_SPEC_RSA_3072, CMK_KEY_USAGE_SIGN_VERIFY, TRUE, TRUE, FALSE },
  { CMK_KEY_SPEC_RSA_4096, CMK_KEY_USAGE_SIGN_VERIFY, TRUE, TRUE, FALSE },
  { CMK_KEY_SPEC_EC_P256, CMK_KEY_USAGE_SIGN_VERIFY, FALSE, TRUE, FALSE },
  { CMK_KEY_SPEC_EC_P384, CMK_KEY_USAGE_SIGN_VERIFY, FALSE, TRUE, FALSE },
  { CMK_KEY_SPEC_EC_P256K, CMK_KEY_USAGE_SIGN_VERIFY, FALSE, TRUE, FALSE },
  { CMK_KEY_SPEC_EC_SM2, CMK_KEY_USAGE_SIGN_VERIFY, TRUE, TRUE, FALSE },
};

static void
test_usages (void)
{
  g_assert_cmpuint (G_N_ELEMENTS (usage_cases), ==, count_set (cmk_key_specs));
  for (gsize i = 0; i < G_N_ELEMENTS (usage_cases); i++)
    {
      const UsageCase *test = &usage_cases[i];
      g_test_message ("%s", cmk_spec_name (cmk_key_specs, (int) test->spec));
      g_assert_cmpint (cmk_key_spec_default_usage (test->spec), ==, test->default_usage);
      g_assert_cmpint (cmk_key_spec_supports_usage (test->spec, CMK_KEY_USAGE_ENCRYPT_DECRYPT), ==, test->encrypts);
      g_assert_cmpint (cmk_key_spec_supports_usage (test->spec, CMK_KEY_USAGE_SIGN_VERIFY), ==, test->signs);
      g_assert_cmpint (cmk_key_spec_supports_usage (test->spec, CMK_KEY_USAGE_GENERATE_VERIFY_MAC), ==, test->macs);
    }
}

/* RSA_2048, RSA_3072, RSA_4096, EC_SM2: one letter each, in the order of the algorithms. */
static const char *const wrapping_fits[] = { "yyy-", "yyy-", "yyy-", "---y", "yyy-", "yyy-", "y---", "---y" };

static void
test_wrapping (void)
{
  static const guint bits[] = { 2048, 3072, 4096, 0 };
  g_assert_cmpuint (G_N_ELEMENTS (wrapping_fits), ==, count_set (cmk_wrapping_algorithms));
  for (gsize i = 0; i < G_N_ELEMENTS (wrapping_fits); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (bits); j++)
      {
        CmkWrappingAlgorithm algorithm = (CmkWrappingAlgorithm) cmk_wrapping_algorithms[i].value;
        CmkWrappingKeySpec spec = (CmkWrappingKeySpec) cmk_wrapping_key_specs[j].value;
        g_assert_cmpint (cmk_wrapping_algorithm_fits (algorithm, spec), ==, wrapping_fits[i][j] == 'y');
        g_assert_cmpuint (cmk_key_spec_rsa_bits (cmk_wrapping_key_spec_key (spec)), ==, bits[j]);
      }
}

/* A row of letters for what fits: "y" for each key spec that does, in the order of the specs. */
static void
assert_fits (const char *row, gboolean (*fits) (int value, CmkKeySpec spec), int value)
{
  g_assert_cmpuint (strlen (row), ==, count_set (cmk_key_specs));
  for (gsize i = 0; i < count_set (cmk_key_specs); i++)
    g_assert_cmpint (fits (value, (CmkKeySpec) cmk_key_specs[i].value), ==, row[i] == 'y');
}

static gboolean
carries (int value, CmkKeySpec spec)
{
  return cmk_wrapping_algorithm_carries ((CmkWrappingAlgorithm) value, spec);
}

static void
test_carriers (void)
{
  /* AES SM4, HMAC of 256, 384, 512, RSA of 2048, 3072, 4096, P256 P384 P256K SM2 */
  static const char *const rows[] = { "yyyyyyyyyyyy", "yyyyyyyyyyyy", "yyyyyyyyyyyy", "yyyyyyyyyyyy",
                                      "yyyyyyyyyyyy", "yyyyyyyyyyyy", "-----yyyyyyy", "-----------y" };
  g_assert_cmpuint (G_N_ELEMENTS (rows), ==, count_set (cmk_wrapping_algorithms));
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    assert_fits (rows[i], carries, cmk_wrapping_algorithms[i].value);
}

static gboolean
signs (int value, CmkKeySpec spec)
{
  return (cmk_signing_algorithm_specs ((CmkSigningAlgorithm) value) & CMK_KEY_SPEC_BIT (spec)) != 0;
}

static gboolean
encrypts (int value, CmkKeySpec spec)
{
  return (cmk_encryption_algorithm_specs ((CmkEncryptionAlgorithm) value) & CMK_KEY_SPEC_BIT (spec)) != 0;
}

static gboolean
macs (int value, CmkKeySpec spec)
{
  return (cmk_mac_algorithm_specs ((CmkMacAlgorithm) value) & CMK_KEY_SPEC_BIT (spec)) != 0;
}

typedef struct
{
  const CmkSpecName *set;
  const char *name;
  gboolean (*fits) (int value, CmkKeySpec spec);
  const char *row;
  gsize digest_bytes; /* of a signature */
} AlgorithmCase;

static const AlgorithmCase algorithm_cases[] = {
  { cmk_signing_algorithms, "RSA_PSS_SHA_256", signs, "-----yyy----", 32 },
  { cmk_signing_algorithms, "RSA_PSS_SHA_384", signs, "-----yyy----", 48 },
  { cmk_signing_algorithms, "RSA_PSS_SHA_512", signs, "-----yyy----", 64 },
  { cmk_signing_algorithms, "RSA_PKCS1_SHA_256", signs, "-----yyy----", 32 },
  { cmk_signing_algorithms, "RSA_PKCS1_SHA_384", signs, "-----yyy----", 48 },
  { cmk_signing_algorithms, "RSA_PKCS1_SHA_512", signs, "-----yyy----", 64 },
  { cmk_signing_algorithms, "ECDSA_SHA_256", signs, "--------y-y-", 32 },
  { cmk_signing_algorithms, "ECDSA_SHA_384", signs, "---------y--", 48 },
  { cmk_signing_algorithms, "SM2DSA", signs, "-----------y", 32 },
  { cmk_encryption_algorithms, "RSAES_OAEP_SHA_1", encrypts, "-----yyy----", 0 },
  { cmk_encryption_algorithms, "RSAES_OAEP_SHA_256", encrypts, "-----yyy----", 0 },
  { cmk_encryption_algorithms, "SM2PKE", encrypts, "-----------y", 0 },
  { cmk_mac_algorithms, "HMAC_SHA_256", macs, "--y---------", 0 },
  { cmk_mac_algorithms, "HMAC_SHA_384", macs, "---y--------", 0 },
  { cmk_mac_algorithms, "HMAC_SHA_512", macs, "----y-------", 0 },
};

static void
test_algorithms (void)
{
  g_assert_cmpuint (count_set (cmk_signing_algorithms) + count_set (cmk_encryption_algorithms) +
                        count_set (cmk_mac_algorithms),
                    ==, G_N_ELEMENTS (algorithm_cases));
  for (gsize i = 0; i < G_N_ELEMENTS (algorithm_cases); i++)
    {
      const AlgorithmCase *test = &algorithm_cases[i];
      int value = 0;
      g_test_message ("%s", test->name);
      g_assert_true (cmk_spec_parse (test->set, test->name, &value));
      g_assert_cmpstr (cmk_spec_name (test->set, value), ==, test->name);
      assert_fits (test->row, test->fits, value);
      if (test->digest_bytes > 0)
        g_assert_cmpuint (cmk_signing_algorithm_digest_bytes ((CmkSigningAlgorithm) value), ==, test->digest_bytes);
    }
  g_autofree char *types = cmk_spec_list (cmk_message_types);
  g_assert_cmpstr (types, ==, "RAW or DIGEST");
}

/* As Alibaba says them, and RSA_4096 by the same rule (RFC 8017, 7.1.1). */
static void
test_plaintext_limits (void)
{
  static const struct
  {
    CmkEncryptionAlgorithm algorithm;
    CmkKeySpec spec;
    gsize limit;
  } limits[] = {
    { CMK_ENCRYPTION_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_2048, 214 },
    { CMK_ENCRYPTION_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_RSA_2048, 190 },
    { CMK_ENCRYPTION_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_3072, 342 },
    { CMK_ENCRYPTION_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_RSA_3072, 318 },
    { CMK_ENCRYPTION_RSAES_OAEP_SHA_1, CMK_KEY_SPEC_RSA_4096, 470 },
    { CMK_ENCRYPTION_RSAES_OAEP_SHA_256, CMK_KEY_SPEC_RSA_4096, 446 },
    { CMK_ENCRYPTION_SM2PKE, CMK_KEY_SPEC_EC_SM2, 6047 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (limits); i++)
    g_assert_cmpuint (cmk_encryption_algorithm_max_plaintext (limits[i].algorithm, limits[i].spec), ==,
                      limits[i].limit);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/spec/numbers-and-names-never-change", test_members);
  g_test_add_func ("/spec/unknown-is-refused", test_unknown);
  g_test_add_func ("/spec/list-reads-as-a-sentence", test_list);
  g_test_add_func ("/spec/material-of-symmetric-keys", test_material);
  g_test_add_func ("/spec/usages-by-spec", test_usages);
  g_test_add_func ("/spec/wrapping-algorithms-by-key-spec", test_wrapping);
  g_test_add_func ("/spec/wrapping-algorithms-by-what-they-carry", test_carriers);
  g_test_add_func ("/spec/algorithms-by-key-spec", test_algorithms);
  g_test_add_func ("/spec/longest-plaintexts", test_plaintext_limits);
  return g_test_run ();
}
