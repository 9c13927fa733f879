/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/actions.h"

#include "cmkd.h"

#define PREFIX CMKD_BUS_NAME "."

static const char *const names[] = {
  [CMK_ACTION_NONE] = NULL,
  [CMK_ACTION_USE_OWN_KEYS] = PREFIX "use-own-keys",
  [CMK_ACTION_MANAGE_OWN_KEYS] = PREFIX "manage-own-keys",
  [CMK_ACTION_MANAGE_OTHERS_KEYS] = PREFIX "manage-others-keys",
  [CMK_ACTION_RECOVER] = PREFIX "recover",
};

/* What only looks on is use. Nobody but its owner, who has a grant, and root uses a key, whatever the policy says: so
 * it opens nobody else's to GrantKey, with which he could give himself the use. */
static const CmkMethodRule rules[] = {
  /* Keys */
  { "CreateKey", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, FALSE },
  { "DescribeKey", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_DESCRIBE_KEY, TRUE },
  { "ListKeys", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_DESCRIBE_KEY, FALSE },
  { "EnableKey", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_ENABLE_KEY, TRUE },
  { "DisableKey", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_DISABLE_KEY, TRUE },
  { "ScheduleKeyDeletion", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "CancelKeyDeletion", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "UpdateKeyDescription", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "CreateAlias", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "UpdateAlias", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "DeleteAlias", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, FALSE },
  { "ListAliases", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_DESCRIBE_KEY, TRUE },
  { "TagResource", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "UntagResource", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "GrantKey", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, FALSE },
  { "RevokeGrant", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },
  { "ListGrants", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, TRUE },

  /* Import */
  { "GetParametersForImport", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_GET_PARAMETERS_FOR_IMPORT, TRUE },
  { "ImportKeyMaterial", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_IMPORT_KEY_MATERIAL, TRUE },
  { "DeleteKeyMaterial", CMK_ACTION_MANAGE_OWN_KEYS, CMK_OPERATION_DELETE_KEY_MATERIAL, TRUE },

  /* Crypto; the two halves of ReEncrypt are operations of their own */
  { "Encrypt", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_ENCRYPT, FALSE },
  { "Decrypt", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_DECRYPT, FALSE },
  { "ReEncrypt", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_OWNER_ONLY, FALSE },
  { "GenerateDataKey", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_GENERATE_DATA_KEY, FALSE },
  { "GenerateDataKeyWithoutPlaintext", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
    FALSE },
  { "Sign", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_SIGN, FALSE },
  { "Verify", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_VERIFY, FALSE },
  { "AsymmetricEncrypt", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_ASYMMETRIC_ENCRYPT, FALSE },
  { "AsymmetricDecrypt", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_ASYMMETRIC_DECRYPT, FALSE },
  { "GenerateMac", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_GENERATE_MAC, FALSE },
  { "VerifyMac", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_VERIFY_MAC, FALSE },
  { "GetPublicKey", CMK_ACTION_USE_OWN_KEYS, CMK_OPERATION_GET_PUBLIC_KEY, FALSE },

  /* Service */
  { "GetStatus", CMK_ACTION_NONE, CMK_OPERATION_OWNER_ONLY, FALSE },
  { "Recover", CMK_ACTION_RECOVER, CMK_OPERATION_OWNER_ONLY, FALSE },
};

const CmkMethodRule *
cmk_actions_find (const char *method)
{
  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++)
    if (g_str_equal (rules[i].method, method))
      return &rules[i];
  return NULL;
}

const char *
cmk_actions_name (CmkAction action)
{
  return names[action];
}
