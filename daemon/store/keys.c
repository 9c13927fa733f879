/* SPDX-License-Identifier: Apache-2.0 */
#include "store/keys.h"

#include "base/error.h"
#include "store/deletions.h"
#include "store/grants.h"
#include "store/public-keys.h"
#include "store/row.h"

#define COLUMNS                                                                                                        \
  "serial, id, owner_uid, created_at, spec, usage, origin, protection_level, state, description, expires_at, "         \
  "sealed_key, envelope, fingerprint, mac"

enum
{
  SERIAL,
  ID,
  OWNER,
  CREATED_AT,
  SPEC,
  USAGE,
  ORIGIN,
  PROTECTION_LEVEL,
  STATE,
  DESCRIPTION,
  EXPIRES_AT,
  SEALED_KEY,
  ENVELOPE,
  FINGERPRINT,
  N_VALUES
};

/* What the callers take for members of closed sets. */
static gboolean
is_sound (const CmkValue *values)
{
  const struct
  {
    int column;
    const CmkSpecName *set;
  } closed[] = {
    { SPEC, cmk_key_specs },   { USAGE, cmk_key_usages },
    { ORIGIN, cmk_origins },   { PROTECTION_LEVEL, cmk_protection_levels },
    { STATE, cmk_key_states },
  };
  if (values[OWNER].number < 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (closed); i++)
    {
      gint64 member = values[closed[i].column].number;
      if (member < 0 || member > G_MAXINT || cmk_spec_name (closed[i].set, (int) member) == NULL)
        return FALSE;
    }
  return TRUE;
}

const CmkTable cmk_keys_table = { .name = "keys",
                                  .columns = COLUMNS,
                                  .domain = "cmkd row of keys 1",
                                  .shape = "iuiiiiiiitiBBB",
                                  .envelope = ENVELOPE,
                                  .is_sound = is_sound };

CmkKeyRecord *
cmk_key_record_new (void)
{
  CmkKeyRecord *record = g_new0 (CmkKeyRecord, 1);
  record->description = g_strdup ("");
  return record;
}

void
cmk_key_record_free (CmkKeyRecord *record)
{
  if (record == NULL)
    return;
  g_free (record->description);
  g_bytes_unref (record->sealed_key);
  g_bytes_unref (record->envelope);
  g_bytes_unref (record->fingerprint);
  g_free (record);
}

static gboolean
write_record (CmkStore *store, sqlite3_stmt *statement, const CmkKeyRecord *record, GError **error)
{
  const CmkValue values[N_VALUES] = {
    [SERIAL] = cmk_value_number (record->serial),
    [ID] = cmk_value_id (&record->id),
    [OWNER] = cmk_value_number (record->owner),
    [CREATED_AT] = cmk_value_number (record->created_at),
    [SPEC] = cmk_value_number (record->spec),
    [USAGE] = cmk_value_number (record->usage),
    [ORIGIN] = cmk_value_number (record->origin),
    [PROTECTION_LEVEL] = cmk_value_number (record->protection_level),
    [STATE] = cmk_value_number (record->state),
    [DESCRIPTION] = cmk_value_text (record->description),
    [EXPIRES_AT] = cmk_value_number (record->expires_at),
    [SEALED_KEY] = cmk_value_bytes (record->sealed_key),
    [ENVELOPE] = cmk_value_bytes (record->envelope),
    [FINGERPRINT] = cmk_value_bytes (record->fingerprint),
  };
  return cmk_row_bind (store, &cmk_keys_table, statement, values, error) && cmk_store_run (store, statement, error);
}

/* Of the row that @statement stands on. */
static CmkKeyRecord *
read_row (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  CmkValue values[N_VALUES];
  if (!cmk_row_read (store, &cmk_keys_table, statement, values, error))
    {
      char id[CMK_UUID_TEXT_SIZE] = "of unreadable id";
      if (values[ID].size == sizeof (CmkUuid))
        {
          CmkUuid uuid = cmk_value_to_id (&values[ID]);
          cmk_uuid_format (&uuid, id);
        }
      g_prefix_error (error, "key %s: ", id);
      return NULL;
    }
  CmkKeyRecord *record = g_new0 (CmkKeyRecord, 1);
  record->serial = values[SERIAL].number;
  record->id = cmk_value_to_id (&values[ID]);
  record->owner = values[OWNER].number;
  record->created_at = values[CREATED_AT].number;
  record->spec = (CmkKeySpec) values[SPEC].number;
  record->usage = (CmkKeyUsage) values[USAGE].number;
  record->origin = (CmkOrigin) values[ORIGIN].number;
  record->protection_level = (CmkProtectionLevel) values[PROTECTION_LEVEL].number;
  record->state = (CmkKeyState) values[STATE].number;
  record->description = cmk_value_dup_text (&values[DESCRIPTION]);
  record->expires_at = values[EXPIRES_AT].number;
  record->sealed_key = cmk_value_dup_bytes (&values[SEALED_KEY]);
  record->envelope = cmk_value_dup_bytes (&values[ENVELOPE]);
  record->fingerprint = cmk_value_dup_bytes (&values[FINGERPRINT]);
  return record;
}

