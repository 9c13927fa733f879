/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes in comes out: keys, import sets, store-wide values, in transactions and by index. */
#include "store-fixture.h"

static void
test_keys (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkKeyRecord) plain = make_key (1, 1000);
  g_autoptr (CmkKeyRecord) full = make_key (2, G_MAXUINT32);
  g_autoptr (CmkStore) store = open_store (fixture);
  insert_key (store, plain);
  insert_key (store, full);
  g_assert_cmpint (full->serial, >, plain->serial);
  assert_key_stored (store, plain);
  assert_key_stored (store, full);

  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_key_stored (store, plain);
  assert_key_stored (store, full);
}

static void
test_longest_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 0);
  g_autoptr (GString) description = g_string_new (NULL);
  for (guint i = 0; i < 8192; i++)
    g_string_append (description, "🔑");
  g_free (key->description);
  key->description = g_strdup (description->str);
  g_bytes_unref (key->envelope);
  key->envelope = g_bytes_new_static ("", 0); /* nothing in it, but there */
  insert_key (store, key);
  assert_key_stored (store, key);
}

static void
test_update (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (CmkKeyRecord) other = make_key (4, 1000);
  insert_key (store, key);
  insert_key (store, other);

  key->state = CMK_KEY_STATE_PENDING_IMPORT;
  key->expires_at = 0;
  g_clear_pointer (&key->sealed_key, g_bytes_unref);
  g_clear_pointer (&key->envelope, g_bytes_unref);
  g_assert_true (CHANGE (store, cmk_store_update_key (store, key, &error), &error));
  assert_key_stored (store, key);
  assert_key_stored (store, other);

  g_autoptr (CmkKeyRecord) unknown = make_key (6, 1000);
  unknown->serial = key->serial;
  g_assert_false (CHANGE (store, cmk_store_update_key (store, unknown, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND);
  assert_key_stored (store, key);
}

static void
test_no_such_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  CmkUuid id = cmk_uuid_new ();
  g_assert_null (cmk_store_get_key (store, &id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND);
}

static void
test_taken_id (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (1, 1000);
  g_autoptr (CmkKeyRecord) same = make_key (1, 2000);
  insert_key (store, key);
  g_assert_false (CHANGE (store, cmk_store_insert_key (store, same, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_KEY_ALREADY_EXISTS);
  assert_key_stored (store, key);
}

static void
test_serial (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkKeyRecord) first = make_key (1, 1000);
  g_autoptr (CmkKeyRecord) second = make_key (2, 1000);
  g_autoptr (CmkKeyRecord) third = make_key (3, 1000);
  g_autoptr (CmkStore) store = open_store (fixture);
  insert_key (store, first);
  insert_key (store, second);
  cmk_store_close (g_steal_pointer (&store));
  edit_database (fixture, "DELETE FROM keys WHERE serial = (SELECT max (serial) FROM keys)");
  store = open_store (fixture);
  insert_key (store, third);
  g_assert_cmpint (third->serial, >, second->serial);
}

static GPtrArray *
list_page (CmkStore *store, const CmkKeyFilter *filter, gboolean expect_more)
{
  g_autoptr (GError) error = NULL;
  gboolean more = !expect_more;
  GPtrArray *records = cmk_store_list_keys (store, filter, &more, &error);
  g_assert_no_error (error);
  g_assert_cmpint (more, ==, expect_more);
  g_assert_cmpuint (records->len, <=, filter->limit);
  return records;
}

/* 30 keys, in turn of uids 1000, 1001 and 1002. */
static CmkStore *
open_with_keys (const Fixture *fixture)
{
  CmkStore *store = open_store (fixture);
  for (guint n = 0; n < 30; n++)
    {
      g_autoptr (CmkKeyRecord) key = make_key (n, 1000 + n % 3);
      insert_key (store, key);
    }
  return store;
}

static void
test_pages (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_with_keys (fixture);
  CmkKeyFilter filter = { .owner = 1001, .limit = 4 };
  guint n = 1;
  for (guint page = 0; page < 3; page++)
    {
      g_autoptr (GPtrArray) records = list_page (store, &filter, page < 2);
      g_assert_cmpuint (records->len, ==, page < 2 ? 4 : 2);
      for (guint i = 0; i < records->len; i++, n += 3)
        {
          const CmkKeyRecord *record = records->pdata[i];
          g_autoptr (CmkKeyRecord) expected = make_key (n, 1001);
          expected->serial = record->serial;
          assert_same_key (record, expected);
          g_assert_cmpint (record->serial, >, filter.after_serial);
          filter.after_serial = record->serial;
        }
    }
}

/* A page that is full to the brim with nothing behind it is the last one. */
static void
test_last_page (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_with_keys (fixture);
  CmkKeyFilter filter = { .owner = 1001, .limit = 10 };
  g_autoptr (GPtrArray) exact = list_page (store, &filter, FALSE);
  g_assert_cmpuint (exact->len, ==, 10);
  filter.limit = 9;
  g_autoptr (GPtrArray) all_but_one = list_page (store, &filter, TRUE);
  g_assert_cmpuint (all_but_one->len, ==, 9);
  filter.after_serial = 30;
  g_autoptr (GPtrArray) none = list_page (store, &filter, FALSE);
  g_assert_cmpuint (none->len, ==, 0);
}

typedef struct
{
  const char *name;
  CmkKeyFilter filter;
  guint expected; /* of numbers 0 to 29 */
} FilterCase;

static const FilterCase filter_cases[] = {
  { "everybody's", { .owner = -1 }, 30 },
  { "of one", { .owner = 1002 }, 10 },
  { "of nobody", { .owner = 7 }, 0 },
  { "of root", { .owner = 0 }, 0 },
  { "enabled, everybody's", { .owner = -1, .state = CMK_KEY_STATE_ENABLED }, 15 },
  { "enabled, of one", { .owner = 1000, .state = CMK_KEY_STATE_ENABLED }, 5 },
  { "disabled", { .owner = -1, .state = CMK_KEY_STATE_DISABLED }, 0 },
  { "SM4", { .owner = -1, .spec = CMK_KEY_SPEC_SM4 }, 10 },
  { "SM4 of one who has none", { .owner = 1001, .spec = CMK_KEY_SPEC_SM4 }, 0 },
  { "SM4 and enabled", { .owner = 1000, .spec = CMK_KEY_SPEC_SM4, .state = CMK_KEY_STATE_ENABLED }, 5 },
  { "external", { .owner = 1000, .origin = CMK_ORIGIN_EXTERNAL }, 10 },
  { "our own", { .owner = 1000, .origin = CMK_ORIGIN_CMKD_KMS }, 0 },
  { "enabled after the tenth", { .owner = -1, .state = CMK_KEY_STATE_ENABLED, .after_serial = 10 }, 10 },
};

static void
test_filters (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_with_keys (fixture);
  for (gsize i = 0; i < G_N_ELEMENTS (filter_cases); i++)
    {
      CmkKeyFilter filter = filter_cases[i].filter;
      filter.limit = 30;
      g_test_message ("%s", filter_cases[i].name);
      g_autoptr (GPtrArray) records = list_page (store, &filter, FALSE);
      g_assert_cmpuint (records->len, ==, filter_cases[i].expected);
    }
}

static void
test_count (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_with_keys (fixture);
  guint count = 99;
  g_assert_true (cmk_store_count_keys (store, 1002, &count, NULL));
  g_assert_cmpuint (count, ==, 10);
  g_assert_true (cmk_store_count_keys (store, 4242, &count, NULL));
  g_assert_cmpuint (count, ==, 0);
}

static void
assert_next_expiry (CmkStore *store, gint64 expected)
{
  g_autoptr (GError) error = NULL;
  gint64 when = -1;
  g_assert_true (cmk_store_next_expiry (store, 0, &when, &error));
  g_assert_cmpint (when, ==, expected);
}

static void
test_expiry (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  static const struct
  {
    guint n;
    gint64 expires_at;
  } keys[] = { { 2, 300 }, { 4, 100 }, { 6, 200 }, { 1, 0 }, { 8, 0 } };
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_next_expiry (store, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (CmkKeyRecord) key = make_key (keys[i].n, 1000);
      key->expires_at = keys[i].expires_at;
      insert_key (store, key);
    }
  assert_next_expiry (store, 100);

  static const struct
  {
    gint64 when;
    guint limit;
    guint expected[3];
  } cases[] = {
    { 99, 10, { 0 } },        { 100, 10, { 4 } },   { 299, 10, { 4, 6 } },
    { 300, 10, { 4, 6, 2 } }, { 300, 2, { 4, 6 } }, { G_MAXINT64, 10, { 4, 6, 2 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GArray) ids = cmk_store_list_expired (store, cases[i].when, cases[i].limit, &error);
      g_assert_no_error (error);
      for (guint j = 0; j < G_N_ELEMENTS (cases[i].expected) && cases[i].expected[j] != 0; j++)
        {
          g_autoptr (CmkKeyRecord) expected = make_key (cases[i].expected[j], 1000);
          g_assert_cmpuint (ids->len, >, j);
          g_assert_true (cmk_uuid_equal (&g_array_index (ids, CmkUuid, j), &expected->id));
        }
      g_assert_true (ids->len == 3 || cases[i].expected[ids->len] == 0);
    }
}

static void
assert_import_set_stored (CmkStore *store, const CmkImportSetRecord *record)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkImportSetRecord) stored = cmk_store_get_import_set (store, &record->id, &error);
  g_assert_no_error (error);
  g_assert_true (cmk_uuid_equal (&stored->id, &record->id));
  g_assert_true (cmk_uuid_equal (&stored->key_id, &record->key_id));
  g_assert_cmpuint (stored->owner, ==, record->owner);
  g_assert_cmpint (stored->algorithm, ==, record->algorithm);
  g_assert_cmpint (stored->wrapping_spec, ==, record->wrapping_spec);
  g_assert_cmpint (stored->expires_at, ==, record->expires_at);
  g_assert_cmpuint (stored->failures, ==, record->failures);
  g_assert_true (bytes_equal (stored->sealed_key, record->sealed_key));
  g_assert_true (bytes_equal (stored->envelope, record->envelope));
}

static void
assert_no_import_set (CmkStore *store, const CmkImportSetRecord *record)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_import_set (store, &record->id, &error));
  g_assert_no_error (error);
}

