/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the store share: a state directory of one's own, rows to put into it, and a second pair of hands
 * that edits the file behind the store's back. */
#pragma once

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>

#include "base/error.h"
#include "store/database.h"

typedef struct
{
  char *base;
  char *directory; /* not there yet */
  char *database;
} Fixture;

static inline void
remove_tree (const char *path)
{
  g_autoptr (GDir) directory = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      remove_tree (child);
    }
  g_assert_cmpint (g_remove (path), ==, 0);
}

static inline void
fixture_set_up (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  fixture->base = g_dir_make_tmp ("cmkd-store-XXXXXX", NULL);
  g_assert_nonnull (fixture->base);
  fixture->directory = g_build_filename (fixture->base, "state", NULL);
  fixture->database = g_build_filename (fixture->directory, "state.db", NULL);
}

static inline void
fixture_tear_down (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  remove_tree (fixture->base);
  g_free (fixture->base);
  g_free (fixture->directory);
  g_free (fixture->database);
}

static inline gboolean
test_mac (gpointer user_data, const guint8 *data, gsize size, guint8 ret_mac[CMK_ROW_MAC_SIZE],
          GError **error G_GNUC_UNUSED)
{
  const char *key = user_data;
  gsize mac_size = CMK_ROW_MAC_SIZE;
  g_autoptr (GHmac) hmac = g_hmac_new (G_CHECKSUM_SHA256, (const guchar *) key, strlen (key));
  g_hmac_update (hmac, data, (gssize) size);
  g_hmac_get_digest (hmac, ret_mac, &mac_size);
  return TRUE;
}

