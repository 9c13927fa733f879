/* SPDX-License-Identifier: Apache-2.0 */
#include "store/grants.h"

#include "base/error.h"
#include "store/keys.h"
#include "store/row.h"

enum
{
  ID,
  KEY_ID,
  KEY_SERIAL,
  GRANTEE_KIND,
  GRANTEE,
  OPERATIONS,
  CREATED_AT,
  N_VALUES
};

#define COLUMNS "id, key_id, key_serial, grantee_kind, grantee, operations, created_at, mac"

static gboolean
is_sound (const CmkValue *values)
{
  gint64 kind = values[GRANTEE_KIND].number, operations = values[OPERATIONS].number;
  return (kind == CMK_GRANTEE_USER || kind == CMK_GRANTEE_GROUP) && values[GRANTEE].number >= 0 && operations > 0 &&
         operations < CMK_OPERATION_OWNER_ONLY;
}

const CmkTable cmk_grants_table = {
  .name = "grants", .columns = COLUMNS, .domain = "cmkd row of grants 1", .shape = "uuiiiii", .is_sound = is_sound
};

static gboolean
write_record (CmkStore *store, const char *sql, const CmkGrantRecord *record, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [ID] = cmk_value_id (&record->id),
    [KEY_ID] = cmk_value_id (&record->key_id),
    [KEY_SERIAL] = cmk_value_number (record->key_serial),
    [GRANTEE_KIND] = cmk_value_number (record->grantee_kind),
    [GRANTEE] = cmk_value_number (record->grantee),
    [OPERATIONS] = cmk_value_number (record->operations),
    [CREATED_AT] = cmk_value_number (record->created_at),
  };
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, sql, error);
  return statement != NULL && cmk_row_bind (store, &cmk_grants_table, statement, values, error) &&
         cmk_store_run (store, statement, error);
}

gboolean
cmk_store_insert_grant (CmkStore *store, const CmkGrantRecord *record, GError **error)
{
  return write_record (store, "INSERT INTO grants (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", record,
                       error);
}

gboolean
cmk_store_update_grant (CmkStore *store, const CmkGrantRecord *record, GError **error)
{
  return write_record (store,
                       "UPDATE grants SET key_id = ?2, key_serial = ?3, grantee_kind = ?4, grantee = ?5, "
                       "operations = ?6, created_at = ?7, mac = ?8 WHERE id = ?1",
                       record, error);
}

static gboolean
bind_id (CmkStore *store, sqlite3_stmt *statement, int parameter, const CmkUuid *id, GError **error)
{
  return cmk_store_check (store, sqlite3_bind_blob (statement, parameter, id->bytes, sizeof id->bytes, SQLITE_STATIC),
                          error);
}

gboolean
cmk_store_delete_grant (CmkStore *store, const CmkUuid *key_id, const CmkUuid *id, gboolean *ret_found, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare_change (store, "DELETE FROM grants WHERE id = ?1 AND key_id = ?2", error);
  if (statement == NULL || !bind_id (store, statement, 1, id, error) || !bind_id (store, statement, 2, key_id, error) ||
      !cmk_store_run (store, statement, error))
    return FALSE;
  *ret_found = sqlite3_changes (store->database) > 0;
  return TRUE;
}

gboolean
cmk_store_delete_grants (CmkStore *store, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM grants", error);
  return statement != NULL && cmk_store_run (store, statement, error);
}

/* Of the row that @statement stands on. */
static gboolean
read_record (CmkStore *store, sqlite3_stmt *statement, CmkGrantRecord *ret_record, GError **error)
{
  CmkValue values[N_VALUES];
  if (!cmk_row_read (store, &cmk_grants_table, statement, values, error))
    return FALSE;
  *ret_record = (CmkGrantRecord) {
    .id = cmk_value_to_id (&values[ID]),
    .key_id = cmk_value_to_id (&values[KEY_ID]),
    .key_serial = values[KEY_SERIAL].number,
    .grantee_kind = (CmkGranteeKind) values[GRANTEE_KIND].number,
    .grantee = values[GRANTEE].number,
    .operations = (guint) values[OPERATIONS].number,
    .created_at = values[CREATED_AT].number,
  };
  return TRUE;
}

