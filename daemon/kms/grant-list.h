/* SPDX-License-Identifier: Apache-2.0
 *
 * What others than its owner may do with a key: its grants, as they were when it was loaded. Immutable. Any thread. */
#pragma once

#include "store/store.h"

typedef struct _CmkGrantList CmkGrantList;

/* Of the key @key_id. Worker. */
CmkGrantList *cmk_grant_list_load (CmkStore *store, const CmkUuid *key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

CmkGrantList *cmk_grant_list_ref (CmkGrantList *list);
void cmk_grant_list_unref (CmkGrantList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkGrantList, cmk_grant_list_unref)

/* May @owner, or a member of one of these @groups, do @operation? */
gboolean cmk_grant_list_allows (const CmkGrantList *list, gint64 owner, const guint32 *groups, gsize n_groups,
                                CmkOperation operation);

/* CmkGrantRecord, in the order they were made. */
const GArray *cmk_grant_list_records (const CmkGrantList *list);