/* Anew: G_FILE_SET_CONTENTS_NONE over an old file would leave the end of a longer one. */
static inline void
replace_file (const char *path, const char *contents, gsize size)
{
  g_remove (path);
  g_assert_true (g_file_set_contents_full (path, contents, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/* Can be read, and not be changed. */
static inline CmkStore *
open_store_to_read (const Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  CmkStore *store = cmk_store_open (fixture->directory, &error);
  g_assert_no_error (error);
  cmk_store_set_mac (store, test_mac, (gpointer) "row key");
  return store;
}

/* Without the statements that this takes, for they go over all rows. */
static inline void
load_rows (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  gboolean current = FALSE;
  g_autoptr (CmkStoreAnchor) anchor G_GNUC_UNUSED = cmk_store_load_anchor (store, &current, &error);
  g_assert_no_error (error);
  g_hash_table_remove_all (store->statements);
}

static inline CmkStore *
open_store (const Fixture *fixture)
{
  CmkStore *store = open_store_to_read (fixture);
  load_rows (store);
  return store;
}

static inline void
assert_refused (const Fixture *fixture, CmkError code, const char *says)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = cmk_store_open (fixture->directory, &error);
  g_assert_null (store);
  g_assert_error (error, CMK_ERROR, (int) code);
  if (strstr (error->message, says) == NULL)
    g_error ("'%s' does not say '%s'", error->message, says);
}

/* With a connection of its own, so the store must be closed. */
static inline void
edit_database (const Fixture *fixture, const char *sql)
{
  sqlite3 *database = NULL;
  char *message = NULL;
  g_assert_cmpint (sqlite3_open_v2 (fixture->database, &database, SQLITE_OPEN_READWRITE, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (database, "PRAGMA synchronous = OFF", NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_exec (database, sql, NULL, NULL, &message);
  g_assert_cmpstr (message, ==, NULL);
  g_assert_cmpint (sqlite3_close (database), ==, SQLITE_OK);
}

static CmkStoreTransaction *own_change;

static inline gboolean
open_change (CmkStore *store, GError **error)
{
  g_assert_null (own_change);
  if (store->transaction == NULL)
    own_change = cmk_store_begin (store, error);
  return store->transaction != NULL;
}

static inline gboolean
close_change (gboolean done, GError **error)
{
  gboolean kept = done && (own_change == NULL || cmk_store_commit (own_change, error));
  g_clear_pointer (&own_change, cmk_store_transaction_free);
  return kept;
}

/* Do @call, which reports to @error, in a transaction of its own unless the test has one open. */
#define CHANGE(store, call, error) (open_change (store, error) && close_change (call, error))

/* Key number @n: every column differs from its neighbours', and even ones have material. */
static inline CmkKeyRecord *
make_key (guint n, gint64 owner)
{
  CmkKeyRecord *record = cmk_key_record_new ();
  memset (record->id.bytes, (int) (n & 0xff), sizeof record->id.bytes);
  record->id.bytes[0] = (guint8) (n >> 16);
  record->id.bytes[1] = (guint8) (n >> 8);
  record->owner = owner;
  record->created_at = 1700000000 + n;
  record->spec = n % 3 == 0 ? CMK_KEY_SPEC_SM4 : CMK_KEY_SPEC_AES_256;
  record->usage = CMK_KEY_USAGE_ENCRYPT_DECRYPT;
  record->origin = CMK_ORIGIN_EXTERNAL;
  record->protection_level = CMK_PROTECTION_LEVEL_SOFTWARE;
  record->state = CMK_KEY_STATE_PENDING_IMPORT;
  g_free (record->description);
  record->description = g_strdup_printf ("key number %u, 密钥", n);
  if (n % 2 != 0)
    return record;
  g_autofree char *text = g_strdup_printf ("%u of what is sealed, and of what is not", n);
  record->state = CMK_KEY_STATE_ENABLED;
  record->expires_at = 2000000000 + n;
  record->sealed_key = g_bytes_new (text, strlen (text) - 1);
  record->envelope = g_bytes_new (text, strlen (text));
  record->fingerprint = g_bytes_new (text, 5);
  return record;
}

static inline void
insert_key (CmkStore *store, CmkKeyRecord *record)
{
  g_autoptr (GError) error = NULL;
  gboolean inserted = CHANGE (store, cmk_store_insert_key (store, record, &error), &error);
  g_assert_no_error (error);
  g_assert_true (inserted);
}

static inline gboolean
bytes_equal (GBytes *a, GBytes *b)
{
  return a == NULL || b == NULL ? a == b : g_bytes_equal (a, b);
}

static inline void
assert_same_key (const CmkKeyRecord *a, const CmkKeyRecord *b)
{
  g_assert_true (cmk_uuid_equal (&a->id, &b->id));
  g_assert_cmpint (a->serial, ==, b->serial);
  g_assert_cmpuint (a->owner, ==, b->owner);
  g_assert_cmpint (a->created_at, ==, b->created_at);
  g_assert_cmpint (a->spec, ==, b->spec);
  g_assert_cmpint (a->usage, ==, b->usage);
  g_assert_cmpint (a->origin, ==, b->origin);
  g_assert_cmpint (a->protection_level, ==, b->protection_level);
  g_assert_cmpint (a->state, ==, b->state);
  g_assert_cmpstr (a->description, ==, b->description);
  g_assert_cmpint (a->expires_at, ==, b->expires_at);
  g_assert_true (bytes_equal (a->sealed_key, b->sealed_key));
  g_assert_true (bytes_equal (a->envelope, b->envelope));
  g_assert_true (bytes_equal (a->fingerprint, b->fingerprint));
  g_assert_cmpint (a->delete_at, ==, b->delete_at);
  g_assert_true (a->delete_at == 0 || a->state_before == b->state_before);
}

static inline void
assert_key_stored (CmkStore *store, const CmkKeyRecord *record)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkKeyRecord) stored = cmk_store_get_key (store, &record->id, &error);
  g_assert_no_error (error);
  assert_same_key (stored, record);
}

static inline void
assert_key_refused (CmkStore *store, const CmkKeyRecord *record, CmkError code)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_key (store, &record->id, &error));
  g_assert_error (error, CMK_ERROR, (int) code);
}

static inline void
update_key (CmkStore *store, const CmkKeyRecord *record)
{
  g_autoptr (GError) error = NULL;
  gboolean updated = CHANGE (store, cmk_store_update_key (store, record, &error), &error);
  g_assert_no_error (error);
  g_assert_true (updated);
}

static inline void
schedule_deletion (CmkStore *store, CmkKeyRecord *record, gint64 delete_at)
{
  record->state_before = record->state;
  record->state = CMK_KEY_STATE_PENDING_DELETION;
  record->delete_at = delete_at;
  update_key (store, record);
}

/* Everybody's keys, all of them. */
static inline GPtrArray *
list_all (CmkStore *store)
{
  CmkKeyFilter filter = { .owner = -1, .limit = 1000 };
  gboolean more = FALSE;
  g_autoptr (GError) error = NULL;
  GPtrArray *records = cmk_store_list_keys (store, &filter, &more, &error);
  g_assert_no_error (error);
  g_assert_false (more);
  return records;
}

static inline CmkImportSetRecord *
make_import_set (guint n, const CmkKeyRecord *key, gint64 owner, gint64 expires_at)
{
  CmkImportSetRecord *record = cmk_import_set_record_new ();
  memset (record->id.bytes, 0x80 + (int) n, sizeof record->id.bytes);
  record->key_id = key->id;
  record->owner = owner;
  record->algorithm = CMK_WRAPPING_RSAES_OAEP_SHA_256;
  record->wrapping_spec = CMK_WRAPPING_KEY_RSA_3072;
  record->expires_at = expires_at;
  record->failures = n;
  record->sealed_key = g_bytes_new_static ("sealed data key", 15);
  record->envelope = g_bytes_new_static ("envelope of a private key", 25);
  return record;
}

static inline void
insert_import_set (CmkStore *store, const CmkImportSetRecord *record)
{
  g_autoptr (GError) error = NULL;
  gboolean inserted = CHANGE (store, cmk_store_insert_import_set (store, record, &error), &error);
  g_assert_no_error (error);
  g_assert_true (inserted);
}

static inline void
put_public_key (CmkStore *store, const CmkKeyRecord *key, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) public_key = g_bytes_new (text, strlen (text));
  gboolean put = CHANGE (store, cmk_store_put_public_key (store, &key->id, public_key, &error), &error);
  g_assert_no_error (error);
  g_assert_true (put);
}

