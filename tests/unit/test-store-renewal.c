/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that nothing vouches for any more: read by their form, then authenticated anew; and envelopes given new seals.
 * And facts, which share the fixture. */
#include "anchor-fixture.h"

/* --- facts --- */

static void
put_fact (CmkStore *store, const char *name, const char *text)
{
  g_autoptr (GBytes) value = g_bytes_new (text, strlen (text));
  g_assert_true (CHANGE (store, cmk_store_put_fact (store, name, value, NULL), NULL));
}

static void
assert_fact (CmkStore *store, const char *name, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) value = cmk_store_get_fact (store, name, &error);
  g_assert_no_error (error);
  g_assert_nonnull (value);
  g_assert_cmpmem (g_bytes_get_data (value, NULL), g_bytes_get_size (value), text, strlen (text));
}

static void
test_facts (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_fact (anchored->store, "one", &error));
  g_assert_no_error (error);
  put_fact (anchored->store, "one", "1");
  put_fact (anchored->store, "two", "");
  put_fact (anchored->store, "one", "another");
  reopen_anchored (anchored, TRUE);
  assert_fact (anchored->store, "one", "another");
  assert_fact (anchored->store, "two", "");
}

/* An index is nothing that a MAC vouches for: here, one that has nothing in it. */
static void
test_facts_without_index (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  put_fact (anchored->store, "one", "1");
  close_anchored (anchored);
  edit_database (&anchored->fixture,
                 "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
                 "WHERE name = 'sqlite_autoindex_deletions_1') WHERE name = 'sqlite_autoindex_facts_1'");
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  assert_fact (anchored->store, "one", "1");
  put_fact (anchored->store, "one", "another");
  assert_fact (anchored->store, "one", "another");
  reopen_anchored (anchored, TRUE);
  assert_fact (anchored->store, "one", "another");
}

