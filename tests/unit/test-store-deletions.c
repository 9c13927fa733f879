/* SPDX-License-Identifier: Apache-2.0
 *
 * A key that is to be deleted says when and what it was before; a deleted one leaves nothing. */
#include "store-fixture.h"

static void
assert_next (CmkStore *store, gint64 expected)
{
  gint64 when = -1;
  g_assert_true (cmk_store_next_deletion (store, &when, NULL));
  g_assert_cmpint (when, ==, expected);
}

static void
test_schedule (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) full = make_key (2, 1000), plain = make_key (3, 1000), other = make_key (4, 1000);
  insert_key (store, full);
  insert_key (store, plain);
  insert_key (store, other);
  schedule_deletion (store, full, 5000);
  schedule_deletion (store, plain, 6000);
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_key_stored (store, full);
  assert_key_stored (store, plain);
  assert_key_stored (store, other);
  g_autoptr (GPtrArray) listed = list_all (store);
  g_assert_cmpuint (listed->len, ==, 3);
  assert_same_key (listed->pdata[0], full);
  assert_same_key (listed->pdata[1], plain);
}

/* Its material may go meanwhile; the date stays. */
static void
test_material_goes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  schedule_deletion (store, key, 5000);
  key->expires_at = 0;
  g_clear_pointer (&key->sealed_key, g_bytes_unref);
  g_clear_pointer (&key->envelope, g_bytes_unref);
  update_key (store, key);
  assert_key_stored (store, key);
  assert_next (store, 5000);
}

static void
cancel (CmkStore *store, CmkKeyRecord *key)
{
  key->state = key->state_before;
  key->delete_at = 0;
  update_key (store, key);
}

static void
test_cancel (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  schedule_deletion (store, key, 5000);
  cancel (store, key);
  assert_key_stored (store, key);
  assert_next (store, 0);
  schedule_deletion (store, key, 7000);
  assert_key_stored (store, key);
  assert_next (store, 7000);
  assert_no_statement_scans (store);
}

static void
test_rollback (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000), before = make_key (2, 1000);
  insert_key (store, key);
  before->serial = key->serial;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  schedule_deletion (store, key, 5000);
  assert_key_stored (store, key);
  cmk_store_transaction_free (g_steal_pointer (&transaction));
  assert_key_stored (store, before);
  assert_next (store, 0);
}

static void
test_due (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  static const struct
  {
    guint n;
    gint64 delete_at; /* 0: it stays */
  } keys[] = { { 2, 300 }, { 4, 100 }, { 6, 200 }, { 1, 0 }, { 8, 0 } };
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_next (store, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (CmkKeyRecord) key = make_key (keys[i].n, 1000);
      insert_key (store, key);
      if (keys[i].delete_at != 0)
        schedule_deletion (store, key, keys[i].delete_at);
    }
  assert_next (store, 100);

  static const struct
  {
    gint64 when;
    guint limit;
    guint8 expected[4];
  } cases[] = {
    { 99, 10, { 0 } },        { 100, 10, { 4 } },   { 299, 10, { 4, 6 } },
    { 300, 10, { 4, 6, 2 } }, { 300, 2, { 4, 6 } }, { G_MAXINT64, 10, { 4, 6, 2 } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GArray) ids = cmk_store_list_deletable (store, cases[i].when, cases[i].limit, NULL);
      g_assert_nonnull (ids);
      for (guint j = 0; j < ids->len; j++)
        g_assert_cmpuint (g_array_index (ids, CmkUuid, j).bytes[15], ==, cases[i].expected[j]);
      g_assert_cmpuint (cases[i].expected[ids->len], ==, 0);
    }
  assert_no_statement_scans (store);
}

/* --- the end --- */

