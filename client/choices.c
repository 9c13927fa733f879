/* SPDX-License-Identifier: Apache-2.0 */
#include "choices.h"

#include <string.h>

typedef struct
{
  const char *verb; /* NULL: of all the verbs that have no row of their own */
  const char *placeholder;
  const char *values;
} Choice;

#define SIGNING                                                                                                        \
  "RSA_PSS_SHA_256 RSA_PSS_SHA_384 RSA_PSS_SHA_512 RSA_PKCS1_SHA_256 RSA_PKCS1_SHA_384 "                               \
  "RSA_PKCS1_SHA_512 ECDSA_SHA_256 ECDSA_SHA_384 SM2DSA"
#define ENCRYPTION    "RSAES_OAEP_SHA_256 RSAES_OAEP_SHA_1 SM2PKE"
#define KEY_SPEC      "AES_256 SM4 HMAC_256 HMAC_384 HMAC_512 RSA_2048 RSA_3072 RSA_4096 EC_P256 EC_P384 EC_P256K EC_SM2"
#define WRAPPING_SPEC "RSA_2048 RSA_3072 RSA_4096 EC_SM2"

/* What a grant can give. */
#define OPERATIONS                                                                                                     \
  "DescribeKey GetPublicKey Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey "                                \
  "GenerateDataKeyWithoutPlaintext "                                                                                   \
  "Sign Verify AsymmetricEncrypt AsymmetricDecrypt GenerateMac VerifyMac GetParametersForImport ImportKeyMaterial "    \
  "DeleteKeyMaterial EnableKey DisableKey"

static const Choice choices[] = {
  { "data-key", "SPEC", "AES_256 AES_128" },
  { "get-parameters", "SPEC", WRAPPING_SPEC },
  { "import", "SPEC", WRAPPING_SPEC },
  { "import", "KEY-SPEC", KEY_SPEC },
  { NULL, "SPEC", KEY_SPEC },
  { "sign", "ALGORITHM", SIGNING },
  { "verify", "ALGORITHM", SIGNING },
  { "mac", "ALGORITHM", "HMAC_SHA_256 HMAC_SHA_384 HMAC_SHA_512" },
  { "asymmetric-encrypt", "ALGORITHM", ENCRYPTION },
  { "asymmetric-decrypt", "ALGORITHM", ENCRYPTION },
  { NULL, "ALGORITHM",
    "RSAES_OAEP_SHA_256 RSAES_OAEP_SHA_1 RSAES_PKCS1_V1_5 SM2PKE RSA_AES_KEY_WRAP_SHA_256 RSA_AES_KEY_WRAP_SHA_1 "
    "RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD SM2PKE_SM4_ECB" },
  { NULL, "ORIGIN", "CMKD_KMS EXTERNAL" },
  { NULL, "USAGE", "ENCRYPT_DECRYPT SIGN_VERIFY GENERATE_VERIFY_MAC" },
  { NULL, "LEVEL", "SOFTWARE TPM" },
  { NULL, "STATE", "Enabled Disabled PendingImport PendingDeletion" },
  { NULL, "CAUSE", "tpm-changed rollback-detected" },
  { NULL, "OPERATION", OPERATIONS },
  { NULL, "METHOD",
    "CreateKey DescribeKey ListKeys EnableKey DisableKey ScheduleKeyDeletion CancelKeyDeletion UpdateKeyDescription "
    "CreateAlias UpdateAlias DeleteAlias ListAliases TagResource UntagResource GrantKey RevokeGrant ListGrants "
    "GetParametersForImport ImportKeyMaterial DeleteKeyMaterial Encrypt Decrypt ReEncrypt GenerateDataKey "
    "GenerateDataKeyWithoutPlaintext Sign Verify AsymmetricEncrypt AsymmetricDecrypt GenerateMac VerifyMac "
    "GetPublicKey "
    "GetStatus Recover" },
  { "alias", "ACTION", "create update delete list" },
};

typedef struct
{
  const char *verb;
  const char *action;
  const char *operands;
} Action;

static const Action actions[] = {
  { "alias", "create", "ACTION NAME KEY" },
  { "alias", "update", "ACTION ALIAS KEY" },
  { "alias", "delete", "ACTION ALIAS" },
  { "alias", "list", "ACTION KEY" },
};

const char *
cmk_choices_find (const CmkVerb *verb, const char *placeholder)
{
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
    if (strcmp (choices[i].placeholder, placeholder) == 0 &&
        (choices[i].verb == NULL || strcmp (choices[i].verb, verb->name) == 0))
      return choices[i].values;
  return NULL;
}

const char *
cmk_choices_operands (const CmkVerb *verb, const char *action)
{
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
    if (strcmp (actions[i].verb, verb->name) == 0 && strcmp (actions[i].action, action) == 0)
      return actions[i].operands;
  return NULL;
}
