/* SPDX-License-Identifier: Apache-2.0
 *
 * Fields of answers, under the seeds' names. */
#pragma once

#include "base/secret.h"
#include "kms/keys.h"

/* KeyMetadata, as DescribeKey answers it. Floating. */
GVariant *cmk_answer_metadata (const CmkKeyMetadata *key);

void cmk_answer_put_key_id (GVariantDict *answer, const char *field, const CmkUuid *id);

/* KeyId and KeyState. */
void cmk_answer_put_state (GVariantDict *answer, const CmkKeyRecord *record);

/* In Base64. */
void cmk_answer_put_bytes (GVariantDict *answer, const char *field, GBytes *bytes);

/* In Base64, in locked memory until the message is made. The copy inside that is the one that the wire forces; freed
 * heap is overwritten (main.c). */
gboolean cmk_answer_put_secret (GVariantDict *answer, const char *field, const CmkSecret *secret,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
