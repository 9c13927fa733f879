/* SPDX-License-Identifier: Apache-2.0
 *
 * Every row of the store is ours, but is it the latest? Older rows put back, rows taken out and put in again; and all
 * the ways in which honest changes end, after which the rows must still be what the anchor says. */
#include "anchor-fixture.h"

#include <signal.h>
#include <sys/resource.h>

/* --- what the anchor holds --- */

static CmkStoreAnchor *
load (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  gboolean current = FALSE;
  CmkStoreAnchor *anchor = cmk_store_load_anchor (store, &current, &error);
  g_assert_no_error (error);
  g_assert_true (current);
  return anchor;
}

static void
test_kept (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStoreAnchor) put = make_anchor (1);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CmkStoreAnchor) anchor = load (anchored->store);
      g_assert_cmpmem (anchor->stage, CMK_STAGE_SIZE, put->stage, CMK_STAGE_SIZE);
      g_assert_cmpuint (anchor->nv_handle, ==, put->nv_handle);
      g_assert_cmpuint (anchor->steps, ==, 1);
      g_assert_false (anchor->is_behind);
      reopen_anchored (anchored, TRUE);
    }
  g_autoptr (CmkStoreAnchor) bare = g_new0 (CmkStoreAnchor, 1);
  bare->is_behind = TRUE;
  g_assert_true (CHANGE (anchored->store, cmk_store_put_anchor (anchored->store, bare, NULL), NULL));
  g_assert_true (cmk_store_is_behind (anchored->store));
  reopen_anchored (anchored, TRUE);
  g_autoptr (CmkStoreAnchor) anchor = load (anchored->store);
  g_assert_true (anchor->is_behind);
  g_assert_cmpuint (anchor->nv_handle, ==, 0);
}

static void
test_new_store (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CmkStore) store = open_store (fixture);
      g_assert_null (load (store));
      if (i == 0)
        insert_key (store, key);
      g_assert_false (cmk_store_is_behind (store));
    }
}

static void
test_is_behind (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (GBytes) value = g_bytes_new_static ("value", 5);
  g_assert_false (cmk_store_is_behind (store));
  g_assert_true (cmk_store_put_meta (store, "name", value, NULL));
  g_assert_false (cmk_store_is_behind (store));
  {
    g_autoptr (CmkStoreTransaction) lost G_GNUC_UNUSED = cmk_store_begin (store, NULL);
    put_tags (store, anchored->keys[1], "lost");
  }
  g_assert_false (cmk_store_is_behind (store));
  put_tags (store, anchored->keys[1], "kept");
  g_assert_true (cmk_store_is_behind (store));
  reopen_anchored (anchored, TRUE);
  g_assert_true (cmk_store_is_behind (anchored->store));

  store = anchored->store;
  g_autoptr (CmkStoreTransaction) step = cmk_store_begin (store, NULL);
  put_anchor (store, 2);
  put_tags (store, anchored->keys[1], "with the step");
  g_assert_true (cmk_store_commit (step, NULL));
  g_assert_false (cmk_store_is_behind (store));
  reopen_anchored (anchored, TRUE);
  g_assert_false (cmk_store_is_behind (anchored->store));
}

/* --- changes of ours --- */

