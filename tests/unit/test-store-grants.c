/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants, what they add to the list of keys, and the accounts that owners stand for. */
#include "store-fixture.h"

#define ALICE 1000
#define BOB   1001
#define GROUP 100

static void
test_put (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, ALICE), other = make_key (4, ALICE);
  insert_key (store, key);
  insert_key (store, other);
  g_autofree CmkGrantRecord *first = insert_grant (store, 1, key, CMK_GRANTEE_USER, G_GINT64_CONSTANT (1) << 40);
  g_autofree CmkGrantRecord *second G_GNUC_UNUSED = insert_grant (store, 2, key, CMK_GRANTEE_GROUP, G_MAXUINT32);
  g_autofree CmkGrantRecord *third G_GNUC_UNUSED = insert_grant (store, 3, other, CMK_GRANTEE_USER, BOB);
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  g_autoptr (GArray) grants = cmk_store_list_grants (store, &key->id, NULL);
  g_assert_cmpuint (grants->len, ==, 2);
  const CmkGrantRecord *stored = &g_array_index (grants, CmkGrantRecord, 0);
  g_assert_cmpmem (&stored->id, sizeof stored->id, &first->id, sizeof first->id);
  g_assert_cmpmem (&stored->key_id, sizeof stored->key_id, &key->id, sizeof key->id);
  g_assert_cmpint (stored->key_serial, ==, key->serial);
  g_assert_cmpint (stored->grantee_kind, ==, CMK_GRANTEE_USER);
  g_assert_cmpint (stored->grantee, ==, first->grantee);
  g_assert_cmpuint (stored->operations, ==, first->operations);
  g_assert_cmpint (stored->created_at, ==, first->created_at);
  delete_grant (store, first);
  assert_grants (store, key, "2 ");
  assert_grants (store, other, "3 ");
  guint count = 99;
  g_assert_true (cmk_store_count_grants (store, &key->id, &count, NULL));
  g_assert_cmpuint (count, ==, 1);
  assert_no_statement_scans (store);
}

/* Of another key, or of none. */
static void
test_not_found (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, ALICE), other = make_key (4, ALICE);
  insert_key (store, key);
  insert_key (store, other);
  g_autofree CmkGrantRecord *grant = insert_grant (store, 1, key, CMK_GRANTEE_USER, BOB);
  const CmkUuid *pairs[][2] = { { &other->id, &grant->id }, { &key->id, &key->id } };
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autoptr (GError) error = NULL;
      gboolean found = TRUE;
      g_assert_true (CHANGE (store, cmk_store_delete_grant (store, pairs[i][0], pairs[i][1], &found, &error), &error));
      g_assert_false (found);
    }
  assert_grants (store, key, "1 ");
}

static void
test_go_with_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, ALICE), other = make_key (4, ALICE);
  insert_key (store, key);
  insert_key (store, other);
  g_autofree CmkGrantRecord *gone G_GNUC_UNUSED = insert_grant (store, 1, key, CMK_GRANTEE_USER, BOB);
  g_autofree CmkGrantRecord *kept G_GNUC_UNUSED = insert_grant (store, 2, other, CMK_GRANTEE_USER, BOB);
  g_assert_true (CHANGE (store, cmk_store_delete_key (store, &key->id, &error), &error));
  assert_grants (store, key, "");
  assert_grants (store, other, "2 ");
  g_assert_true (CHANGE (store, cmk_store_delete_grants (store, &error), &error));
  assert_grants (store, other, "");
}

/* --- lists --- */

/* The numbers of the keys that are listed, each followed by a space. */
static char *
list (CmkStore *store, const CmkKeyFilter *filter, gboolean *ret_more)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) records = cmk_store_list_keys (store, filter, ret_more, &error);
  g_assert_no_error (error);
  GString *numbers = g_string_new (NULL);
  for (guint i = 0; i < records->len; i++)
    g_string_append_printf (numbers, "%u ", ((const CmkKeyRecord *) records->pdata[i])->id.bytes[15]);
  return g_string_free (numbers, FALSE);
}

static const guint32 one_group[] = { GROUP };
static const guint32 groups[] = { 7, GROUP, 8 };

typedef struct
{
  CmkKeyFilter filter;
  gboolean more;
  const char *expected;
} ListCase;