/* Nothing of a damaged one is believed, so it gives nobody anything. */
static gboolean
append_intact (CmkStore *store, sqlite3_stmt *statement, GArray *grants, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  CmkGrantRecord record;
  if (read_record (store, statement, &record, &local_error))
    g_array_append_val (grants, record);
  else if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED))
    g_warning ("a grant is left out: %s", local_error->message);
  else
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  return TRUE;
}

GArray *
cmk_store_list_grants (CmkStore *store, const CmkUuid *key_id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM grants WHERE key_id = ?1 ORDER BY rowid", error);
  if (statement == NULL || !bind_id (store, statement, 1, key_id, error))
    return NULL;
  g_autoptr (GArray) grants = g_array_new (FALSE, FALSE, sizeof (CmkGrantRecord));
  int step;
  while ((step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    if (!append_intact (store, statement, grants, error))
      return NULL;
  return step == SQLITE_DONE ? g_steal_pointer (&grants) : NULL;
}

gboolean
cmk_store_count_grants (CmkStore *store, const CmkUuid *key_id, guint *ret_count, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT count (*) FROM grants WHERE key_id = ?1", error);
  if (statement == NULL || !bind_id (store, statement, 1, key_id, error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_count = (guint) sqlite3_column_int64 (statement, 0);
  return TRUE;
}

/* --- for the list of keys --- */

/* Lowers *@serial to that of the first key after @after that seems to be granted to this grantee. */
static gboolean
find_granted (CmkStore *store, const CmkKeyFilter *filter, CmkGranteeKind kind, gint64 grantee, gint64 after,
              gint64 *serial, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (
      store,
      "SELECT key_serial FROM grants CROSS JOIN keys ON keys.serial = key_serial WHERE grantee_kind = ?7 AND "
      "grantee = ?1 AND operations & 1 AND key_serial > ?2 AND " CMK_KEY_FITS_FILTER " ORDER BY key_serial LIMIT 1",
      error);
  G_STATIC_ASSERT (CMK_OPERATION_DESCRIBE_KEY == 1);
  if (statement == NULL || !cmk_store_bind_filter (store, statement, filter, error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, grantee), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 2, after), error) ||
      !cmk_store_check (store, sqlite3_bind_int (statement, 7, (int) kind), error))
    return FALSE;
  int step = cmk_store_step (store, statement, error);
  if (step == SQLITE_ROW)
    *serial = MIN (*serial, sqlite3_column_int64 (statement, 0));
  return step == SQLITE_ROW || step == SQLITE_DONE;
}

gboolean
cmk_store_next_granted (CmkStore *store, const CmkKeyFilter *filter, gint64 after, gint64 *ret_serial, GError **error)
{
  *ret_serial = G_MAXINT64;
  if (!find_granted (store, filter, CMK_GRANTEE_USER, filter->owner, after, ret_serial, error))
    return FALSE;
  for (gsize i = 0; i < filter->n_groups; i++)
    if (!find_granted (store, filter, CMK_GRANTEE_GROUP, filter->groups[i], after, ret_serial, error))
      return FALSE;
  return TRUE;
}

gboolean
cmk_grant_is_for (const CmkGrantRecord *grant, gint64 owner, const guint32 *groups, gsize n_groups)
{
  if (grant->grantee_kind == CMK_GRANTEE_USER)
    return grant->grantee == owner;
  for (gsize i = 0; i < n_groups; i++)
    if (grant->grantee == groups[i])
      return TRUE;
  return FALSE;
}

gboolean
cmk_store_may_describe (CmkStore *store, const CmkKeyFilter *filter, const CmkUuid *id, gboolean *ret_may,
                        GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM grants WHERE key_id = ?1 AND operations & 1", error);
  *ret_may = FALSE;
  if (statement == NULL || !bind_id (store, statement, 1, id, error))
    return FALSE;
  g_autoptr (GArray) grants = g_array_new (FALSE, FALSE, sizeof (CmkGrantRecord));
  int step;
  while (!*ret_may && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      g_array_set_size (grants, 0);
      if (!append_intact (store, statement, grants, error))
        return FALSE;
      *ret_may = grants->len > 0 && cmk_grant_is_for (&g_array_index (grants, CmkGrantRecord, 0), filter->owner,
                                                      filter->groups, filter->n_groups);
    }
  return *ret_may || step == SQLITE_DONE;
}