static void
test_damaged_facts (Anchored *anchored, gconstpointer data)
{
  const char *edit = data;
  g_autoptr (GError) error = NULL;
  put_fact (anchored->store, "one", "1");
  put_fact (anchored->store, "two", "2");
  close_anchored (anchored);
  edit_database (&anchored->fixture, edit);
  anchored->store = open_store_to_read (&anchored->fixture);
  g_assert_null (cmk_store_get_fact (anchored->store, "one", &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

/* --- without a MAC --- */

static void
read_unverified (Anchored *anchored)
{
  close_anchored (anchored);
  g_autoptr (GError) error = NULL;
  anchored->store = cmk_store_open (anchored->fixture.directory, &error);
  g_assert_no_error (error);
  cmk_store_read_unverified (anchored->store);
}

static void
test_unverified (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  read_unverified (anchored);
  assert_key_stored (anchored->store, anchored->keys[0]);
  assert_tags (anchored->store, anchored->keys[0], "tags of 2");
  assert_public_key (anchored->store, anchored->keys[0], "public key of 2");
  g_autoptr (GPtrArray) records = list_all (anchored->store);
  g_assert_cmpuint (records->len, ==, 3);
  g_assert_null (cmk_store_begin (anchored->store, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_NOT_ALLOWED);
  g_assert_false (cmk_store_is_behind (anchored->store));
  cmk_store_set_mac (anchored->store, test_mac, (gpointer) "row key");
  load_rows (anchored->store);
  update_key (anchored->store, anchored->keys[1]);
}

static const char *const foreign_rows[] = {
  "spec = 77",  "usage = -1",
  "origin = 0", "protection_level = 4294967297",
  "state = 5",  "description = CAST (x'ff' AS TEXT)",
  "id = x'00'",
};

/* What is not as we write it is no more trusted for there being no MAC. */
static void
test_unverified_foreign (Anchored *anchored, gconstpointer data)
{
  g_autofree char *sql = g_strdup_printf ("UPDATE keys SET %s WHERE serial = 3", (const char *) data);
  close_anchored (anchored);
  edit_database (&anchored->fixture, sql);
  read_unverified (anchored);
  n_warnings = 0;
  g_autoptr (GPtrArray) records = list_all (anchored->store);
  g_assert_cmpuint (records->len, ==, 2);
  g_assert_cmpuint (n_warnings, ==, 1);
}

static void
authenticate_anew (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  cmk_store_set_mac (store, test_mac, (gpointer) "another row key");
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  gboolean done = cmk_store_authenticate_anew (store, &error);
  g_assert_no_error (error);
  g_assert_true (done);
  put_anchor (store, 7);
  g_assert_true (cmk_store_commit (transaction, NULL));
}

static CmkStore *
open_renewed (const Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  gboolean current = FALSE;
  CmkStore *store = cmk_store_open (fixture->directory, NULL);
  cmk_store_set_mac (store, test_mac, (gpointer) "another row key");
  g_autoptr (CmkStoreAnchor) anchor = cmk_store_load_anchor (store, &current, &error);
  g_assert_no_error (error);
  g_assert_true (current);
  g_assert_cmpuint (anchor->steps, ==, 7);
  return store;
}

static void
test_authenticated_anew (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  put_fact (anchored->store, "one", "1");
  schedule_deletion (anchored->store, anchored->keys[1], 3000);
  read_unverified (anchored);
  authenticate_anew (anchored->store);
  for (guint i = 0; i < 2; i++)
    {
      CmkStore *store = anchored->store;
      for (guint k = 0; k < 3; k++)
        assert_key_stored (store, anchored->keys[k]);
      assert_tags (store, anchored->keys[0], "tags of 2");
      assert_public_key (store, anchored->keys[0], "public key of 2");
      assert_fact (store, "one", "1");
      g_autoptr (CmkAliasRecord) alias = cmk_store_get_alias (store, 1000, "alias/2", NULL);
      g_assert_nonnull (alias);
      g_autoptr (CmkImportSetRecord) set = cmk_store_get_import_set (store, &anchored->set->id, NULL);
      g_assert_cmpuint (set->failures, ==, 1);
      update_key (store, anchored->keys[1]);
      close_anchored (anchored);
      anchored->store = open_renewed (&anchored->fixture);
    }
}

static void
test_foreign_rows_deleted (Anchored *anchored, gconstpointer data)
{
  g_autofree char *sql = g_strdup_printf ("UPDATE keys SET %s WHERE serial = 3", (const char *) data);
  close_anchored (anchored);
  edit_database (&anchored->fixture, sql);
  read_unverified (anchored);
  n_warnings = 0;
  authenticate_anew (anchored->store);
  g_assert_cmpuint (n_warnings, ==, 1);
  g_autoptr (GPtrArray) records = list_all (anchored->store);
  g_assert_cmpuint (records->len, ==, 2);
  g_assert_cmpuint (n_warnings, ==, 1);
  close_anchored (anchored);
  anchored->store = open_renewed (&anchored->fixture);
}

static void
test_renewal_rolled_back (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  read_unverified (anchored);
  cmk_store_set_mac (anchored->store, test_mac, (gpointer) "another row key");
  {
    g_autoptr (CmkStoreTransaction) lost G_GNUC_UNUSED = cmk_store_begin (anchored->store, NULL);
    g_assert_true (cmk_store_authenticate_anew (anchored->store, NULL));
    put_anchor (anchored->store, 7);
  }
  reopen_anchored (anchored, TRUE);
  assert_key_stored (anchored->store, anchored->keys[0]);
}

/* --- new seals --- */

static gboolean
prefix_slot (gpointer user_data, GBytes *envelope, GBytes **ret_envelope, GError **error G_GNUC_UNUSED)
{
  guint *count = user_data;
  g_autofree char *text = g_strdup_printf ("slot %3u%.*s", ++*count, (int) g_bytes_get_size (envelope),
                                           (const char *) g_bytes_get_data (envelope, NULL));
  *ret_envelope = g_bytes_new (text, strlen (text));
  return TRUE;
}

static gboolean
refuse_third (gpointer user_data, GBytes *envelope, GBytes **ret_envelope, GError **error)
{
  if (*(guint *) user_data < 2)
    return prefix_slot (user_data, envelope, ret_envelope, error);
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE, "no more");
  return FALSE;
}

static void
assert_envelope (GBytes *envelope, guint slot, GBytes *inner)
{
  g_autofree char *prefix = g_strdup_printf ("slot %3u", slot);
  gsize size = 0;
  const char *bytes = g_bytes_get_data (envelope, &size);
  g_assert_cmpmem (bytes, 8, prefix, 8);
  g_assert_cmpmem (bytes + 8, size - 8, g_bytes_get_data (inner, NULL), g_bytes_get_size (inner));
}

static void
test_resealed (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  guint count = 0;
  g_autoptr (GError) error = NULL;
  gboolean done =
      CHANGE (anchored->store, cmk_store_reseal_envelopes (anchored->store, prefix_slot, &count, &error), &error);
  g_assert_no_error (error);
  g_assert_true (done);
  g_assert_cmpuint (count, ==, 3);
  reopen_anchored (anchored, TRUE);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CmkKeyRecord) key = cmk_store_get_key (anchored->store, &anchored->keys[i]->id, &error);
      g_assert_no_error (error);
      assert_envelope (key->envelope, i + 1, anchored->keys[i]->envelope);
    }
  g_autoptr (CmkImportSetRecord) set = cmk_store_get_import_set (anchored->store, &anchored->set->id, &error);
  g_assert_no_error (error);
  assert_envelope (set->envelope, 3, anchored->set->envelope);
  assert_key_stored (anchored->store, anchored->keys[2]);
}

static void
test_reseal_refused (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  guint count = 0;
  g_autoptr (GError) error = NULL;
  g_assert_false (
      CHANGE (anchored->store, cmk_store_reseal_envelopes (anchored->store, refuse_third, &count, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  reopen_anchored (anchored, TRUE);
  assert_key_stored (anchored->store, anchored->keys[0]);
}

static void
test_reseal_damaged (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  guint count = 0;
  close_anchored (anchored);
  edit_database (&anchored->fixture, "UPDATE keys SET state = 3 WHERE serial = 1");
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  n_warnings = 0;
  g_assert_true (
      CHANGE (anchored->store, cmk_store_reseal_envelopes (anchored->store, prefix_slot, &count, NULL), NULL));
  g_assert_cmpuint (count, ==, 2);
  g_assert_cmpuint (n_warnings, ==, 1);
  assert_key_refused (anchored->store, anchored->keys[0], CMK_ERROR_STATE_CORRUPTED);
  reopen_anchored (anchored, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
#define ADD(name, data, function) g_test_add (name, Anchored, data, anchored_set_up, function, anchored_tear_down)
  ADD ("/store/facts/are-kept", NULL, test_facts);
  ADD ("/store/facts/found-without-their-index", NULL, test_facts_without_index);
  ADD ("/store/facts/value-edited", "UPDATE facts SET value = x'32' WHERE name = 'one'", test_damaged_facts);
  ADD ("/store/facts/of-another-name",
       "DELETE FROM facts WHERE name = 'one'; UPDATE facts SET name = 'one' WHERE name = 'two'", test_damaged_facts);
  ADD ("/store/unverified/is-read-and-not-written", NULL, test_unverified);
  for (gsize i = 0; i < G_N_ELEMENTS (foreign_rows); i++)
    {
      g_autofree char *read = g_strdup_printf ("/store/unverified/foreign/%s", foreign_rows[i]);
      g_autofree char *deleted = g_strdup_printf ("/store/renewal/foreign-is-deleted/%s", foreign_rows[i]);
      ADD (read, foreign_rows[i], test_unverified_foreign);
      ADD (deleted, foreign_rows[i], test_foreign_rows_deleted);
    }
  ADD ("/store/renewal/authenticates-every-row", NULL, test_authenticated_anew);
  ADD ("/store/renewal/rolled-back", NULL, test_renewal_rolled_back);
  ADD ("/store/renewal/reseals-every-envelope", NULL, test_resealed);
  ADD ("/store/renewal/reseal-refused", NULL, test_reseal_refused);
  ADD ("/store/renewal/reseal-leaves-damaged", NULL, test_reseal_damaged);
  return g_test_run ();
}