static void
test_every_change (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (GBytes) bytes = g_bytes_new_static ("bytes", 5);
  update_key (store, anchored->keys[0]);
  put_public_key (store, anchored->keys[0], "replaced");
  put_tags (store, anchored->keys[0], "replaced");
  put_tags (store, anchored->keys[1], "");
  schedule_deletion (store, anchored->keys[1], 3000);
  schedule_deletion (store, anchored->keys[1], 4000);
  g_assert_true (CHANGE (store, cmk_store_put_fact (store, "fact", bytes, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_put_fact (store, "fact", bytes, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_put_erasure_page (store, 0, 1, bytes, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_put_erasure_page (store, 0, 0, bytes, NULL), NULL));
  reopen_anchored (anchored, TRUE);
  /* With all that hangs on it, some of it by foreign keys. */
  g_assert_true (CHANGE (anchored->store, cmk_store_delete_key (anchored->store, &anchored->keys[0]->id, NULL), NULL));
  reopen_anchored (anchored, TRUE);
  g_assert_true (CHANGE (anchored->store, cmk_store_clear_erasures (anchored->store, NULL), NULL));
  g_assert_true (CHANGE (anchored->store, cmk_store_delete_erasure_pages (anchored->store, NULL), NULL));
  g_assert_true (CHANGE (anchored->store, cmk_store_delete_import_sets (anchored->store, NULL), NULL));
  reopen_anchored (anchored, TRUE);
}

/* Without a WHERE, SQLite would empty a table without looking at its rows. */
static void
test_emptied_table (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  for (guint i = 2; i < 50; i++)
    {
      g_autoptr (CmkImportSetRecord) set = make_import_set (i, anchored->keys[0], 1000, 5000);
      insert_import_set (store, set);
    }
  g_assert_true (CHANGE (store, cmk_store_delete_import_sets (store, NULL), NULL));
  reopen_anchored (anchored, TRUE);
}

static void
test_rolled_back (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  {
    g_autoptr (CmkStoreTransaction) lost G_GNUC_UNUSED = cmk_store_begin (anchored->store, NULL);
    put_tags (anchored->store, anchored->keys[1], "lost");
    g_assert_true (cmk_store_delete_key (anchored->store, &anchored->keys[0]->id, NULL));
    put_anchor (anchored->store, 9);
  }
  put_tags (anchored->store, anchored->keys[1], "kept");
  reopen_anchored (anchored, TRUE);
  assert_key_stored (anchored->store, anchored->keys[0]);
  g_autoptr (CmkStoreAnchor) anchor = load (anchored->store);
  g_assert_cmpuint (anchor->steps, ==, 1);
}

/* The statement is undone and the rest of the transaction is not; what was counted cannot be told apart. */
static void
test_failed_statement (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (CmkKeyRecord) unknown = make_key (8, 1000);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("bytes", 5);
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  put_tags (store, anchored->keys[1], "lost");
  g_assert_false (cmk_store_put_public_key (store, &unknown->id, bytes, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_clear_error (&error);
  g_assert_false (cmk_store_put_tags (store, &anchored->keys[1]->id, bytes, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_clear_error (&error);
  g_assert_false (cmk_store_commit (transaction, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  put_tags (store, anchored->keys[1], "kept");
  reopen_anchored (anchored, TRUE);
  assert_tags (anchored->store, anchored->keys[1], "kept");
}

static void
limit_files (rlim_t size)
{
  const struct rlimit limit = { size, RLIM_INFINITY };
  g_assert_true (signal (SIGXFSZ, SIG_IGN) != SIG_ERR);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
}

static void
test_failed_commit (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  put_tags (store, anchored->keys[1], "lost");
  put_anchor (store, 9);
  limit_files (0);
  g_assert_false (cmk_store_commit (transaction, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
  limit_files (RLIM_INFINITY);
  put_tags (store, anchored->keys[2], "kept");
  reopen_anchored (anchored, TRUE);
  assert_tags (anchored->store, anchored->keys[1], "");
  assert_tags (anchored->store, anchored->keys[2], "kept");
}

/* A transaction that outgrows the cache is written out before its end, and when that fails SQLite rolls all of it back
 * without being asked to. What the caller goes on with must not be committed one by one. */
static void
test_rolled_back_by_sqlite (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (sqlite3_exec (store->database, "PRAGMA cache_size = 1", NULL, NULL, NULL), ==, SQLITE_OK);
  {
    g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
    limit_files (0);
    for (guint n = 100; error == NULL; n += 2)
      {
        g_autoptr (CmkKeyRecord) key = make_key (n, 1000);
        gboolean inserted = cmk_store_insert_key (store, key, &error);
        g_assert_cmpint (inserted, ==, error == NULL);
        g_assert_cmpuint (n, <, 10000);
      }
    g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
    limit_files (RLIM_INFINITY);
    g_assert_true (sqlite3_get_autocommit (store->database));
    g_clear_error (&error);
    g_assert_false (cmk_store_delete_alias (store, 1000, "alias/2", &error));
    g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
    g_clear_error (&error);
    g_assert_false (cmk_store_commit (transaction, &error));
    g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
  }
  put_tags (store, anchored->keys[2], "kept");
  reopen_anchored (anchored, TRUE);
  assert_alias_refused (anchored->store, 1000, "alias/3", CMK_ERROR_ALIAS_NOT_FOUND);
  g_autoptr (GPtrArray) records = list_all (anchored->store);
  g_assert_cmpuint (records->len, ==, 3);
}

/* --- changes of somebody else's --- */

typedef struct
{
  const char *name;
  const char *sql; /* "old" is the state before the changes of change_much() */
  gboolean are_current;
} EditCase;

static void
change_much (Anchored *anchored)
{
  CmkStore *store = anchored->store;
  update_key (store, anchored->keys[1]);
  anchored->keys[0]->state = CMK_KEY_STATE_DISABLED;
  update_key (store, anchored->keys[0]);
  put_tags (store, anchored->keys[0], "tags of later");
  put_public_key (store, anchored->keys[0], "public key of later");
  anchored->set->failures = 7;
  g_assert_true (CHANGE (store, cmk_store_update_import_set (store, anchored->set, NULL), NULL));
  g_autoptr (CmkImportSetRecord) set = make_import_set (2, anchored->keys[1], 1000, 5000);
  insert_import_set (store, set);
  g_assert_true (CHANGE (store, cmk_store_delete_import_set (store, &set->id, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_delete_alias (store, 1000, "alias/2", NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_delete_key (store, &anchored->keys[2]->id, NULL), NULL));
}

#define PUT_BACK(table) "DELETE FROM " table "; INSERT INTO " table " SELECT * FROM old." table
#define OLD_MAC         "UPDATE keys SET mac = (SELECT mac FROM old.keys AS o WHERE o.serial = 1) WHERE serial = 1;"

static const EditCase edits[] = {
  { "untouched", "", TRUE },
  { "rewritten-as-it-is", "UPDATE keys SET state = state", TRUE },
  { "row-put-back",
    "UPDATE keys SET (state, mac) = (SELECT state, mac FROM old.keys AS o WHERE o.serial = 1) "
    "WHERE serial = 1",
    FALSE },
  { "deleted-key-put-back", "INSERT INTO keys SELECT * FROM old.keys WHERE serial = 3", FALSE },
  { "deleted-alias-put-back", "INSERT INTO aliases SELECT * FROM old.aliases", FALSE },
  { "keys-put-back", PUT_BACK ("keys"), FALSE },
  { "import-sets-put-back", PUT_BACK ("import_sets"), FALSE },
  { "public-keys-put-back", PUT_BACK ("public_keys"), FALSE },
  { "tags-put-back", PUT_BACK ("tags"), FALSE },
  { "anchor-put-back", PUT_BACK ("anchor"), FALSE },
  { "key-removed", "DELETE FROM keys WHERE serial = 2", FALSE },
  { "import-set-removed", "DELETE FROM import_sets", FALSE },
  { "tags-removed", "DELETE FROM tags", FALSE },
  { "all-removed",
    "DELETE FROM keys; DELETE FROM import_sets; DELETE FROM public_keys; DELETE FROM tags;"
    "DELETE FROM erasures",
    FALSE },
  { "erasures-removed", "DELETE FROM erasures", FALSE },
  { "content-damaged", "UPDATE keys SET state = 3 WHERE serial = 1", TRUE },
  { "type-damaged", "PRAGMA writable_schema = ON; UPDATE keys SET sealed_key = NULL WHERE serial = 1", TRUE },
  { "content-of-two-damaged", "UPDATE keys SET state = 3", TRUE },
  { "mac-damaged", "UPDATE keys SET mac = zeroblob (32) WHERE serial = 1", TRUE },
  { "mac-cut", "UPDATE keys SET mac = x'00' WHERE serial = 1", TRUE },
  { "every-mac-damaged", "UPDATE keys SET mac = zeroblob (32); UPDATE tags SET mac = zeroblob (32)", TRUE },
  { "content-and-mac-damaged", "UPDATE keys SET state = 3, mac = zeroblob (32) WHERE serial = 1", FALSE },
  { "mac-damaged-and-row-put-back", "UPDATE tags SET mac = zeroblob (32);" PUT_BACK ("public_keys"), FALSE },
  { "mac-of-older-row", OLD_MAC, TRUE },
  { "content-of-older-row",
    "UPDATE keys SET state = (SELECT state FROM old.keys AS o WHERE o.serial = 1) "
    "WHERE serial = 1",
    TRUE },
};

static void
test_edit (Anchored *anchored, gconstpointer data)
{
  const EditCase *test = data;
  keep_old_state (anchored);
  change_much (anchored);
  edit_with_old (anchored, test->sql);
  anchored->store = open_anchored (&anchored->fixture, test->are_current);
  /* What changes next does not make it good, nor bad. */
  g_autoptr (CmkKeyRecord) key = make_key (20, 1000);
  insert_key (anchored->store, key);
  if (!test->are_current)
    return;
  reopen_anchored (anchored, TRUE);
  /* Nor does it that damaged rows go. */
  for (guint i = 0; i < 2; i++)
    g_assert_true (
        CHANGE (anchored->store, cmk_store_delete_key (anchored->store, &anchored->keys[i]->id, NULL), NULL));
  reopen_anchored (anchored, TRUE);
}

/* What is accepted is the new content with the older MAC that it should not have; the older row as a whole is not. */
static void
test_older_row_in_two_steps (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  keep_old_state (anchored);
  change_much (anchored);
  edit_with_old (anchored, OLD_MAC);
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  assert_key_refused (anchored->store, anchored->keys[0], CMK_ERROR_STATE_CORRUPTED);
  put_tags (anchored->store, anchored->keys[1], "changed");
  edit_with_old (anchored, "UPDATE keys SET state = (SELECT state FROM old.keys AS o WHERE o.serial = 1) "
                           "WHERE serial = 1");
  anchored->store = open_anchored (&anchored->fixture, FALSE);
}

/* The rows fit each other: that it is older is for the stage to tell. */
static void
test_whole_file (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *contents = NULL, *old = g_build_filename (anchored->fixture.base, "old.db", NULL);
  gsize size = 0;
  keep_old_state (anchored);
  put_anchor (anchored->store, 2);
  close_anchored (anchored);
  g_assert_true (g_file_get_contents (old, &contents, &size, NULL));
  replace_file (anchored->fixture.database, contents, size);
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  g_autoptr (CmkStoreAnchor) anchor = load (anchored->store);
  g_assert_cmpuint (anchor->stage[0], ==, 1);
}

static void
test_accepted (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  keep_old_state (anchored);
  change_much (anchored);
  edit_with_old (anchored, PUT_BACK ("tags"));
  anchored->store = open_anchored (&anchored->fixture, FALSE);
  put_anchor (anchored->store, 3);
  reopen_anchored (anchored, TRUE);
  put_tags (anchored->store, anchored->keys[1], "and on");
  reopen_anchored (anchored, TRUE);
}

static const EditCase anchor_edits[] = {
  { "stage", "UPDATE anchor SET stage = zeroblob (16)", FALSE },
  { "stage-cut", "UPDATE anchor SET stage = x'00'", FALSE },
  { "nv-handle", "UPDATE anchor SET nv_handle = 0", FALSE },
  { "is-behind", "UPDATE anchor SET is_behind = 1", FALSE },
  { "steps", "UPDATE anchor SET steps = 0", FALSE },
  { "rows-mac", "UPDATE anchor SET rows_mac = zeroblob (32)", FALSE },
  { "mac", "UPDATE anchor SET mac = zeroblob (32)", FALSE },
  { "number", "UPDATE anchor SET number = 2", FALSE },
  { "missing-with-pages", "INSERT INTO erasure_pages VALUES (0, 0, x'00', x'00'); DELETE FROM anchor", FALSE },
  { "missing-with-erasures", "INSERT INTO erasures VALUES (0, x'00'); DELETE FROM anchor", FALSE },
};

static void
test_anchor_edit (Anchored *anchored, gconstpointer data)
{
  const EditCase *test = data;
  g_autoptr (GError) error = NULL;
  gboolean current = FALSE;
  close_anchored (anchored);
  edit_database (&anchored->fixture, test->sql);
  anchored->store = open_store_to_read (&anchored->fixture);
  g_assert_null (cmk_store_load_anchor (anchored->store, &current, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

/* What the sum cannot tell of, being of MACs, where it would be lost to everybody. */
static const EditCase foundation_edits[] = {
  { "fact-renamed", "UPDATE facts SET name = 'xlock' WHERE name = 'clock'", FALSE },
  { "fact-edited", "UPDATE facts SET value = x'00' WHERE name = 'clock'", FALSE },
  { "fact-mac-damaged", "UPDATE facts SET mac = zeroblob (32)", FALSE },
  { "facts-exchanged",
    "UPDATE facts SET name = 'x' WHERE name = 'clock'; UPDATE facts SET name = 'clock' WHERE name = 'other';"
    "UPDATE facts SET name = 'other' WHERE name = 'x'",
    FALSE },
  { "erasure-of-another-slot", "UPDATE erasures SET slot = slot + 100", FALSE },
  { "one-erasure-of-another-slot", "UPDATE erasures SET slot = 77 WHERE slot = (SELECT min (slot) FROM erasures)",
    FALSE },
  { "erasure-mac-damaged", "UPDATE erasures SET mac = zeroblob (32)", FALSE },
  { "fact-renamed-and-row-removed", "UPDATE facts SET name = 'xlock' WHERE name = 'clock'; DELETE FROM tags", FALSE },
};

static void
test_foundation_edit (Anchored *anchored, gconstpointer data)
{
  const EditCase *test = data;
  CmkStore *store = anchored->store;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) value = g_bytes_new_static ("12:00", 5), other = g_bytes_new_static ("12:01", 5);
  gboolean current = FALSE;
  g_assert_true (CHANGE (store, cmk_store_put_fact (store, "clock", value, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_put_fact (store, "other", other, NULL), NULL));
  g_assert_true (CHANGE (store, cmk_store_delete_key (store, &anchored->keys[0]->id, NULL), NULL));
  put_tags (store, anchored->keys[1], "tags");
  reopen_anchored (anchored, TRUE);
  close_anchored (anchored);
  edit_database (&anchored->fixture, test->sql);
  anchored->store = open_store_to_read (&anchored->fixture);
  g_assert_null (cmk_store_load_anchor (anchored->store, &current, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  g_assert_nonnull (strstr (error->message, g_str_has_prefix (test->name, "fact") ? "of facts" : "of erasures"));
}

/* Its commit would leave the anchor to the rows of before. */
static void
test_change_before_loading (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) value = g_bytes_new_static ("value", 5);
  close_anchored (anchored);
  CmkStore *store = anchored->store = open_store_to_read (&anchored->fixture);
  g_assert_true (CHANGE (store, cmk_store_put_meta (store, "name", value, &error), &error));
  g_assert_no_error (error);
  g_assert_false (CHANGE (store, cmk_store_put_tags (store, &anchored->keys[1]->id, value, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  assert_tags (store, anchored->keys[1], "");
  load_rows (store);
  put_tags (store, anchored->keys[1], "kept");
  reopen_anchored (anchored, TRUE);
}

static gboolean
broken_mac (gpointer user_data G_GNUC_UNUSED, const guint8 *bytes G_GNUC_UNUSED, gsize size G_GNUC_UNUSED,
            guint8 ret_mac[CMK_ROW_MAC_SIZE] G_GNUC_UNUSED, GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INTERNAL, "no MAC today");
  return FALSE;
}

/* In the middle of a change: it must not be committed with a sum that lacks it. */
static void
test_broken_mac (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (GError) error = NULL;
  CmkRowMac mac = store->mac;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  store->mac = broken_mac;
  g_assert_true (cmk_store_delete_key (store, &anchored->keys[0]->id, NULL));
  store->mac = mac;
  g_assert_false (cmk_store_commit (transaction, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  reopen_anchored (anchored, TRUE);
  assert_key_stored (anchored->store, anchored->keys[0]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
  g_test_add ("/store/anchor/none-in-a-new-store", Fixture, NULL, fixture_set_up, test_new_store, fixture_tear_down);
#define ADD(name, data, function) g_test_add (name, Anchored, data, anchored_set_up, function, anchored_tear_down)
  ADD ("/store/anchor/is-kept", NULL, test_kept);
  ADD ("/store/anchor/is-behind-after-a-change", NULL, test_is_behind);
  ADD ("/store/anchor/changes/every-kind", NULL, test_every_change);
  ADD ("/store/anchor/changes/table-emptied", NULL, test_emptied_table);
  ADD ("/store/anchor/changes/rolled-back", NULL, test_rolled_back);
  ADD ("/store/anchor/changes/failed-statement", NULL, test_failed_statement);
  ADD ("/store/anchor/changes/failed-commit", NULL, test_failed_commit);
  ADD ("/store/anchor/changes/rolled-back-by-sqlite", NULL, test_rolled_back_by_sqlite);
  ADD ("/store/anchor/changes/mac-cannot-be-computed", NULL, test_broken_mac);
  for (gsize i = 0; i < G_N_ELEMENTS (edits); i++)
    {
      g_autofree char *name = g_strconcat ("/store/anchor/edited/", edits[i].name, NULL);
      ADD (name, &edits[i], test_edit);
    }
  ADD ("/store/anchor/edited/older-row-in-two-steps", NULL, test_older_row_in_two_steps);
  ADD ("/store/anchor/edited/whole-file", NULL, test_whole_file);
  ADD ("/store/anchor/accepted-as-it-stands", NULL, test_accepted);
  for (gsize i = 0; i < G_N_ELEMENTS (anchor_edits); i++)
    {
      g_autofree char *name = g_strconcat ("/store/anchor/itself/", anchor_edits[i].name, NULL);
      ADD (name, &anchor_edits[i], test_anchor_edit);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (foundation_edits); i++)
    {
      g_autofree char *name = g_strconcat ("/store/anchor/foundations/", foundation_edits[i].name, NULL);
      ADD (name, &foundation_edits[i], test_foundation_edit);
    }
  ADD ("/store/anchor/no-change-before-it-is-loaded", NULL, test_change_before_loading);
  return g_test_run ();
}
