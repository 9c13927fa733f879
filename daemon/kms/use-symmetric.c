/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/use-symmetric.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/message.h"
#include "kms/access.h"
#include "kms/usable.h"

static const CmkPurpose symmetric = {
  .usage = CMK_KEY_USAGE_ENCRYPT_DECRYPT,
  .specs = CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_AES_256) | CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_SM4),
  .name = "symmetric encryption (not AsymmetricEncrypt and AsymmetricDecrypt)",
};

GBytes *
cmk_use_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key, GBytes *context,
                 const CmkSecret *plaintext, CmkUuid *ret_key_id, GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  if (!cmk_usable_get (kms, caller, effort, key, &symmetric, &usable, error))
    return NULL;
  *ret_key_id = usable.id;
  return cmk_message_seal (&usable.hmac_key, usable.spec, &usable.id, context, plaintext, error);
}

static gboolean
get_usable_of_blob (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, CmkUsable *ret_usable,
                    GError **error)
{
  CmkKeyReference named = { 0 };
  if (!cmk_message_key_id (blob, &named.id, error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  if (cmk_usable_get (kms, caller, effort, &named, &symmetric, ret_usable, &local_error))
    return TRUE;
  /* A key that is unknown, deleted or another's is not told from a blob that was altered. */
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND))
    cmk_message_set_invalid (error);
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* The id of the key that @caller expects, who may see it. */
static gboolean
find_expected_key (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *expected,
                   CmkUuid *ret_id, GError **error)
{
  if (effort == CMK_EFFORT_CACHED)
    {
      g_auto (CmkActiveKey) key = { 0 };
      if (expected->alias != NULL || !cmk_active_keys_lookup (cmk_kms_active_keys (kms), &expected->id, &key))
        {
          g_set_error_literal (error, CMK_CACHE_MISS, 0, "not cached");
          return FALSE;
        }
      if (!cmk_access_require_active (kms, caller, &key, error))
        return FALSE;
      *ret_id = key.id;
      return TRUE;
    }
  gint64 now;
  if (!cmk_kms_begin (kms, &now, error))
    return FALSE;
  g_autoptr (CmkKeyRecord) record = cmk_kms_load_key (kms, caller, expected, now, error);
  if (record == NULL)
    return FALSE;
  *ret_id = record->id;
  return TRUE;
}

static gboolean
check_expected_key (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob,
                    const CmkKeyReference *expected, GError **error)
{
  CmkUuid id, named;
  if (!find_expected_key (kms, caller, effort, expected, &id, error) || !cmk_message_key_id (blob, &named, error))
    return FALSE;
  if (cmk_uuid_equal (&named, &id))
    return TRUE;
  cmk_message_set_invalid (error);
  return FALSE;
}

CmkSecret *
cmk_use_decrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, GBytes *context,
                 const CmkKeyReference *expected_key, CmkUuid *ret_key_id, GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  if (expected_key != NULL && !check_expected_key (kms, caller, effort, blob, expected_key, error))
    return NULL;
  if (!get_usable_of_blob (kms, caller, effort, blob, &usable, error))
    return NULL;
  *ret_key_id = usable.id;
  return cmk_message_open (&usable.hmac_key, usable.spec, blob, context, error);
}

GBytes *
cmk_use_re_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, GBytes *source_context,
                    const CmkKeyReference *destination, GBytes *destination_context, CmkUuid *ret_source_key_id,
                    CmkUuid *ret_key_id, GError **error)
{
  CmkCaller from = *caller, to = *caller;
  from.operation = CMK_OPERATION_RE_ENCRYPT_FROM;
  to.operation = CMK_OPERATION_RE_ENCRYPT_TO;
  g_autoptr (CmkSecret) plaintext =
      cmk_use_decrypt (kms, &from, effort, blob, source_context, NULL, ret_source_key_id, error);
  if (plaintext == NULL)
    return NULL;
  return cmk_use_encrypt (kms, &to, effort, destination, destination_context, plaintext, ret_key_id, error);
}

CmkSecret *
cmk_use_generate_data_key (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                           GBytes *context, gsize size, GBytes **ret_blob, CmkUuid *ret_key_id, GError **error)
{
  g_autoptr (CmkSecret) data_key = cmk_random_secret (size, error);
  if (data_key == NULL)
    return NULL;
  *ret_blob = cmk_use_encrypt (kms, caller, effort, key, context, data_key, ret_key_id, error);
  return *ret_blob != NULL ? g_steal_pointer (&data_key) : NULL;
}