static inline void
assert_public_key (CmkStore *store, const CmkKeyRecord *key, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) stored = cmk_store_get_public_key (store, &key->id, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (stored, NULL), g_bytes_get_size (stored), text, strlen (text));
}

static inline void
assert_no_public_key (CmkStore *store, const CmkKeyRecord *key)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_public_key (store, &key->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

static inline CmkAliasRecord *
insert_alias (CmkStore *store, gint64 owner, const char *name, const CmkKeyRecord *key)
{
  g_autoptr (GError) error = NULL;
  CmkAliasRecord *record = cmk_alias_record_new (owner, name, &key->id);
  gboolean inserted = CHANGE (store, cmk_store_insert_alias (store, record, &error), &error);
  g_assert_no_error (error);
  g_assert_true (inserted);
  return record;
}

static inline void
assert_same_alias (const CmkAliasRecord *a, const CmkAliasRecord *b)
{
  g_assert_cmpint (a->serial, ==, b->serial);
  g_assert_cmpuint (a->owner, ==, b->owner);
  g_assert_cmpstr (a->name, ==, b->name);
  g_assert_true (cmk_uuid_equal (&a->key_id, &b->key_id));
}

static inline void
assert_alias_stored (CmkStore *store, const CmkAliasRecord *record)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkAliasRecord) stored = cmk_store_get_alias (store, record->owner, record->name, &error);
  g_assert_no_error (error);
  assert_same_alias (stored, record);
}

static inline void
assert_alias_refused (CmkStore *store, gint64 owner, const char *name, CmkError code)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_alias (store, owner, name, &error));
  g_assert_error (error, CMK_ERROR, (int) code);
}