static void
test_import_sets (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (1, 1000);
  insert_key (store, key);
  g_autoptr (CmkImportSetRecord) set = make_import_set (1, key, 1000, 5000);
  assert_no_import_set (store, set);
  g_assert_false (CHANGE (store, cmk_store_update_import_set (store, set, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INVALID_IMPORT_TOKEN);

  insert_import_set (store, set);
  assert_import_set_stored (store, set);
  set->failures = 7;
  g_assert_true (CHANGE (store, cmk_store_update_import_set (store, set, NULL), NULL));
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_import_set_stored (store, set);

  g_assert_true (CHANGE (store, cmk_store_delete_import_set (store, &set->id, NULL), NULL));
  assert_no_import_set (store, set);
  g_assert_true (CHANGE (store, cmk_store_delete_import_set (store, &set->id, NULL), NULL));
}

static void
assert_set_counts (CmkStore *store, const CmkKeyRecord *key, guint32 uid, gint64 now, guint of_key, guint of_uid)
{
  guint n_of_key = 99, n_of_uid = 99;
  g_assert_true (cmk_store_count_import_sets (store, &key->id, uid, now, G_MAXINT64, &n_of_key, &n_of_uid, NULL));
  g_assert_cmpuint (n_of_key, ==, of_key);
  g_assert_cmpuint (n_of_uid, ==, of_uid);
}

static void
assert_next_set_expiry (CmkStore *store, gint64 expected)
{
  gint64 when = -1;
  g_assert_true (cmk_store_next_import_set_expiry (store, &when, NULL));
  g_assert_cmpint (when, ==, expected);
}

static void
test_import_set_expiry (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) one = make_key (1, 1000);
  g_autoptr (CmkKeyRecord) other = make_key (2, 1001);
  insert_key (store, one);
  insert_key (store, other);
  g_autoptr (CmkImportSetRecord) early = make_import_set (1, one, 1000, 100);
  g_autoptr (CmkImportSetRecord) late = make_import_set (2, one, 0, 200);
  g_autoptr (CmkImportSetRecord) of_other = make_import_set (3, other, 1000, 300);
  assert_next_set_expiry (store, 0);
  insert_import_set (store, late);
  insert_import_set (store, early);
  insert_import_set (store, of_other);
  assert_next_set_expiry (store, 100);

  assert_set_counts (store, one, 1000, 99, 2, 2);
  assert_set_counts (store, one, 1000, 100, 1, 1);
  assert_set_counts (store, other, 0, 100, 1, 1);
  assert_set_counts (store, one, 4242, 300, 0, 0);

  g_assert_true (CHANGE (store, cmk_store_delete_expired_import_sets (store, 99, G_MAXINT64, NULL), NULL));
  assert_import_set_stored (store, early);
  g_assert_true (CHANGE (store, cmk_store_delete_expired_import_sets (store, 200, G_MAXINT64, NULL), NULL));
  assert_no_import_set (store, early);
  assert_no_import_set (store, late);
  assert_import_set_stored (store, of_other);
  assert_next_set_expiry (store, 300);
}

/* Whatever its date: no attempt is left. */
static void
test_used_up_import_set (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  g_autoptr (CmkImportSetRecord) used_up = make_import_set (1, key, 1000, 5000);
  g_autoptr (CmkImportSetRecord) other = make_import_set (7, key, 1000, 6000);
  insert_import_set (store, used_up);
  insert_import_set (store, other);
  used_up->failures = 8;
  g_assert_true (CHANGE (store, cmk_store_update_import_set (store, used_up, NULL), NULL));
  assert_set_counts (store, key, 1000, 99, 1, 1);
  assert_next_set_expiry (store, 1);

  /* The attempt was none after all. */
  used_up->failures = 7;
  g_assert_true (CHANGE (store, cmk_store_update_import_set (store, used_up, NULL), NULL));
  assert_import_set_stored (store, used_up);
  assert_next_set_expiry (store, 5000);

  used_up->failures = 8;
  g_assert_true (CHANGE (store, cmk_store_update_import_set (store, used_up, NULL), NULL));
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  g_assert_true (CHANGE (store, cmk_store_delete_expired_import_sets (store, 99, G_MAXINT64, NULL), NULL));
  assert_no_import_set (store, used_up);
  assert_import_set_stored (store, other);
}

static void
assert_meta (CmkStore *store, const char *name, GBytes *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) value = cmk_store_get_meta (store, name, &error);
  g_assert_no_error (error);
  g_assert_true (bytes_equal (value, expected));
}