/* Two keys with all that a key can have. */
static void
fill_store (CmkStore *store, CmkKeyRecord *keys[2])
{
  static const char *const texts[2] = { "TEXT-OF-ONE", "TEXT-OF-TWO" };
  for (guint i = 0; i < 2; i++)
    {
      keys[i] = make_key (2 + 2 * i, 1000);
      g_clear_pointer (&keys[i]->envelope, g_bytes_unref);
      keys[i]->envelope = g_bytes_new_static (texts[i], strlen (texts[i]));
      insert_key (store, keys[i]);
      g_autofree char *name = g_strconcat ("alias/", texts[i], NULL);
      g_autoptr (CmkImportSetRecord) set = make_import_set (i + 1, keys[i], 1000, 9000);
      insert_import_set (store, set);
      put_public_key (store, keys[i], texts[i]);
      put_tags (store, keys[i], texts[i]);
      cmk_alias_record_free (insert_alias (store, 1000, name, keys[i]));
      cmk_alias_record_free (insert_alias (store, 0, name, keys[i]));
      schedule_deletion (store, keys[i], 5000 + i);
    }
}

static gboolean
is_in_directory (const Fixture *fixture, const char *text)
{
  g_autoptr (GDir) directory = g_dir_open (fixture->directory, 0, NULL);
  gboolean found = FALSE;
  const char *name;
  while ((name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *path = g_build_filename (fixture->directory, name, NULL);
      g_autofree char *contents = NULL;
      gsize size = 0;
      g_assert_true (g_file_get_contents (path, &contents, &size, NULL));
      found |= memmem (contents, size, text, strlen (text)) != NULL;
    }
  return found;
}

static void
test_delete (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  CmkKeyRecord *keys[2];
  g_autoptr (CmkStore) store = open_store (fixture);
  fill_store (store, keys);
  g_autoptr (CmkKeyRecord) deleted = keys[0], other = keys[1];
  g_assert_true (is_in_directory (fixture, "TEXT-OF-ONE"));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  g_assert_true (cmk_store_delete_key (store, &deleted->id, NULL));
  g_assert_true (cmk_store_commit (transaction, NULL));
  g_assert_false (is_in_directory (fixture, "TEXT-OF-ONE"));
  g_assert_true (is_in_directory (fixture, "TEXT-OF-TWO"));

  assert_key_refused (store, deleted, CMK_ERROR_KEY_NOT_FOUND);
  assert_alias_refused (store, 1000, "alias/TEXT-OF-ONE", CMK_ERROR_ALIAS_NOT_FOUND);
  assert_alias_refused (store, 0, "alias/TEXT-OF-ONE", CMK_ERROR_ALIAS_NOT_FOUND);
  assert_tags (store, deleted, "");
  assert_no_public_key (store, deleted);
  guint of_key = 99, of_uid = 99;
  g_assert_true (cmk_store_count_import_sets (store, &deleted->id, 1000, 0, G_MAXINT64, &of_key, &of_uid, NULL));
  g_assert_cmpuint (of_key, ==, 0);
  g_assert_cmpuint (of_uid, ==, 1);
  assert_next (store, 5001);
  assert_key_stored (store, other);
  assert_tags (store, other, "TEXT-OF-TWO");
  assert_public_key (store, other, "TEXT-OF-TWO");
  assert_no_statement_scans (store);

  /* A new one of the same id has none of it. */
  insert_key (store, deleted);
  assert_tags (store, deleted, "");
}

static void
test_delete_undone (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  CmkKeyRecord *keys[2];
  g_autoptr (CmkStore) store = open_store (fixture);
  fill_store (store, keys);
  g_autoptr (CmkKeyRecord) key = keys[0], other G_GNUC_UNUSED = keys[1];
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  g_assert_true (cmk_store_delete_key (store, &key->id, NULL));
  cmk_store_transaction_free (g_steal_pointer (&transaction));
  assert_key_stored (store, key);
  assert_tags (store, key, "TEXT-OF-ONE");
  assert_public_key (store, key, "TEXT-OF-ONE");
}

/* --- damage --- */

typedef struct
{
  const char *name;
  const char *sql; /* what is done to the row of key 2 */
} EditCase;

static const EditCase edits[] = {
  { "/store/deletions/damage/missing", "DELETE FROM deletions" },
  { "/store/deletions/damage/sooner", "UPDATE deletions SET delete_at = 1" },
  { "/store/deletions/damage/never", "UPDATE deletions SET delete_at = 0" },
  { "/store/deletions/damage/state-before", "UPDATE deletions SET state_before = 2" },
  { "/store/deletions/damage/mac", "UPDATE deletions SET mac = zeroblob (32)" },
  { "/store/deletions/damage/mac-cut", "UPDATE deletions SET mac = substr (mac, 1, 31)" },
  { "/store/deletions/damage/row-of-another",
    "UPDATE deletions SET (delete_at, state_before, mac) = (SELECT delete_at, "
    "state_before, mac FROM deletions AS d WHERE d.delete_at = 6000)" },
};

static void
test_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000), other = make_key (4, 1000);
  insert_key (store, key);
  insert_key (store, other);
  schedule_deletion (store, key, 5000);
  schedule_deletion (store, other, 6000);
  cmk_store_close (g_steal_pointer (&store));
  g_autofree char *sql = g_strconcat (test->sql, " WHERE delete_at = 5000", NULL);
  edit_database (fixture, sql);

  store = open_store (fixture);
  assert_key_refused (store, key, CMK_ERROR_STATE_CORRUPTED);
  assert_key_stored (store, other);
  g_assert_true (cmk_store_claims_owner (store, &key->id, 1000));
  n_warnings = 0;
  g_autoptr (GPtrArray) listed = list_all (store);
  g_assert_cmpuint (listed->len, ==, 1);
  g_assert_cmpuint (n_warnings, ==, 1);
  /* It is never deleted, and the timer is not told of it. */
  assert_next (store, 6000);
  g_autoptr (GArray) due = cmk_store_list_deletable (store, G_MAXINT64, 10, NULL);
  g_assert_cmpuint (due->len, ==, 1);
}

