/* SPDX-License-Identifier: Apache-2.0
 *
 * Aliases: unique to the owner that made them, listed in the order they were made. */
#include "store-fixture.h"

#define OWNER 1000
#define OTHER 1001

/* Keys 2 and 4. */
typedef struct
{
  CmkKeyRecord *one;
  CmkKeyRecord *two;
} Keys;

static void
keys_clear (Keys *keys)
{
  cmk_key_record_free (keys->one);
  cmk_key_record_free (keys->two);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Keys, keys_clear)

static Keys
insert_keys (CmkStore *store)
{
  Keys keys = { make_key (2, OWNER), make_key (4, OTHER) };
  insert_key (store, keys.one);
  insert_key (store, keys.two);
  return keys;
}

static void
assert_count (CmkStore *store, const CmkKeyRecord *key, guint expected)
{
  guint count = 99;
  g_assert_true (cmk_store_count_aliases (store, &key->id, &count, NULL));
  g_assert_cmpuint (count, ==, expected);
}

static void
test_insert (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = insert_keys (store);
  g_autofree char *longest = g_strnfill (6 + 255, 'x');
  g_autoptr (CmkAliasRecord) first = insert_alias (store, OWNER, "alias/a", keys.one);
  g_autoptr (CmkAliasRecord) second = insert_alias (store, OWNER, longest, keys.one);
  g_autoptr (CmkAliasRecord) of_other = insert_alias (store, OTHER, "alias/a", keys.two);
  g_autoptr (CmkAliasRecord) of_root = insert_alias (store, 0, "alias/a", keys.one);
  g_assert_cmpint (second->serial, >, first->serial);
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  assert_alias_stored (store, first);
  assert_alias_stored (store, second);
  assert_alias_stored (store, of_other);
  assert_alias_stored (store, of_root);
  assert_alias_refused (store, OTHER, longest, CMK_ERROR_ALIAS_NOT_FOUND);
  assert_alias_refused (store, OWNER, "alias/A", CMK_ERROR_ALIAS_NOT_FOUND);
  assert_count (store, keys.one, 3);
  assert_count (store, keys.two, 1);
}

