/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/use-mac.h"

#include "crypto/message-mac.h"
#include "kms/usable.h"

static gboolean
get_usable (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
            CmkMacAlgorithm algorithm, CmkUsable *ret_usable, GError **error)
{
  const CmkPurpose purpose = {
    .usage = CMK_KEY_USAGE_GENERATE_VERIFY_MAC,
    .specs = cmk_mac_algorithm_specs (algorithm),
    .name = cmk_spec_name (cmk_mac_algorithms, (int) algorithm),
  };
  return cmk_usable_get (kms, caller, effort, key, &purpose, ret_usable, error);
}

GBytes *
cmk_use_generate_mac (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                      CmkMacAlgorithm algorithm, GBytes *message, CmkUuid *ret_key_id, GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  if (!get_usable (kms, caller, effort, key, algorithm, &usable, error))
    return NULL;
  *ret_key_id = usable.id;
  return cmk_message_mac_make (&usable.hmac_key, algorithm, message, error);
}

gboolean
cmk_use_verify_mac (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                    CmkMacAlgorithm algorithm, GBytes *message, GBytes *mac, gboolean *ret_valid, CmkUuid *ret_key_id,
                    GError **error)
{
  g_auto (CmkUsable) usable = { 0 };
  if (!get_usable (kms, caller, effort, key, algorithm, &usable, error))
    return FALSE;
  *ret_key_id = usable.id;
  return cmk_message_mac_check (&usable.hmac_key, algorithm, message, mac, ret_valid, error);
}