static void
test_meta (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("a\0b", 3);
  g_autoptr (GBytes) empty = g_bytes_new_static ("", 0);
  g_autoptr (CmkStore) store = cmk_store_open (fixture->directory, NULL); /* before there is a MAC */
  g_assert_nonnull (store);
  assert_meta (store, "root", NULL);
  g_assert_true (cmk_store_put_meta (store, "root", value, NULL));
  g_assert_true (cmk_store_put_meta (store, "other", empty, NULL));
  assert_meta (store, "root", value);
  assert_meta (store, "other", empty);
  g_assert_true (cmk_store_put_meta (store, "other", value, NULL));
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_meta (store, "root", value);
  assert_meta (store, "other", value);
}

static void
test_rollback (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (CmkImportSetRecord) set = make_import_set (1, key, 1000, 100);
  {
    g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, &error);
    g_assert_no_error (error);
    g_assert_nonnull (transaction);
    insert_key (store, key);
    insert_import_set (store, set);
    assert_key_stored (store, key);
  }
  assert_no_import_set (store, set);
  g_assert_null (cmk_store_get_key (store, &key->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_KEY_NOT_FOUND);
}

static void
test_commit (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) first = make_key (2, 1000);
  g_autoptr (CmkKeyRecord) second = make_key (4, 1000);
  {
    g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
    insert_key (store, first);
    g_assert_true (cmk_store_commit (transaction, &error));
    /* The first one goes out of scope while the second is open, and must leave it alone. */
    g_autoptr (CmkStoreTransaction) next = cmk_store_begin (store, NULL);
    cmk_store_transaction_free (g_steal_pointer (&transaction));
    insert_key (store, second);
    g_assert_true (cmk_store_commit (next, &error));
  }
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_key_stored (store, first);
  assert_key_stored (store, second);
}