/* Keys 1 to 8, in this order: the odd ones are Alice's; the even ones Bob's, and Enabled. */
static const ListCase lists[] = {
  { { .owner = ALICE, .limit = 10 }, FALSE, "1 2 3 5 6 7 " },
  { { .owner = ALICE, .limit = 6 }, FALSE, "1 2 3 5 6 7 " },
  { { .owner = ALICE, .limit = 5 }, TRUE, "1 2 3 5 6 " },
  { { .owner = ALICE, .limit = 2, .after_serial = 2 }, TRUE, "3 5 " },
  { { .owner = ALICE, .limit = 10, .after_serial = 6 }, FALSE, "7 " },
  { { .owner = ALICE, .limit = 10, .groups = groups, .n_groups = 3 }, FALSE, "1 2 3 4 5 6 7 " },
  { { .owner = ALICE, .limit = 1, .groups = groups, .n_groups = 3, .after_serial = 3 }, TRUE, "4 " },
  { { .owner = ALICE, .limit = 10, .state = CMK_KEY_STATE_ENABLED }, FALSE, "2 6 " },
  { { .owner = ALICE, .limit = 10, .state = CMK_KEY_STATE_ENABLED, .now = 2000000002 }, FALSE, "6 " },
  { { .owner = ALICE, .limit = 10, .spec = CMK_KEY_SPEC_SM4 }, FALSE, "3 6 " },
  { { .owner = BOB, .limit = 10 }, FALSE, "2 4 6 8 " },
  { { .owner = 4242, .limit = 10 }, FALSE, "" },
  { { .owner = 4242, .limit = 10, .groups = one_group, .n_groups = 1 }, FALSE, "1 4 " },
  { { .owner = GROUP, .limit = 10 }, FALSE, "" },
  { { .owner = -2, .limit = 10 }, FALSE, "" },
  { { .owner = CMK_OWNER_ANY, .limit = 10 }, FALSE, "1 2 3 4 5 6 7 8 " },
};

static void
test_list (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  CmkKeyRecord *keys[9] = { NULL };
  for (guint n = 1; n <= 8; n++)
    {
      keys[n] = make_key (n, n % 2 == 1 ? ALICE : BOB);
      insert_key (store, keys[n]);
    }
  const struct
  {
    guint key;
    CmkGranteeKind kind;
    gint64 grantee;
  } made[] = {
    { 6, CMK_GRANTEE_USER, ALICE },  { 2, CMK_GRANTEE_USER, ALICE }, { 2, CMK_GRANTEE_USER, ALICE },
    { 4, CMK_GRANTEE_GROUP, GROUP }, { 1, CMK_GRANTEE_USER, ALICE }, { 1, CMK_GRANTEE_GROUP, GROUP },
  };
  for (guint i = 0; i < G_N_ELEMENTS (made); i++)
    g_free (insert_grant (store, i, keys[made[i].key], made[i].kind, made[i].grantee));
  CmkGrantRecord use = { .id = { .bytes = { 1 } }, .key_id = keys[8]->id, .key_serial = keys[8]->serial };
  use.grantee_kind = CMK_GRANTEE_USER;
  use.grantee = ALICE;
  use.operations = CMK_OPERATION_ENCRYPT;
  g_assert_true (CHANGE (store, cmk_store_insert_grant (store, &use, &error), &error));
  for (gsize i = 0; i < G_N_ELEMENTS (lists); i++)
    {
      gboolean more = FALSE;
      g_autofree char *numbers = list (store, &lists[i].filter, &more);
      g_test_message ("list %" G_GSIZE_FORMAT, i);
      g_assert_cmpstr (numbers, ==, lists[i].expected);
      g_assert_cmpint (more, ==, lists[i].more);
    }
  assert_no_statement_scans (store);
  for (guint n = 1; n <= 8; n++)
    cmk_key_record_free (keys[n]);
}

/* --- damage --- */

typedef struct
{
  const char *name;
  const char *set; /* what is done to Bob's grant on a key of Alice's */
} EditCase;

static const EditCase edits[] = {
  { "/store/grants/damage/to-somebody-else", "grantee = 1002" },
  { "/store/grants/damage/to-a-group", "grantee_kind = 2" },
  { "/store/grants/damage/more-operations", "operations = operations | 4" },
  { "/store/grants/damage/all-operations", "operations = -1" },
  { "/store/grants/damage/date", "created_at = created_at + 1" },
  { "/store/grants/damage/id", "id = zeroblob (16)" },
  { "/store/grants/damage/serial", "key_serial = 2" },
  { "/store/grants/damage/on-another-key", "key_id = (SELECT id FROM keys WHERE serial = 2), key_serial = 2" },
  { "/store/grants/damage/mac", "mac = zeroblob (32)" },
  { "/store/grants/damage/mac-cut", "mac = substr (mac, 1, 31)" },
};

/* Nobody has anything by it, and it can be got rid of. */
static void
test_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (1, ALICE), other = make_key (2, ALICE);
  insert_key (store, key);
  insert_key (store, other);
  g_free (insert_grant (store, 1, key, CMK_GRANTEE_USER, BOB));
  cmk_store_close (g_steal_pointer (&store));
  g_autofree char *sql = g_strconcat ("UPDATE grants SET ", test->set, NULL);
  edit_database (fixture, sql);

  store = open_store (fixture);
  const gint64 owners[] = { BOB, 1002 };
  for (gsize i = 0; i < G_N_ELEMENTS (owners); i++)
    {
      gboolean more = FALSE;
      const CmkKeyFilter filter = { .owner = owners[i], .limit = 10 };
      g_autofree char *numbers = list (store, &filter, &more);
      g_assert_cmpstr (numbers, ==, "");
    }
  assert_grants (store, key, "");
  assert_grants (store, other, "");
  g_assert_cmpuint (n_warnings, >, 0);
  assert_key_stored (store, key);
  g_autoptr (GError) error = NULL;
  g_assert_true (CHANGE (store, cmk_store_delete_grants (store, &error), &error));
}