/* The row, and that of its scheduled deletion if it says that there is one. */
static CmkKeyRecord *
read_record (CmkStore *store, sqlite3_stmt *statement, GError **error)
{
  g_autoptr (CmkKeyRecord) record = read_row (store, statement, error);
  if (record == NULL ||
      (record->state == CMK_KEY_STATE_PENDING_DELETION && !cmk_store_load_deletion (store, record, error)))
    return NULL;
  return g_steal_pointer (&record);
}

static gboolean
id_is_taken (CmkStore *store, const CmkUuid *id, gboolean *ret_taken, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "SELECT 1 FROM keys WHERE id = ?1", error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error))
    return FALSE;
  int step = cmk_store_step (store, statement, error);
  *ret_taken = step == SQLITE_ROW;
  return step == SQLITE_ROW || step == SQLITE_DONE;
}

gboolean
cmk_store_insert_key (CmkStore *store, CmkKeyRecord *record, GError **error)
{
  gboolean taken = FALSE;
  if (!id_is_taken (store, &record->id, &taken, error))
    return FALSE;
  if (taken)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_KEY_ALREADY_EXISTS,
                           "there is a key with this id already: choose another id");
      return FALSE;
    }
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
      store, "INSERT INTO keys (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
      error);
  return statement != NULL && cmk_row_next_serial (store, CMK_NEXT_SERIAL ("keys"), &record->serial, error) &&
         write_record (store, statement, record, error);
}

static gboolean
fail_not_found (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND, "there is no key of yours with this id");
  return FALSE;
}

gboolean
cmk_store_update_key (CmkStore *store, const CmkKeyRecord *record, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (
      store,
      "UPDATE keys SET owner_uid = ?3, created_at = ?4, spec = ?5, usage = ?6, origin = ?7, protection_level = ?8, "
      "state = ?9, description = ?10, expires_at = ?11, sealed_key = ?12, envelope = ?13, fingerprint = ?14, mac = ?15 "
      "WHERE serial = ?1 AND id = ?2",
      error);
  if (statement == NULL || !write_record (store, statement, record, error))
    return FALSE;
  if (sqlite3_changes (store->database) != 1)
    return fail_not_found (error);
  if (!cmk_store_keep_deletion (store, record, error))
    return FALSE;
  if (record->envelope != NULL)
    return TRUE;
  if (cmk_key_spec_is_asymmetric (record->spec) && !cmk_store_delete_public_key (store, &record->id, error))
    return FALSE;
  cmk_store_note_erasure (store);
  return TRUE;
}

gboolean
cmk_store_delete_key (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare_change (store, "DELETE FROM keys WHERE id = ?1", error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error) ||
      !cmk_store_run (store, statement, error))
    return FALSE;
  cmk_store_note_erasure (store);
  return TRUE;
}

CmkKeyRecord *
cmk_store_get_key (CmkStore *store, const CmkUuid *id, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "SELECT " COLUMNS " FROM keys WHERE id = ?1", error);
  if (statement == NULL ||
      !cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), error))
    return NULL;
  int step = cmk_store_step (store, statement, error);
  if (step == SQLITE_ROW)
    return read_record (store, statement, error);
  if (step == SQLITE_DONE)
    fail_not_found (error);
  return NULL;
}

/* The record of @serial. *ret_record stays NULL, with a warning, if it is damaged: that is this key's misfortune and
 * no other's. FALSE if the database itself fails. */
static gboolean
get_intact_key (CmkStore *store, gint64 serial, CmkKeyRecord **ret_record, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT " COLUMNS " FROM keys WHERE serial = ?1", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, serial), error))
    return FALSE;
  g_autoptr (GError) local_error = NULL;
  int step = cmk_store_step (store, statement, &local_error);
  g_autoptr (CmkKeyRecord) record = step == SQLITE_ROW ? read_record (store, statement, &local_error) : NULL;
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED))
    g_warning ("key number %" G_GINT64_FORMAT " is left out: %s", serial, local_error->message);
  else if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  *ret_record = g_steal_pointer (&record);
  return TRUE;
}