/* A refused insert inside a transaction takes nothing with it but itself. */
static void
test_refused_insert (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (CmkKeyRecord) same = make_key (2, 1001);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  insert_key (store, key);
  g_assert_false (cmk_store_insert_key (store, same, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_KEY_ALREADY_EXISTS);
  g_assert_true (cmk_store_commit (transaction, NULL));
  assert_key_stored (store, key);
}

static gpointer
insert_on_worker (gpointer data)
{
  g_autoptr (CmkKeyRecord) key = make_key (1, 1000);
  insert_key (data, key);
  assert_key_stored (data, key);
  return NULL;
}

static void
test_worker (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_thread_join (g_thread_new ("worker", insert_on_worker, store));
}

static void
test_plans (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_with_keys (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (40, 1000);
  g_autoptr (CmkImportSetRecord) set = make_import_set (1, key, 1000, 100);
  insert_key (store, key);
  insert_import_set (store, set);
  put_public_key (store, key, "public");
  assert_public_key (store, key, "public");
  key->spec = CMK_KEY_SPEC_EC_SM2;
  g_clear_pointer (&key->envelope, g_bytes_unref);
  g_assert_true (CHANGE (store, cmk_store_update_key (store, key, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_update_import_set (store, set, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_delete_import_set (store, &set->id, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_delete_expired_import_sets (store, 0, G_MAXINT64, NULL), NULL));
  assert_no_import_set (store, set);
  assert_set_counts (store, key, 1000, 0, 0, 0);
  assert_key_stored (store, key);
  assert_meta (store, "none", NULL);
  assert_next_expiry (store, 2000000000);
  assert_next_set_expiry (store, 0);
  CmkKeyFilter filter = { .owner = 1000, .state = 1, .limit = 100 };
  g_autoptr (GPtrArray) of_one G_GNUC_UNUSED = list_page (store, &filter, FALSE);
  g_autoptr (GPtrArray) of_all G_GNUC_UNUSED = list_all (store);
  guint count = 0;
  g_assert_true (cmk_store_count_keys (store, 1000, &count, NULL));

  g_assert_cmpuint (assert_no_statement_scans (store), >=, 20);
}

/* Pages that SQLite fetched since the store was opened. */
static int
count_page_reads (CmkStore *store)
{
  int reads = 0, highest = 0;
  g_assert_cmpint (sqlite3_db_status (store->database, SQLITE_DBSTATUS_CACHE_MISS, &reads, &highest, FALSE), ==,
                   SQLITE_OK);
  return reads;
}

static int
count_start_reads (const Fixture *fixture, guint n_keys)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  for (guint n = 0; n < n_keys; n++)
    {
      g_autoptr (CmkKeyRecord) key = make_key (n, 1000);
      insert_key (store, key);
    }
  g_assert_true (cmk_store_commit (transaction, NULL));
  cmk_store_transaction_free (g_steal_pointer (&transaction));
  cmk_store_close (g_steal_pointer (&store));

  store = open_store_to_read (fixture);
  gint64 when = 0;
  g_assert_true (cmk_store_next_expiry (store, 0, &when, NULL));
  g_assert_cmpint (when, ==, 2000000000);
  int reads = count_page_reads (store);
  cmk_store_close (g_steal_pointer (&store));
  remove_tree (fixture->directory);
  return reads;
}

static void
test_start (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  int few = count_start_reads (fixture, 10);
  int many = count_start_reads (fixture, 10000);
  g_test_message ("pages read at start: %d with 10 keys, %d with 10,000", few, many);
  g_assert_cmpint (many, <=, few + 6); /* the height of three trees */
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add (name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
  ADD ("/store/keys/come-back-as-they-went", test_keys);
  ADD ("/store/keys/longest-description-and-empty-blob", test_longest_key);
  ADD ("/store/keys/update-changes-that-key-alone", test_update);
  ADD ("/store/keys/unknown-is-not-found", test_no_such_key);
  ADD ("/store/keys/taken-id-is-refused", test_taken_id);
  ADD ("/store/keys/serials-are-never-given-twice", test_serial);
  ADD ("/store/list/pages-in-order", test_pages);
  ADD ("/store/list/last-page-says-so", test_last_page);
  ADD ("/store/list/filters", test_filters);
  ADD ("/store/count/by-owner", test_count);
  ADD ("/store/expiry/soonest-first", test_expiry);
  ADD ("/store/import-sets/come-back-as-they-went", test_import_sets);
  ADD ("/store/import-sets/count-and-expire", test_import_set_expiry);
  ADD ("/store/import-sets/used-up-is-due-at-once", test_used_up_import_set);
  ADD ("/store/meta/comes-back-without-a-mac", test_meta);
  ADD ("/store/transaction/out-of-scope-is-undone", test_rollback);
  ADD ("/store/transaction/committed-stays", test_commit);
  ADD ("/store/transaction/refused-insert-leaves-the-rest", test_refused_insert);
  ADD ("/store/thread/opened-here-used-there", test_worker);
  ADD ("/store/index/no-statement-scans", test_plans);
  ADD ("/store/index/start-does-not-grow-with-keys", test_start);
  return g_test_run ();
}