/* "" for none. */
static inline void
put_tags (CmkStore *store, const CmkKeyRecord *key, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) tags = g_bytes_new (text, strlen (text));
  gboolean put = CHANGE (store, cmk_store_put_tags (store, &key->id, tags, &error), &error);
  g_assert_no_error (error);
  g_assert_true (put);
}

static inline void
assert_tags (CmkStore *store, const CmkKeyRecord *key, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) stored = cmk_store_get_tags (store, &key->id, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (stored, NULL), g_bytes_get_size (stored), text, strlen (text));
}

static inline CmkGrantRecord *
insert_grant (CmkStore *store, guint n, const CmkKeyRecord *key, CmkGranteeKind kind, gint64 grantee)
{
  g_autoptr (GError) error = NULL;
  CmkGrantRecord *record = g_new0 (CmkGrantRecord, 1);
  memset (record->id.bytes, 0x40 + (int) n, sizeof record->id.bytes);
  record->key_id = key->id;
  record->key_serial = key->serial;
  record->grantee_kind = kind;
  record->grantee = grantee;
  record->operations = CMK_OPERATION_DESCRIBE_KEY | CMK_OPERATION_DISABLE_KEY;
  record->created_at = 1700000000 + n;
  gboolean inserted = CHANGE (store, cmk_store_insert_grant (store, record, &error), &error);
  g_assert_no_error (error);
  g_assert_true (inserted);
  return record;
}

static inline void
delete_grant (CmkStore *store, const CmkGrantRecord *grant)
{
  g_autoptr (GError) error = NULL;
  gboolean found = FALSE;
  g_assert_true (CHANGE (store, cmk_store_delete_grant (store, &grant->key_id, &grant->id, &found, &error), &error));
  g_assert_no_error (error);
  g_assert_true (found);
}

/* The numbers that those of the key were made with, each followed by a space. */
static inline void
assert_grants (CmkStore *store, const CmkKeyRecord *key, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) grants = cmk_store_list_grants (store, &key->id, &error);
  g_assert_no_error (error);
  g_autoptr (GString) numbers = g_string_new (NULL);
  for (guint i = 0; i < grants->len; i++)
    g_string_append_printf (numbers, "%u ", g_array_index (grants, CmkGrantRecord, i).id.bytes[0] - 0x40u);
  g_assert_cmpstr (numbers->str, ==, expected);
}

static inline void
assert_searches (sqlite3 *database, const char *sql)
{
  g_autofree char *explain = g_strconcat ("EXPLAIN QUERY PLAN ", sql, NULL);
  sqlite3_stmt *plan = NULL;
  g_assert_cmpint (sqlite3_prepare_v2 (database, explain, -1, &plan, NULL), ==, SQLITE_OK);
  while (sqlite3_step (plan) == SQLITE_ROW)
    {
      const char *detail = (const char *) sqlite3_column_text (plan, 3);
      gboolean scans = g_str_has_prefix (detail, "SCAN ") && !g_str_equal (detail, "SCAN CONSTANT ROW") &&
                       !g_str_has_prefix (detail, "SCAN sqlite_");
      if (scans || strstr (detail, "TEMP B-TREE") != NULL)
        g_error ("%s: %s", sql, detail);
    }
  sqlite3_finalize (plan);
}

/* Every statement that @store has prepared so far goes by an index. Returns how many there are. */
static inline guint
assert_no_statement_scans (CmkStore *store)
{
  guint n_statements = 0;
  sqlite3_stmt *statement = NULL;
  while ((statement = sqlite3_next_stmt (store->database, statement)) != NULL)
    {
      assert_searches (store->database, sqlite3_sql (statement));
      n_statements++;
    }
  return n_statements;
}

/* Warnings of the store, which would otherwise end the test. */
static guint n_warnings;

static inline GLogWriterOutput
count_warnings (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  if ((level & G_LOG_LEVEL_MASK) != G_LOG_LEVEL_WARNING)
    return g_log_writer_default (level, fields, n_fields, user_data);
  n_warnings++;
  return G_LOG_WRITER_HANDLED;
}