/* Appends the intact keys among those whose serials @statement answers, until there are @limit. */
static gboolean
collect_keys (CmkStore *store, sqlite3_stmt *statement, guint limit, GPtrArray *records, GError **error)
{
  int step = SQLITE_ROW;
  while (records->len < limit && (step = cmk_store_step (store, statement, error)) == SQLITE_ROW)
    {
      CmkKeyRecord *record = NULL;
      if (!get_intact_key (store, sqlite3_column_int64 (statement, 0), &record, error))
        return FALSE;
      if (record != NULL)
        g_ptr_array_add (records, record);
    }
  return step == SQLITE_ROW || step == SQLITE_DONE;
}

static void
free_record (gpointer record)
{
  cmk_key_record_free (record);
}

gboolean
cmk_store_bind_filter (CmkStore *store, sqlite3_stmt *statement, const CmkKeyFilter *filter, GError **error)
{
  G_STATIC_ASSERT (CMK_KEY_STATE_ENABLED == 1 && CMK_KEY_STATE_DISABLED == 2 && CMK_KEY_STATE_PENDING_IMPORT == 3);
  return cmk_store_check (store, sqlite3_bind_int (statement, 3, filter->state), error) &&
         cmk_store_check (store, sqlite3_bind_int (statement, 4, filter->spec), error) &&
         cmk_store_check (store, sqlite3_bind_int (statement, 5, filter->origin), error) &&
         cmk_store_check (store, sqlite3_bind_int64 (statement, 6, filter->now), error);
}

static sqlite3_stmt *
select_owned (CmkStore *store, const CmkKeyFilter *filter, GError **error)
{
#define LISTED " serial > ?2 AND " CMK_KEY_FITS_FILTER " ORDER BY serial"
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store,
                         filter->owner != CMK_OWNER_ANY ? "SELECT serial FROM keys WHERE owner_uid = ?1 AND" LISTED
                                                        : "SELECT serial FROM keys WHERE" LISTED,
                         error);
  if (statement == NULL || !cmk_store_bind_filter (store, statement, filter, error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, filter->owner), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 2, filter->after_serial), error))
    return NULL;
  return g_steal_pointer (&statement);
}

/* *ret_serial: G_MAXINT64 at the end. */
static gboolean
next_owned (CmkStore *store, sqlite3_stmt *statement, gint64 *ret_serial, GError **error)
{
  int step = cmk_store_step (store, statement, error);
  *ret_serial = step == SQLITE_ROW ? sqlite3_column_int64 (statement, 0) : G_MAXINT64;
  return step == SQLITE_ROW || step == SQLITE_DONE;
}

/* What led to a key is not authenticated: the record is. */
static gboolean
append_listed (CmkStore *store, const CmkKeyFilter *filter, gint64 serial, GPtrArray *records, GError **error)
{
  g_autoptr (CmkKeyRecord) record = NULL;
  if (!get_intact_key (store, serial, &record, error))
    return FALSE;
  gboolean may = record != NULL && (filter->owner == CMK_OWNER_ANY || record->owner == filter->owner);
  if (record != NULL && !may && !cmk_store_may_describe (store, filter, &record->id, &may, error))
    return FALSE;
  if (may)
    g_ptr_array_add (records, g_steal_pointer (&record));
  return TRUE;
}

/* Both sources are in the order of serials; a key that is in both is taken once. */
static gboolean
collect_listed (CmkStore *store, const CmkKeyFilter *filter, sqlite3_stmt *owned_keys, GPtrArray *records,
                GError **error)
{
  gint64 owned, granted = G_MAXINT64;
  gboolean has_grants = filter->owner != CMK_OWNER_ANY;
  if (!next_owned (store, owned_keys, &owned, error) ||
      (has_grants && !cmk_store_next_granted (store, filter, filter->after_serial, &granted, error)))
    return FALSE;
  while (records->len <= filter->limit && MIN (owned, granted) != G_MAXINT64)
    {
      gint64 serial = MIN (owned, granted);
      if (!append_listed (store, filter, serial, records, error) ||
          (owned == serial && !next_owned (store, owned_keys, &owned, error)) ||
          (granted == serial && !cmk_store_next_granted (store, filter, serial, &granted, error)))
        return FALSE;
    }
  return TRUE;
}

GPtrArray *
cmk_store_list_keys (CmkStore *store, const CmkKeyFilter *filter, gboolean *ret_more, GError **error)
{
  g_autoptr (sqlite3_stmt) owned_keys = select_owned (store, filter, error);
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (free_record);
  if (owned_keys == NULL || !collect_listed (store, filter, owned_keys, records, error))
    return NULL;
  *ret_more = records->len > filter->limit;
  if (*ret_more)
    g_ptr_array_set_size (records, (int) filter->limit);
  return g_steal_pointer (&records);
}