/* A row from when it was scheduled does not delete a key that is not. */
static void
test_stray_row (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  schedule_deletion (store, key, 5000);
  sqlite3_stmt *row = NULL;
  g_assert_cmpint (sqlite3_prepare_v2 (store->database,
                                       "SELECT format ('INSERT INTO deletions VALUES (%s, %d, %d, %s)', "
                                       "quote (key_id), delete_at, state_before, quote (mac)) FROM deletions",
                                       -1, &row, NULL),
                   ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_step (row), ==, SQLITE_ROW);
  g_autofree char *sql = g_strdup ((const char *) sqlite3_column_text (row, 0));
  sqlite3_finalize (row);
  cancel (store, key);
  cmk_store_close (g_steal_pointer (&store));
  edit_database (fixture, sql);

  store = open_store (fixture);
  assert_key_stored (store, key);
  assert_next (store, 0);
  g_autoptr (GArray) due = cmk_store_list_deletable (store, G_MAXINT64, 10, NULL);
  g_assert_cmpuint (due->len, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  ADD ("/store/deletions/scheduled-says-when-and-what-it-was", NULL, test_schedule);
  ADD ("/store/deletions/material-may-go-meanwhile", NULL, test_material_goes);
  ADD ("/store/deletions/cancelled-is-as-before", NULL, test_cancel);
  ADD ("/store/deletions/out-of-scope-is-undone", NULL, test_rollback);
  ADD ("/store/deletions/soonest-first", NULL, test_due);
  ADD ("/store/deletions/deleted-leaves-nothing", NULL, test_delete);
  ADD ("/store/deletions/deleted-is-undone", NULL, test_delete_undone);
  for (gsize i = 0; i < G_N_ELEMENTS (edits); i++)
    ADD (edits[i].name, &edits[i], test_edit);
  ADD ("/store/deletions/damage/stray-row", NULL, test_stray_row);
  return g_test_run ();
}
