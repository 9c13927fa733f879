/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spec.h"

const CmkSpecName cmk_key_specs[] = {
  { CMK_KEY_SPEC_AES_256, "AES_256" },
  { CMK_KEY_SPEC_SM4, "SM4" },
  { CMK_KEY_SPEC_HMAC_256, "HMAC_256" },
  { CMK_KEY_SPEC_HMAC_384, "HMAC_384" },
  { CMK_KEY_SPEC_HMAC_512, "HMAC_512" },
  { CMK_KEY_SPEC_RSA_2048, "RSA_2048" },
  { CMK_KEY_SPEC_RSA_3072, "RSA_3072" },
  { CMK_KEY_SPEC_RSA_4096, "RSA_4096" },
  { CMK_KEY_SPEC_EC_P256, "EC_P256" },
  { CMK_KEY_SPEC_EC_P384, "EC_P384" },
  { CMK_KEY_SPEC_EC_P256K, "EC_P256K" },
  { CMK_KEY_SPEC_EC_SM2, "EC_SM2" },
  { 0, NULL },
};

const CmkSpecName cmk_key_usages[] = {
  { CMK_KEY_USAGE_ENCRYPT_DECRYPT, "ENCRYPT_DECRYPT" },
  { CMK_KEY_USAGE_SIGN_VERIFY, "SIGN_VERIFY" },
  { CMK_KEY_USAGE_GENERATE_VERIFY_MAC, "GENERATE_VERIFY_MAC" },
  { 0, NULL },
};

const CmkSpecName cmk_origins[] = {
  { CMK_ORIGIN_CMKD_KMS, "CMKD_KMS" },
  { CMK_ORIGIN_EXTERNAL, "EXTERNAL" },
  { 0, NULL },
};

const CmkSpecName cmk_protection_levels[] = {
  { CMK_PROTECTION_LEVEL_SOFTWARE, "SOFTWARE" },
  { CMK_PROTECTION_LEVEL_TPM, "TPM" },
  { 0, NULL },
};

const CmkSpecName cmk_key_states[] = {
  { CMK_KEY_STATE_ENABLED, "Enabled" },
  { CMK_KEY_STATE_DISABLED, "Disabled" },
  { CMK_KEY_STATE_PENDING_IMPORT, "PendingImport" },
  { CMK_KEY_STATE_PENDING_DELETION, "PendingDeletion" },
  { 0, NULL },
};

const CmkSpecName cmk_wrapping_algorithms[] = {
  { CMK_WRAPPING_RSAES_PKCS1_V1_5, "RSAES_PKCS1_V1_5" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_1, "RSAES_OAEP_SHA_1" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256, "RSAES_OAEP_SHA_256" },
  { CMK_WRAPPING_SM2PKE, "SM2PKE" },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1, "RSA_AES_KEY_WRAP_SHA_1" },
  { CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256, "RSA_AES_KEY_WRAP_SHA_256" },
  { CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD, "RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD" },
  { CMK_WRAPPING_SM2PKE_SM4_ECB, "SM2PKE_SM4_ECB" },
  { 0, NULL },
};

const CmkSpecName cmk_wrapping_key_specs[] = {
  { CMK_WRAPPING_KEY_RSA_2048, "RSA_2048" },
  { CMK_WRAPPING_KEY_RSA_3072, "RSA_3072" },
  { CMK_WRAPPING_KEY_RSA_4096, "RSA_4096" },
  { CMK_WRAPPING_KEY_EC_SM2, "EC_SM2" },
  { 0, NULL },
};

const CmkSpecName cmk_operations[] = {
  { CMK_OPERATION_DESCRIBE_KEY, "DescribeKey" },
  { CMK_OPERATION_GET_PUBLIC_KEY, "GetPublicKey" },
  { CMK_OPERATION_ENCRYPT, "Encrypt" },
  { CMK_OPERATION_DECRYPT, "Decrypt" },
  { CMK_OPERATION_RE_ENCRYPT_FROM, "ReEncryptFrom" },
  { CMK_OPERATION_RE_ENCRYPT_TO, "ReEncryptTo" },
  { CMK_OPERATION_GENERATE_DATA_KEY, "GenerateDataKey" },
  { CMK_OPERATION_GENERATE_DATA_KEY_WITHOUT_PLAINTEXT, "GenerateDataKeyWithoutPlaintext" },
  { CMK_OPERATION_SIGN, "Sign" },
  { CMK_OPERATION_VERIFY, "Verify" },
  { CMK_OPERATION_ASYMMETRIC_ENCRYPT, "AsymmetricEncrypt" },
  { CMK_OPERATION_ASYMMETRIC_DECRYPT, "AsymmetricDecrypt" },
  { CMK_OPERATION_GENERATE_MAC, "GenerateMac" },
  { CMK_OPERATION_VERIFY_MAC, "VerifyMac" },
  { CMK_OPERATION_GET_PARAMETERS_FOR_IMPORT, "GetParametersForImport" },
  { CMK_OPERATION_IMPORT_KEY_MATERIAL, "ImportKeyMaterial" },
  { CMK_OPERATION_DELETE_KEY_MATERIAL, "DeleteKeyMaterial" },
  { CMK_OPERATION_ENABLE_KEY, "EnableKey" },
  { CMK_OPERATION_DISABLE_KEY, "DisableKey" },
  { 0, NULL },
};