gboolean
cmk_store_claims_owner (CmkStore *store, const CmkUuid *id, gint64 owner)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT 1 FROM keys WHERE id = ?1 AND owner_uid = ?2", NULL);
  return statement != NULL &&
         cmk_store_check (store, sqlite3_bind_blob (statement, 1, id->bytes, sizeof id->bytes, SQLITE_STATIC), NULL) &&
         cmk_store_check (store, sqlite3_bind_int64 (statement, 2, owner), NULL) &&
         cmk_store_step (store, statement, NULL) == SQLITE_ROW;
}

gboolean
cmk_store_is_empty (CmkStore *store, gboolean *ret_empty, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "SELECT NOT EXISTS (SELECT 1 FROM keys)", error);
  if (statement == NULL || cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_empty = sqlite3_column_int (statement, 0);
  return TRUE;
}

gboolean
cmk_store_count_keys (CmkStore *store, gint64 owner, guint *ret_count, GError **error)
{
  g_autoptr (sqlite3_stmt) statement =
      cmk_store_prepare (store, "SELECT count (*) FROM keys WHERE owner_uid = ?1", error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, owner), error) ||
      cmk_store_step (store, statement, error) != SQLITE_ROW)
    return FALSE;
  *ret_count = (guint) sqlite3_column_int64 (statement, 0);
  return TRUE;
}

/* --- what is due --- */

#define EXPIRING "SELECT serial FROM keys WHERE expires_at > 0 AND expires_at <= ?1 ORDER BY expires_at"
/* A row of deletions says nothing of a key that is in another state. */
#define DELETABLE                                                                                                      \
  "SELECT keys.serial FROM deletions JOIN keys ON keys.id = deletions.key_id WHERE delete_at <= ?1 AND state = 4 "     \
  "ORDER BY delete_at"
G_STATIC_ASSERT (CMK_KEY_STATE_PENDING_DELETION == 4);

/* Damaged records are passed over here too: a timer that was told of one could never get it done. */
static GPtrArray *
collect_due (CmkStore *store, const char *sql, gint64 until, guint limit, GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, sql, error);
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (free_record);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, until), error) ||
      !collect_keys (store, statement, limit, records, error))
    return NULL;
  return g_steal_pointer (&records);
}

/* When what the date is of is due, as the record says; the index that led to it is not authenticated. */
typedef gint64 (*DueDate) (const CmkKeyRecord *record);

static gint64
expiry_of (const CmkKeyRecord *record)
{
  return record->expires_at;
}

static gint64
deletion_of (const CmkKeyRecord *record)
{
  return record->delete_at;
}

static GArray *
list_due (CmkStore *store, const char *sql, DueDate due_date, gint64 when, guint limit, GError **error)
{
  g_autoptr (GPtrArray) records = collect_due (store, sql, when, limit, error);
  if (records == NULL)
    return NULL;
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (CmkUuid));
  for (guint i = 0; i < records->len; i++)
    {
      const CmkKeyRecord *record = records->pdata[i];
      if (due_date (record) <= when)
        g_array_append_val (ids, record->id);
    }
  return ids;
}

GArray *
cmk_store_list_expired (CmkStore *store, gint64 when, guint limit, GError **error)
{
  return list_due (store, EXPIRING, expiry_of, when, limit, error);
}

#define EXPIRING_BETWEEN                                                                                               \
  "SELECT serial FROM keys WHERE expires_at > 0 AND expires_at > ?1 AND expires_at <= ?2 ORDER BY expires_at"

gboolean
cmk_store_visit_expiring (CmkStore *store, gint64 after, gint64 until, CmkStoreVisit visit, gpointer user_data,
                          GError **error)
{
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, EXPIRING_BETWEEN, error);
  if (statement == NULL || !cmk_store_check (store, sqlite3_bind_int64 (statement, 1, after), error) ||
      !cmk_store_check (store, sqlite3_bind_int64 (statement, 2, until), error))
    return FALSE;
  while (TRUE)
    {
      int step = cmk_store_step (store, statement, error);
      if (step != SQLITE_ROW)
        return step == SQLITE_DONE;
      g_autoptr (CmkKeyRecord) record = NULL;
      if (!get_intact_key (store, sqlite3_column_int64 (statement, 0), &record, error))
        return FALSE;
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

GArray *
cmk_store_list_deletable (CmkStore *store, gint64 when, guint limit, GError **error)
{
  return list_due (store, DELETABLE, deletion_of, when, limit, error);
}

gboolean
cmk_store_next_deletion (CmkStore *store, gint64 *ret_when, GError **error)
{
  g_autoptr (GPtrArray) records = collect_due (store, DELETABLE, G_MAXINT64, 1, error);
  if (records == NULL)
    return FALSE;
  *ret_when = records->len > 0 ? ((const CmkKeyRecord *) records->pdata[0])->delete_at : 0;
  return TRUE;
}
