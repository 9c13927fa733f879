/* SPDX-License-Identifier: Apache-2.0
 *
 * What vanishes leaves its slot behind, whichever way it went; and the pages that the slots are in. */
#include "anchor-fixture.h"

/* make_key() and make_import_set() give envelopes that differ in their first 8 bytes. */
static gint64
slot_of (GBytes *envelope)
{
  guint64 slot;
  memcpy (&slot, g_bytes_get_data (envelope, NULL), sizeof slot);
  return (gint64) GUINT64_FROM_BE (slot);
}

static gint
compare_slots (gconstpointer a, gconstpointer b)
{
  gint64 one = *(const gint64 *) a, other = *(const gint64 *) b;
  return (one > other) - (one < other);
}

static void
assert_slots (CmkStore *store, gint64 *slots, guint n_slots)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) listed = cmk_store_list_erasures (store, &error);
  gboolean any = FALSE;
  g_assert_no_error (error);
  if (n_slots > 1)
    qsort (slots, n_slots, sizeof *slots, compare_slots);
  g_assert_cmpmem (listed->data, listed->len * sizeof (gint64), slots, n_slots * sizeof (gint64));
  g_assert_true (cmk_store_has_erasures (store, &any, &error));
  g_assert_cmpint (any, ==, n_slots > 0);
}
#define ASSERT_SLOTS(store, ...)                                                                                       \
  G_STMT_START                                                                                                         \
  {                                                                                                                    \
    gint64 slots_[] = { __VA_ARGS__ };                                                                                 \
    assert_slots (store, slots_, G_N_ELEMENTS (slots_));                                                               \
  }                                                                                                                    \
  G_STMT_END

static void
assert_no_slots (CmkStore *store)
{
  assert_slots (store, NULL, 0);
}

static void
strip (CmkKeyRecord *key)
{
  g_clear_pointer (&key->sealed_key, g_bytes_unref);
  g_clear_pointer (&key->envelope, g_bytes_unref);
  key->state = CMK_KEY_STATE_PENDING_IMPORT;
}

static void
test_material_taken_out (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  gint64 slot = slot_of (anchored->keys[0]->envelope);
  strip (anchored->keys[0]);
  update_key (anchored->store, anchored->keys[0]);
  ASSERT_SLOTS (anchored->store, slot);
  reopen_anchored (anchored, TRUE);
  ASSERT_SLOTS (anchored->store, slot);
}

static void
test_material_replaced (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkKeyRecord *key = anchored->keys[0];
  gint64 slot = slot_of (key->envelope);
  g_bytes_unref (key->envelope);
  key->envelope = g_bytes_new_static ("another slot", 12);
  update_key (anchored->store, key);
  ASSERT_SLOTS (anchored->store, slot);
}

static void
test_slot_stays (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkKeyRecord *key = anchored->keys[0];
  g_autoptr (GBytes) old = g_steal_pointer (&key->envelope);
  g_autofree char *longer = g_strdup_printf ("%.8s and the rest is new", (const char *) g_bytes_get_data (old, NULL));
  key->envelope = g_bytes_new (longer, strlen (longer));
  update_key (anchored->store, key);
  anchored->set->failures++;
  g_assert_true (CHANGE (anchored->store, cmk_store_update_import_set (anchored->store, anchored->set, NULL), NULL));
  schedule_deletion (anchored->store, anchored->keys[1], 3000);
  update_key (anchored->store, anchored->keys[2]);
  assert_no_slots (anchored->store);
}

static void
test_key_deleted (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  g_assert_true (cmk_store_delete_key (store, &anchored->keys[0]->id, NULL));
  g_assert_true (cmk_store_delete_key (store, &anchored->keys[2]->id, NULL)); /* has none */
  g_assert_true (cmk_store_commit (transaction, NULL));
  ASSERT_SLOTS (store, slot_of (anchored->keys[0]->envelope), slot_of (anchored->set->envelope));
}