/* --- accounts --- */

static void
describe_account (const CmkAccountRecord *record, gpointer text)
{
  g_string_append_printf (text, "%" G_GINT64_FORMAT "=%u:%s ", record->owner, record->uid, record->name);
}

static void
insert_account (CmkStore *store, gint64 owner, guint32 uid, const char *name)
{
  const CmkAccountRecord record = { .owner = owner, .uid = uid, .name = name };
  g_autoptr (GError) error = NULL;
  g_assert_true (CHANGE (store, cmk_store_put_account (store, &record, &error), &error));
}

static void
test_accounts (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  insert_account (store, G_GINT64_CONSTANT (1) << 32, ALICE, "carol");
  insert_account (store, ALICE, ALICE, "alice");
  insert_account (store, G_MAXUINT32, G_MAXUINT32, "");
  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  g_autoptr (GString) text = g_string_new (NULL);
  g_assert_true (cmk_store_visit_accounts (store, describe_account, text, &error));
  g_assert_cmpstr (text->str, ==, "1000=1000:alice 4294967295=4294967295: 4294967296=1000:carol ");
}

/* One that something names stays, and one that is there already is left as it is. */
static void
test_unused_accounts (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, ALICE);
  insert_key (store, key);
  g_free (insert_grant (store, 1, key, CMK_GRANTEE_USER, BOB));
  g_free (insert_grant (store, 2, key, CMK_GRANTEE_GROUP, GROUP));
  insert_account (store, ALICE, ALICE, "alice");
  insert_account (store, ALICE, ALICE, "mallory");
  insert_account (store, BOB, BOB, "bob");
  gboolean any = TRUE, has = FALSE;
  g_assert_true (cmk_store_has_unused_accounts (store, &any, &error));
  g_assert_false (any);
  insert_account (store, GROUP, GROUP, "group");
  g_assert_true (cmk_store_has_unused_accounts (store, &any, &error));
  g_assert_true (any);
  g_assert_true (cmk_store_has_account (store, GROUP, &has, &error));
  g_assert_true (has);
  g_assert_true (CHANGE (store, cmk_store_delete_unused_accounts (store, &error), &error));
  g_assert_true (cmk_store_has_account (store, GROUP, &has, &error));
  g_assert_false (has);
  g_autoptr (GString) text = g_string_new (NULL);
  g_assert_true (cmk_store_visit_accounts (store, describe_account, text, &error));
  g_assert_cmpstr (text->str, ==, "1000=1000:alice 1001=1001:bob ");
}

/* Not even if the rules forget to look. */
static void
test_no_owner (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, -2), own = make_key (4, ALICE);
  g_assert_false (CHANGE (store, cmk_store_insert_key (store, key, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  insert_key (store, own);
  g_autoptr (CmkAliasRecord) alias = cmk_alias_record_new (-2, "alias/x", &own->id);
  g_clear_error (&error);
  g_assert_false (CHANGE (store, cmk_store_insert_alias (store, alias, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
}

static const char *const account_edits[] = {
  "uid = 1000",
  "name = 'mallory'",
  "owner = 1000",
  "mac = zeroblob (32)",
};

/* Who is who is the whole store's affair. */
static void
test_account_edit (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (fixture);
  insert_account (store, BOB, BOB, "bob");
  g_autofree char *sql = g_strconcat ("UPDATE accounts SET ", data, NULL);
  cmk_store_close (g_steal_pointer (&store));
  edit_database (fixture, sql);
  store = open_store_to_read (fixture);
  gboolean current = FALSE;
  g_assert_null (cmk_store_load_anchor (store, &current, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  ADD ("/store/grants/come-back-as-they-went", NULL, test_put);
  ADD ("/store/grants/of-another-key-are-not-found", NULL, test_not_found);
  ADD ("/store/grants/go-with-their-key", NULL, test_go_with_key);
  ADD ("/store/grants/list-what-is-granted", NULL, test_list);
  for (gsize i = 0; i < G_N_ELEMENTS (edits); i++)
    ADD (edits[i].name, &edits[i], test_edit);
  ADD ("/store/accounts/come-back-as-they-went", NULL, test_accounts);
  ADD ("/store/accounts/unused-ones-go", NULL, test_unused_accounts);
  ADD ("/store/accounts/what-is-nobodys-is-not-written", NULL, test_no_owner);
  for (gsize i = 0; i < G_N_ELEMENTS (account_edits); i++)
    {
      g_autofree char *name = g_strdup_printf ("/store/accounts/damage/%" G_GSIZE_FORMAT, i);
      ADD (name, account_edits[i], test_account_edit);
    }
  return g_test_run ();
}
