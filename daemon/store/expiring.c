/* SPDX-License-Identifier: Apache-2.0
 *
 * Material by the date of its expiry, ahead of that. */
#include "store/store.h"

#include "base/error.h"
#include "store/row.h"

#include <string.h>

#define BETWEEN "SELECT id FROM keys WHERE expires_at > ?1 AND expires_at <= ?2 ORDER BY expires_at"

/* *ret_record stays NULL, with a warning, of a key that is damaged. */
static gboolean
get_intact_key (CmkStore *store, sqlite3_stmt *statement, CmkKeyRecord **ret_record, GError **error)
{
  CmkUuid id;
  if (sqlite3_column_bytes (statement, 0) != sizeof id.bytes)
    return TRUE;
  memcpy (id.bytes, sqlite3_column_blob (statement, 0), sizeof id.bytes);
  g_autoptr (GError) local_error = NULL;
  *ret_record = cmk_store_get_key (store, &id, &local_error);
  if (*ret_record != NULL)
    return TRUE;
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED))
    {
      g_warning ("a key is left out: %s", local_error->message);
      return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

gboolean
cmk_store_visit_expiring (CmkStore *store, gint64 after, gint64 until, CmkStoreVisit visit, gpointer user_data,
                          GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, BETWEEN, error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, after), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 2, until), error))
    return FALSE;
  while (TRUE)
    {
      int step = cmk_store_step (store, statement, error);
      if (step != SQLITE_ROW)
        return step == SQLITE_DONE;
      g_autoptr (CmkKeyRecord) record = NULL;
      if (!get_intact_key (store, statement, &record, error))
        return FALSE;
      /* The index is not authenticated, the record is. */
      if (record != NULL && record->expires_at > after && record->expires_at <= until && !visit (record, user_data))
        return TRUE;
    }
}

static gboolean
take_expiry (const CmkKeyRecord *record, gpointer ret_when)
{
  *(gint64 *) ret_when = record->expires_at;
  return FALSE;
}

gboolean
cmk_store_next_expiry (CmkStore *store, gint64 after, gint64 *ret_when, GError **error)
{
  *ret_when = 0;
  return cmk_store_visit_expiring (store, after, G_MAXINT64, take_expiry, ret_when, error);
}
