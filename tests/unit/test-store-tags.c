/* SPDX-License-Identifier: Apache-2.0
 *
 * The tags of a key: one row, or none. */
#include "store-fixture.h"

static void
test_put (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000), other = make_key (4, 1000);
  insert_key (store, key);
  insert_key (store, other);
  assert_tags (store, key, "");
  put_tags (store, key, "tags of one");
  put_tags (store, other, "tags of the other");
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_tags (store, key, "tags of one");
  put_tags (store, key, "more");
  assert_tags (store, key, "more");
  assert_tags (store, other, "tags of the other");
  assert_key_stored (store, key);
}

static void
test_none (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000), other = make_key (4, 1000);
  insert_key (store, key);
  insert_key (store, other);
  put_tags (store, key, "tags");
  put_tags (store, other, "tags of the other");
  put_tags (store, key, "");
  assert_tags (store, key, "");
  put_tags (store, key, "");
  assert_tags (store, other, "tags of the other");
  assert_no_statement_scans (store);
}

static void
test_longest (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *text = g_strnfill (20 * (8 + 4 * (128 + 256)), 'x');
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  put_tags (store, key, text);
  assert_tags (store, key, text);
}

static void
test_no_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (GBytes) tags = g_bytes_new_static ("nobody's", 8);
  g_autoptr (GError) error = NULL;
  g_assert_false (CHANGE (store, cmk_store_put_tags (store, &key->id, tags, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  assert_tags (store, key, "");
}

typedef struct
{
  const char *name;
  const char *set; /* what is done to the tags of key 2 */
} EditCase;

static const EditCase edits[] = {
  { "/store/tags/damage/flipped", "tags = CAST (x'00' || substr (tags, 2) AS BLOB)" },
  { "/store/tags/damage/cut", "tags = substr (tags, 1, length (tags) - 1)" },
  { "/store/tags/damage/emptied", "tags = x''" },
  { "/store/tags/damage/of-another", "tags = (SELECT tags FROM tags AS t WHERE t.key_id != tags.key_id)" },
  { "/store/tags/damage/row-of-another",
    "(tags, mac) = (SELECT tags, mac FROM tags AS t WHERE t.key_id != tags.key_id)" },
  { "/store/tags/damage/mac", "mac = zeroblob (32)" },
  { "/store/tags/damage/mac-cut", "mac = substr (mac, 1, 31)" },
};

static void
test_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000), other = make_key (4, 1000);
  insert_key (store, key);
  insert_key (store, other);
  put_tags (store, key, "tags");
  put_tags (store, other, "tags of the other");
  cmk_store_close (g_steal_pointer (&store));
  g_autofree char *sql =
      g_strconcat ("UPDATE tags SET ", test->set, " WHERE key_id = (SELECT id FROM keys WHERE serial = 1)", NULL);
  edit_database (fixture, sql);

  store = open_store (fixture);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_tags (store, &key->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  g_assert_true (g_str_has_prefix (error->message, "tags of key 00000202-0202-0202-0202-020202020202: "));
  assert_tags (store, other, "tags of the other");
  assert_key_stored (store, key);
  put_tags (store, key, "and again");
  assert_tags (store, key, "and again");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  ADD ("/store/tags/come-back-as-they-went", NULL, test_put);
  ADD ("/store/tags/none-is-no-row", NULL, test_none);
  ADD ("/store/tags/longest", NULL, test_longest);
  ADD ("/store/tags/of-no-key-are-refused", NULL, test_no_key);
  for (gsize i = 0; i < G_N_ELEMENTS (edits); i++)
    ADD (edits[i].name, &edits[i], test_edit);
  return g_test_run ();
}