static void
test_import_sets_deleted (Anchored *anchored, gconstpointer data)
{
  CmkStore *store = anchored->store;
  const CmkUuid *id = &anchored->set->id;
  g_assert_true (GPOINTER_TO_INT (data) == 0 ? CHANGE (store, cmk_store_delete_import_set (store, id, NULL), NULL)
                                             : CHANGE (store, cmk_store_delete_import_sets (store, NULL), NULL));
  ASSERT_SLOTS (store, slot_of (anchored->set->envelope));
}

static void
test_rolled_back (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  {
    g_autoptr (CmkStoreTransaction) lost G_GNUC_UNUSED = cmk_store_begin (store, NULL);
    g_assert_true (cmk_store_delete_key (store, &anchored->keys[0]->id, NULL));
  }
  put_tags (store, anchored->keys[1], "tags");
  assert_no_slots (store);
}

static void
test_cleared (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  g_assert_true (CHANGE (store, cmk_store_delete_key (store, &anchored->keys[0]->id, NULL), NULL));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  g_assert_true (cmk_store_delete_key (store, &anchored->keys[1]->id, NULL));
  g_assert_true (cmk_store_clear_erasures (store, NULL));
  g_assert_true (cmk_store_commit (transaction, NULL));
  assert_no_slots (store);
  reopen_anchored (anchored, TRUE);
}

/* An envelope of format 3 does not begin with a slot. */
static void
test_before_the_anchor (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_anchored (fixture, TRUE);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  put_anchor (store, 1);
  g_assert_true (cmk_store_delete_key (store, &key->id, NULL));
  g_assert_true (cmk_store_commit (transaction, NULL));
  assert_no_slots (store);
}

/* Who would flip a bit in one key's slot must not have another's erased. */
static void
test_damaged (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  close_anchored (anchored);
  edit_database (&anchored->fixture, "UPDATE keys SET envelope = (SELECT envelope FROM keys WHERE serial = 2) "
                                     "WHERE serial = 1");
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  n_warnings = 0;
  g_assert_true (CHANGE (anchored->store, cmk_store_delete_key (anchored->store, &anchored->keys[0]->id, NULL), NULL));
  g_assert_cmpuint (n_warnings, ==, 1);
  ASSERT_SLOTS (anchored->store, slot_of (anchored->set->envelope));
}

/* The sum says that the rest of the row is as it was. */
static void
test_damaged_mac (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  close_anchored (anchored);
  edit_database (&anchored->fixture, "UPDATE keys SET mac = zeroblob (32) WHERE serial = 1");
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  g_assert_true (CHANGE (anchored->store, cmk_store_delete_key (anchored->store, &anchored->keys[0]->id, NULL), NULL));
  ASSERT_SLOTS (anchored->store, slot_of (anchored->keys[0]->envelope), slot_of (anchored->set->envelope));
}

/* Who reads the list clears it next. */
static void
test_listed_in_transaction (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  gint64 of_set = slot_of (anchored->set->envelope), of_key = slot_of (anchored->keys[1]->envelope);
  gboolean any = FALSE;
  {
    g_autoptr (CmkStoreTransaction) lost G_GNUC_UNUSED = cmk_store_begin (store, NULL);
    g_assert_true (cmk_store_delete_import_sets (store, NULL));
    g_assert_true (cmk_store_has_erasures (store, &any, NULL));
    g_assert_true (any);
    ASSERT_SLOTS (store, of_set);
  }
  assert_no_slots (store);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  g_assert_true (cmk_store_delete_import_sets (store, NULL));
  ASSERT_SLOTS (store, of_set);
  g_assert_true (cmk_store_clear_erasures (store, NULL));
  assert_no_slots (store);
  g_assert_true (cmk_store_delete_key (store, &anchored->keys[1]->id, NULL));
  ASSERT_SLOTS (store, of_key);
  g_assert_true (cmk_store_commit (transaction, NULL));
  reopen_anchored (anchored, TRUE);
  ASSERT_SLOTS (anchored->store, of_key);
}

/* --- pages --- */