const char *
cmk_spec_name (const CmkSpecName *set, int value)
{
  for (; set->name != NULL; set++)
    if (set->value == value)
      return set->name;
  return NULL;
}

gboolean
cmk_spec_parse (const CmkSpecName *set, const char *name, int *ret_value)
{
  for (; set->name != NULL; set++)
    if (g_str_equal (set->name, name))
      {
        *ret_value = set->value;
        return TRUE;
      }
  return FALSE;
}

char *
cmk_spec_list (const CmkSpecName *set)
{
  GString *list = g_string_new (set->name);
  for (set++; set->name != NULL; set++)
    g_string_append_printf (list, "%s%s", set[1].name == NULL ? " or " : ", ", set->name);
  return g_string_free (list, FALSE);
}

gsize
cmk_key_spec_material_bytes (CmkKeySpec spec)
{
  switch (spec)
    {
    case CMK_KEY_SPEC_AES_256:
      return 32;
    case CMK_KEY_SPEC_SM4:
      return 16;
    case CMK_KEY_SPEC_HMAC_256:
      return 32;
    case CMK_KEY_SPEC_HMAC_384:
      return 48;
    case CMK_KEY_SPEC_HMAC_512:
      return 64;
    default:
      return 0;
    }
}

gboolean
cmk_key_spec_is_asymmetric (CmkKeySpec spec)
{
  return cmk_key_spec_material_bytes (spec) == 0;
}

guint
cmk_key_spec_rsa_bits (CmkKeySpec spec)
{
  switch (spec)
    {
    case CMK_KEY_SPEC_RSA_2048:
      return 2048;
    case CMK_KEY_SPEC_RSA_3072:
      return 3072;
    case CMK_KEY_SPEC_RSA_4096:
      return 4096;
    default:
      return 0;
    }
}

CmkKeyUsage
cmk_key_spec_default_usage (CmkKeySpec spec)
{
  switch (spec)
    {
    case CMK_KEY_SPEC_AES_256:
    case CMK_KEY_SPEC_SM4:
      return CMK_KEY_USAGE_ENCRYPT_DECRYPT;
    case CMK_KEY_SPEC_HMAC_256:
    case CMK_KEY_SPEC_HMAC_384:
    case CMK_KEY_SPEC_HMAC_512:
      return CMK_KEY_USAGE_GENERATE_VERIFY_MAC;
    default:
      return CMK_KEY_USAGE_SIGN_VERIFY;
    }
}

gboolean
cmk_key_spec_supports_usage (CmkKeySpec spec, CmkKeyUsage usage)
{
  if (usage == cmk_key_spec_default_usage (spec))
    return TRUE;
  gboolean may_encrypt = cmk_key_spec_rsa_bits (spec) > 0 || spec == CMK_KEY_SPEC_EC_SM2;
  return usage == CMK_KEY_USAGE_ENCRYPT_DECRYPT && may_encrypt;
}

CmkKeySpec
cmk_wrapping_key_spec_key (CmkWrappingKeySpec spec)
{
  switch (spec)
    {
    case CMK_WRAPPING_KEY_RSA_2048:
      return CMK_KEY_SPEC_RSA_2048;
    case CMK_WRAPPING_KEY_RSA_3072:
      return CMK_KEY_SPEC_RSA_3072;
    case CMK_WRAPPING_KEY_RSA_4096:
      return CMK_KEY_SPEC_RSA_4096;
    default:
      return CMK_KEY_SPEC_EC_SM2;
    }
}

gboolean
cmk_wrapping_algorithm_fits (CmkWrappingAlgorithm algorithm, CmkWrappingKeySpec spec)
{
  switch (algorithm)
    {
    case CMK_WRAPPING_SM2PKE:
    case CMK_WRAPPING_SM2PKE_SM4_ECB:
      return spec == CMK_WRAPPING_KEY_EC_SM2;
    case CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD:
      return spec == CMK_WRAPPING_KEY_RSA_2048;
    default:
      return spec != CMK_WRAPPING_KEY_EC_SM2;
    }
}

gboolean
cmk_wrapping_algorithm_carries (CmkWrappingAlgorithm algorithm, CmkKeySpec spec)
{
  switch (algorithm)
    {
    case CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD:
      return cmk_key_spec_is_asymmetric (spec);
    case CMK_WRAPPING_SM2PKE_SM4_ECB:
      return spec == CMK_KEY_SPEC_EC_SM2;
    default:
      return TRUE;
    }
}
