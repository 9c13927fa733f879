/* SPDX-License-Identifier: Apache-2.0
 *
 * Use of key material: the Crypto interface for symmetric keys. With CMK_EFFORT_CACHED on the main loop, with
 * CMK_EFFORT_FULL on the worker. */
#pragma once

#include "kms/kms.h"

/* @context and the like are canonical, see kms/encryption-context.h. *ret_key_id is the key that was used. */
GBytes *cmk_use_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *key,
                         GBytes *context, const CmkSecret *plaintext, CmkUuid *ret_key_id,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @expected_key may be NULL: the blob names its key. */
CmkSecret *cmk_use_decrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob, GBytes *context,
                            const CmkKeyReference *expected_key, CmkUuid *ret_key_id,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The plaintext never leaves. The source is checked before the destination. */
GBytes *cmk_use_re_encrypt (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, GBytes *blob,
                            GBytes *source_context, const CmkKeyReference *destination, GBytes *destination_context,
                            CmkUuid *ret_source_key_id, CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @size random bytes, and the blob that Decrypt opens to them. */
CmkSecret *cmk_use_generate_data_key (CmkKms *kms, const CmkCaller *caller, CmkEffort effort,
                                      const CmkKeyReference *key, GBytes *context, gsize size, GBytes **ret_blob,
                                      CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
