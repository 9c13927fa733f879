/* SPDX-License-Identifier: Apache-2.0
 *
 * Tags of keys: names (1 to CMKD_MAX_TAG_NAME_CHARS characters) with values (0 to CMKD_MAX_TAG_VALUE_CHARS), each a
 * GTree from the one to the other, in the order of the names' bytes. But for the first, worker thread. */
#pragma once

#include "kms/kms.h"

GTree *cmk_tags_new (void);

/* CMK_ERROR_LIMIT_EXCEEDED if there are more than a key may have. */
gboolean cmk_tags_check_count (GTree *tags, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What the store keeps, and back. */
GBytes *cmk_tags_encode (GTree *tags);
GTree *cmk_tags_load (CmkKms *kms, const CmkUuid *key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Give the key @tags beside those it has, in place of those of the same names. */
gboolean cmk_tags_add (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, GTree *tags,
                       CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Take the tags of these @names (ended by NULL) from the key, if it has them. */
gboolean cmk_tags_remove (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, const char *const *names,
                          CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
