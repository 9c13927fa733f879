/* SPDX-License-Identifier: Apache-2.0
 *
 * Use of HMAC keys. With CMK_EFFORT_CACHED on the main loop, with CMK_EFFORT_FULL on the worker. */
#pragma once

#include "base/algorithm.h"
#include "kms/kms.h"

GBytes *cmk_use_generate_mac (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                              CmkMacAlgorithm algorithm, GBytes *message, CmkUuid *ret_key_id,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* *ret_valid: anything that is not the MAC of @message is not. */
gboolean cmk_use_verify_mac (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                             CmkMacAlgorithm algorithm, GBytes *message, GBytes *mac, gboolean *ret_valid,
                             CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