static void
test_taken (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = insert_keys (store);
  g_autoptr (CmkAliasRecord) alias = insert_alias (store, OWNER, "alias/a", keys.one);
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_store_check_alias_free (store, OTHER, "alias/a", NULL));
  g_assert_true (cmk_store_check_alias_free (store, OWNER, "alias/b", NULL));
  g_assert_false (cmk_store_check_alias_free (store, OWNER, "alias/a", &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_ALIAS_ALREADY_EXISTS);
  g_clear_error (&error);
  g_autoptr (CmkAliasRecord) same = cmk_alias_record_new (OWNER, "alias/a", &keys.two->id);
  g_assert_false (CHANGE (store, cmk_store_insert_alias (store, same, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  assert_alias_stored (store, alias);
}

static void
test_move (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = insert_keys (store);
  g_autoptr (CmkAliasRecord) alias = insert_alias (store, OWNER, "alias/a", keys.one);
  g_autoptr (CmkAliasRecord) of_other = insert_alias (store, OTHER, "alias/a", keys.one);
  g_autoptr (GError) error = NULL;
  alias->key_id = keys.two->id;
  g_assert_true (CHANGE (store, cmk_store_update_alias (store, alias, &error), &error));
  assert_alias_stored (store, alias);
  assert_alias_stored (store, of_other);
  assert_count (store, keys.one, 1);
  assert_count (store, keys.two, 1);

  g_assert_true (CHANGE (store, cmk_store_delete_alias (store, alias->owner, alias->name, &error), &error));
  assert_alias_refused (store, OWNER, "alias/a", CMK_ERROR_ALIAS_NOT_FOUND);
  assert_alias_stored (store, of_other);
  g_assert_false (CHANGE (store, cmk_store_update_alias (store, alias, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_ALIAS_NOT_FOUND);
}

static void
test_serial (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = insert_keys (store);
  g_autoptr (CmkAliasRecord) first = insert_alias (store, OWNER, "alias/a", keys.one);
  g_assert_true (CHANGE (store, cmk_store_delete_alias (store, first->owner, first->name, NULL), NULL));
  g_autoptr (CmkAliasRecord) second = insert_alias (store, OWNER, "alias/a", keys.one);
  g_assert_cmpint (second->serial, >, first->serial);
}

/* The serials of what is listed, in its order: "1 3 ". */
static char *
list_serials (CmkStore *store, const CmkAliasFilter *filter, gboolean expect_more)
{
  g_autoptr (GError) error = NULL;
  gboolean more = !expect_more;
  g_autoptr (GPtrArray) records = cmk_store_list_aliases (store, filter, &more, &error);
  g_assert_no_error (error);
  g_assert_true (more == expect_more);
  GString *serials = g_string_new (NULL);
  for (guint i = 0; i < records->len; i++)
    g_string_append_printf (serials, "%" G_GINT64_FORMAT " ", ((const CmkAliasRecord *) records->pdata[i])->serial);
  return g_string_free (serials, FALSE);
}

/* Serials 1 to 6: three of the owner, one of the other, one of root, and one of the owner's again, of key 4. */
static Keys
fill_store (CmkStore *store)
{
  Keys keys = insert_keys (store);
  static const char *const names[] = { "alias/z", "alias/b", "alias/a" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    cmk_alias_record_free (insert_alias (store, OWNER, names[i], keys.one));
  cmk_alias_record_free (insert_alias (store, OTHER, "alias/a", keys.two));
  cmk_alias_record_free (insert_alias (store, 0, "alias/a", keys.one));
  cmk_alias_record_free (insert_alias (store, OWNER, "alias/c", keys.two));
  return keys;
}

static void
test_list (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = fill_store (store);
  const struct
  {
    CmkAliasFilter filter;
    gboolean more;
    const char *serials;
  } cases[] = {
    { { .owner = OWNER, .limit = 10 }, FALSE, "1 2 3 6 " },
    { { .owner = OWNER, .limit = 4 }, FALSE, "1 2 3 6 " },
    { { .owner = OWNER, .limit = 3 }, TRUE, "1 2 3 " },
    { { .owner = OWNER, .limit = 3, .after_serial = 3 }, FALSE, "6 " },
    { { .owner = OWNER, .limit = 3, .after_serial = 6 }, FALSE, "" },
    { { .owner = 4242, .limit = 3 }, FALSE, "" },
    { { .owner = OWNER, .key_id = &keys.one->id, .limit = 10 }, FALSE, "1 2 3 " },
    { { .owner = OWNER, .key_id = &keys.two->id, .limit = 10 }, FALSE, "6 " },
    { { .owner = 0, .key_id = &keys.one->id, .limit = 10 }, FALSE, "5 " },
    { { .owner = -1, .key_id = &keys.one->id, .limit = 10 }, FALSE, "1 2 3 5 " },
    { { .owner = -1, .key_id = &keys.two->id, .limit = 1 }, TRUE, "4 " },
    { { .owner = -1, .key_id = &keys.two->id, .limit = 1, .after_serial = 4 }, FALSE, "6 " },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *serials = list_serials (store, &cases[i].filter, cases[i].more);
      g_assert_cmpstr (serials, ==, cases[i].serials);
    }
  assert_count (store, keys.one, 4);
  assert_alias_refused (store, OWNER, "alias/x", CMK_ERROR_ALIAS_NOT_FOUND);
  g_assert_cmpuint (assert_no_statement_scans (store), >=, 8);
}

typedef struct
{
  const char *name;
  const char *set; /* what is done to the alias of serial 2 */
} EditCase;

static const EditCase edits[] = {
  { "/store/aliases/damage/key", "key_id = (SELECT id FROM keys WHERE serial = 2)" },
  { "/store/aliases/damage/mac", "mac = zeroblob (32)" },
  { "/store/aliases/damage/mac-of-another", "mac = (SELECT mac FROM aliases WHERE serial = 1)" },
  { "/store/aliases/damage/serial", "serial = 77" },
};

static void
test_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = fill_store (store);
  cmk_store_close (g_steal_pointer (&store));
  g_autofree char *sql = g_strconcat ("UPDATE aliases SET ", test->set, " WHERE serial = 2", NULL);
  edit_database (fixture, sql);

  store = open_store (fixture);
  assert_alias_refused (store, OWNER, "alias/b", CMK_ERROR_STATE_CORRUPTED);
  g_autoptr (GError) error = NULL;
  g_assert_false (cmk_store_check_alias_free (store, OWNER, "alias/b", &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_ALIAS_ALREADY_EXISTS);
  n_warnings = 0;
  const CmkAliasFilter filter = { .owner = OWNER, .limit = 10 };
  g_autofree char *serials = list_serials (store, &filter, FALSE);
  g_assert_cmpstr (serials, ==, "1 3 6 ");
  g_assert_cmpuint (n_warnings, ==, 1);
  assert_key_stored (store, keys.one);
}

/* What names another row is not that row, but whoever looks for it there is told of damage. */
static const struct
{
  const char *name;
  const char *set;
  gint64 owner; /* whose the damaged row seems to be */
} moves[] = {
  { "/store/aliases/damage/uid", "uid = 4242", 4242 },
  { "/store/aliases/damage/uid-of-root", "uid = 0", 0 },
  { "/store/aliases/damage/name", "name = 'alias/another'", OWNER },
};

static void
test_moved (Fixture *fixture, gconstpointer data)
{
  gsize number = GPOINTER_TO_SIZE (data);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_auto (Keys) keys = fill_store (store);
  cmk_store_close (g_steal_pointer (&store));
  g_autofree char *sql = g_strconcat ("UPDATE aliases SET ", moves[number].set, " WHERE serial = 2", NULL);
  edit_database (fixture, sql);

  store = open_store (fixture);
  static const gint64 owners[] = { OWNER, OTHER, 0, 4242 };
  for (gsize i = 0; i < G_N_ELEMENTS (owners); i++)
    {
      g_autoptr (GError) error = NULL;
      CmkError expected = owners[i] == moves[number].owner ? CMK_ERROR_STATE_CORRUPTED : CMK_ERROR_ALIAS_NOT_FOUND;
      assert_alias_refused (store, owners[i], "alias/b", expected);
      assert_alias_refused (store, owners[i], "alias/b", expected);
      g_assert_false (CHANGE (store, cmk_store_delete_alias (store, owners[i], "alias/none", &error), &error));
      g_assert_error (error, CMK_ERROR, (int) expected);
    }
  g_autoptr (CmkAliasRecord) other = cmk_store_get_alias (store, OWNER, "alias/a", NULL);
  g_assert_nonnull (other);
  assert_key_stored (store, keys.one);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  ADD ("/store/aliases/come-back-as-they-went", NULL, test_insert);
  ADD ("/store/aliases/taken-by-the-same-uid-is-refused", NULL, test_taken);
  ADD ("/store/aliases/move-and-go", NULL, test_move);
  ADD ("/store/aliases/serials-are-never-given-twice", NULL, test_serial);
  ADD ("/store/aliases/list-by-uid-and-by-key", NULL, test_list);
  for (gsize i = 0; i < G_N_ELEMENTS (edits); i++)
    ADD (edits[i].name, &edits[i], test_edit);
  for (gsize i = 0; i < G_N_ELEMENTS (moves); i++)
    ADD (moves[i].name, GSIZE_TO_POINTER (i), test_moved);
  return g_test_run ();
}
