/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/grant-list.h"

struct _CmkGrantList
{
  gatomicrefcount references;
  GArray *records;
};

CmkGrantList *
cmk_grant_list_load (CmkStore *store, const CmkUuid *key_id, GError **error)
{
  GArray *records = cmk_store_list_grants (store, key_id, error);
  if (records == NULL)
    return NULL;
  CmkGrantList *list = g_new (CmkGrantList, 1);
  g_atomic_ref_count_init (&list->references);
  list->records = records;
  return list;
}

CmkGrantList *
cmk_grant_list_ref (CmkGrantList *list)
{
  g_atomic_ref_count_inc (&list->references);
  return list;
}

void
cmk_grant_list_unref (CmkGrantList *list)
{
  if (!g_atomic_ref_count_dec (&list->references))
    return;
  g_array_unref (list->records);
  g_free (list);
}

gboolean
cmk_grant_list_allows (const CmkGrantList *list, gint64 owner, const guint32 *groups, gsize n_groups,
                       CmkOperation operation)
{
  for (guint i = 0; i < list->records->len; i++)
    {
      const CmkGrantRecord *record = &g_array_index (list->records, CmkGrantRecord, i);
      if ((record->operations & (guint) operation) != 0 && cmk_grant_is_for (record, owner, groups, n_groups))
        return TRUE;
    }
  return FALSE;
}

const GArray *
cmk_grant_list_records (const CmkGrantList *list)
{
  return list->records;
}