static void
put_page (CmkStore *store, gint64 page, guint n_free, const char *text)
{
  g_autoptr (GBytes) content = g_bytes_new (text, strlen (text));
  g_assert_true (CHANGE (store, cmk_store_put_erasure_page (store, page, n_free, content, NULL), NULL));
}

static void
assert_page (CmkStore *store, gint64 page, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) content = cmk_store_get_erasure_page (store, page, &error);
  if (text == NULL)
    {
      g_assert_null (content);
      g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
      return;
    }
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (content, NULL), g_bytes_get_size (content), text, strlen (text));
}

static void
assert_free_page (CmkStore *store, gint64 expected)
{
  gint64 page = 77;
  g_assert_true (cmk_store_find_free_erasure_page (store, &page, NULL));
  g_assert_cmpint (page, ==, expected);
}

static void
test_pages (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  CmkStore *store = anchored->store;
  assert_page (store, 0, NULL);
  assert_free_page (store, -1);
  put_page (store, 0, 2, "page 0");
  put_page (store, 1, 0, "page 1");
  assert_page (store, 0, "page 0");
  assert_page (store, 1, "page 1");
  assert_free_page (store, 0);
  put_page (store, 0, 0, "page 0 without room");
  assert_page (store, 0, "page 0 without room");
  assert_free_page (store, -1);
  put_page (store, 1, 1, "page 1 with room");
  assert_free_page (store, 1);
  close_anchored (anchored);
  store = anchored->store = open_store (&anchored->fixture);
  assert_page (store, 1, "page 1 with room");
  assert_free_page (store, 1);
  g_assert_cmpuint (assert_no_statement_scans (store), >, 0);
  g_assert_true (CHANGE (store, cmk_store_delete_erasure_pages (store, NULL), NULL));
  assert_page (store, 1, NULL);
  assert_free_page (store, -1);
}

static void
test_damaged_page (Anchored *anchored, gconstpointer data G_GNUC_UNUSED)
{
  put_page (anchored->store, 0, 1, "page 0");
  put_page (anchored->store, 1, 1, "page 1");
  put_page (anchored->store, 2, 0, "page 2");
  close_anchored (anchored);
  edit_database (&anchored->fixture, "UPDATE erasure_pages SET content = x'00' WHERE page = 0;"
                                     "UPDATE erasure_pages SET n_free = 1 WHERE page = 2");
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  assert_page (anchored->store, 0, NULL);
  assert_page (anchored->store, 1, "page 1");
  assert_page (anchored->store, 2, NULL);
  assert_free_page (anchored->store, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
#define ADD(name, data, function) g_test_add (name, Anchored, data, anchored_set_up, function, anchored_tear_down)
  ADD ("/store/erasures/material-taken-out", NULL, test_material_taken_out);
  ADD ("/store/erasures/material-replaced", NULL, test_material_replaced);
  ADD ("/store/erasures/none-while-the-slot-stays", NULL, test_slot_stays);
  ADD ("/store/erasures/key-deleted-with-its-import-sets", NULL, test_key_deleted);
  ADD ("/store/erasures/import-set-deleted", GINT_TO_POINTER (0), test_import_sets_deleted);
  ADD ("/store/erasures/all-import-sets-deleted", GINT_TO_POINTER (1), test_import_sets_deleted);
  ADD ("/store/erasures/rolled-back", NULL, test_rolled_back);
  ADD ("/store/erasures/cleared-with-those-of-the-same-transaction", NULL, test_cleared);
  ADD ("/store/erasures/none-of-a-damaged-row", NULL, test_damaged);
  ADD ("/store/erasures/of-a-row-whose-mac-is-damaged", NULL, test_damaged_mac);
  ADD ("/store/erasures/listed-in-the-transaction-that-makes-them", NULL, test_listed_in_transaction);
  ADD ("/store/erasures/pages", NULL, test_pages);
  ADD ("/store/erasures/pages/damaged", NULL, test_damaged_page);
  g_test_add ("/store/erasures/none-before-the-anchor", Fixture, NULL, fixture_set_up, test_before_the_anchor,
              fixture_tear_down);
  return g_test_run ();
}
