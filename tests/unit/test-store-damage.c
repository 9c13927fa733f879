/* SPDX-License-Identifier: Apache-2.0
 *
 * Somebody edits the database while the daemon is away. What he touched is StateCorrupted; everything else is as it
 * was, and nothing he wrote is ever taken for ours. */
#include "store-fixture.h"

/* Keys 2 and 4 with material and public key, 3 without, and an import set of key 2. */
typedef struct
{
  CmkKeyRecord *keys[3];
  CmkImportSetRecord *set;
} Contents;

static void
contents_clear (Contents *contents)
{
  for (guint i = 0; i < G_N_ELEMENTS (contents->keys); i++)
    cmk_key_record_free (contents->keys[i]);
  cmk_import_set_record_free (contents->set);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Contents, contents_clear)

static Contents
fill_store (const Fixture *fixture)
{
  Contents contents = { .keys = { make_key (2, 1000), make_key (4, 1000), make_key (3, 1001) } };
  contents.set = make_import_set (1, contents.keys[0], 1000, 5000);
  g_autoptr (CmkStore) store = open_store (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (contents.keys); i++)
    insert_key (store, contents.keys[i]);
  insert_import_set (store, contents.set);
  put_public_key (store, contents.keys[0], "public key of 2");
  put_public_key (store, contents.keys[1], "public key of 4");
  return contents;
}

/* STRICT tables guard their types only while they are written, and only as long as the schema says so. */
static void
edit_loosely (const Fixture *fixture, const char *sql)
{
  g_autofree char *looser = g_strdup_printf ("PRAGMA foreign_keys = OFF; PRAGMA writable_schema = ON;"
                                             "UPDATE sqlite_schema SET sql = replace (replace (sql, ' NOT NULL', "
                                             "' /*OT NULL*/'), ' STRICT', ' /*TRICT*/') WHERE type = 'table'");
  edit_database (fixture, looser);
  edit_database (fixture, sql);
  edit_database (fixture, "PRAGMA writable_schema = ON;"
                          "UPDATE sqlite_schema SET sql = replace (replace (sql, ' /*OT NULL*/', ' NOT NULL'), "
                          "' /*TRICT*/', ' STRICT') WHERE type = 'table'");
}

typedef struct
{
  const char *name;
  const char *set; /* what is done to key 2, by serial 1 */
} EditCase;

static const EditCase key_edits[] = {
  { "/store/damage/key/serial", "serial = 77" },
  { "/store/damage/key/id", "id = x'000102030405060708090a0b0c0d0e0f'" },
  { "/store/damage/key/owner", "owner_uid = 1001" },
  { "/store/damage/key/owner-to-root", "owner_uid = 0" },
  { "/store/damage/key/owner-beyond-32-bits", "owner_uid = owner_uid + 4294967296" },
  { "/store/damage/key/created-at", "created_at = created_at - 1" },
  { "/store/damage/key/spec", "spec = 2" },
  { "/store/damage/key/usage", "usage = 2" },
  { "/store/damage/key/origin", "origin = 1" },
  { "/store/damage/key/protection-level", "protection_level = 2" },
  { "/store/damage/key/state", "state = 2" },
  { "/store/damage/key/description", "description = description || ' '" },
  { "/store/damage/key/description-emptied", "description = ''" },
  { "/store/damage/key/description-with-nul", "description = description || char (0) || 'x'" },
  { "/store/damage/key/expiry", "expires_at = expires_at + 1" },
  { "/store/damage/key/expiry-removed", "expires_at = 0" },
  { "/store/damage/key/expiry-negative", "expires_at = -1" },
  { "/store/damage/key/sealed-key-flipped", "sealed_key = x'00' || substr (sealed_key, 2)" },
  { "/store/damage/key/envelope-cut", "envelope = substr (envelope, 1, length (envelope) - 1)" },
  { "/store/damage/key/envelope-longer", "envelope = CAST (envelope || x'00' AS BLOB)" },
  { "/store/damage/key/envelope-emptied", "envelope = x''" },
  { "/store/damage/key/envelope-nulled", "envelope = NULL" },
  { "/store/damage/key/byte-moved-between-columns",
    "sealed_key = CAST (sealed_key || substr (envelope, 1, 1) AS BLOB), envelope = substr (envelope, 2)" },
  { "/store/damage/key/columns-swapped", "sealed_key = envelope, envelope = sealed_key" },
  { "/store/damage/key/fingerprint-removed", "fingerprint = NULL" },
  { "/store/damage/key/fingerprint-of-another", "fingerprint = (SELECT fingerprint FROM keys WHERE serial = 2)" },
  { "/store/damage/key/mac-flipped", "mac = x'00' || substr (mac, 2)" },
  { "/store/damage/key/mac-cut", "mac = substr (mac, 1, 31)" },
  { "/store/damage/key/mac-longer", "mac = CAST (mac || x'00' AS BLOB)" },
  { "/store/damage/key/mac-emptied", "mac = x''" },
  { "/store/damage/key/mac-of-another", "mac = (SELECT mac FROM keys WHERE serial = 2)" },
  /* From here on of a type or size that the columns do not have. */
  { "/store/damage/key/id-short", "id = x'00'" },
  { "/store/damage/key/id-null", "id = NULL" },
  { "/store/damage/key/id-text", "id = '0123456789abcdef'" },
  { "/store/damage/key/id-huge", "id = zeroblob (200000)" },
  { "/store/damage/key/owner-text", "owner_uid = 'root'" },
  { "/store/damage/key/owner-real", "owner_uid = 1000.5" },
  { "/store/damage/key/owner-null", "owner_uid = NULL" },
  { "/store/damage/key/state-blob", "state = x'0000000000000001'" },
  { "/store/damage/key/description-null", "description = NULL" },
  { "/store/damage/key/description-blob", "description = CAST (description AS BLOB)" },
  { "/store/damage/key/description-huge", "description = CAST (zeroblob (2000000) AS TEXT)" },
  { "/store/damage/key/expiry-text", "expires_at = 'never'" },
  { "/store/damage/key/envelope-text", "envelope = CAST (envelope AS TEXT)" },
  { "/store/damage/key/envelope-integer", "envelope = 1" },
  { "/store/damage/key/envelope-huge", "envelope = zeroblob (2000000)" },
  { "/store/damage/key/mac-null", "mac = NULL" },
  { "/store/damage/key/mac-text", "mac = CAST (zeroblob (32) AS TEXT)" },
  { "/store/damage/key/mac-integer", "mac = 0" },
};

static void
assert_only_intact (CmkStore *store, const Contents *contents)
{
  g_autoptr (GPtrArray) records = list_all (store);
  g_assert_cmpuint (records->len, ==, 2);
  assert_same_key (records->pdata[0], contents->keys[1]);
  assert_same_key (records->pdata[1], contents->keys[2]);
}

static void
test_key_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_auto (Contents) contents = fill_store (fixture);
  g_autofree char *sql = g_strconcat ("UPDATE keys SET ", test->set, " WHERE serial = 1", NULL);
  edit_loosely (fixture, sql);

  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_key (store, &contents.keys[0]->id, &error));
  gboolean id_edited = strstr (test->name, "/id") != NULL;
  int expected = id_edited ? CMK_ERROR_KEY_NOT_FOUND : CMK_ERROR_STATE_CORRUPTED;
  g_assert_error (error, CMK_ERROR, expected);
  n_warnings = 0;
  assert_only_intact (store, &contents);
  g_assert_cmpuint (n_warnings, ==, 1);
  assert_key_stored (store, contents.keys[1]);
  assert_key_stored (store, contents.keys[2]);

  /* The timer is told of key 4 alone, and never of one that it could not get done. */
  gint64 when = 0;
  g_assert_true (cmk_store_next_expiry (store, 0, &when, NULL));
  g_assert_cmpint (when, ==, contents.keys[1]->expires_at);
  g_autoptr (GArray) expired = cmk_store_list_expired (store, G_MAXINT64, 10, NULL);
  g_assert_cmpuint (expired->len, ==, 1);
  g_assert_true (cmk_uuid_equal (&g_array_index (expired, CmkUuid, 0), &contents.keys[1]->id));
}

/* Material never imported is not material that is empty. */
static void
test_null_is_not_empty (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents = fill_store (fixture);
  edit_database (fixture, "UPDATE keys SET fingerprint = x'' WHERE serial = 3");
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_key (store, &contents.keys[2]->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

/* Two rows that would be the same bytes, were it not for the lengths in what is MACed. */
static void
test_shifted_columns (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkKeyRecord) key = make_key (3, 1000);
  key->sealed_key = g_bytes_new_static ("A\1B", 3);
  key->envelope = g_bytes_new_static ("C", 1);
  g_autoptr (CmkStore) store = open_store (fixture);
  insert_key (store, key);
  cmk_store_close (g_steal_pointer (&store));
  edit_database (fixture, "UPDATE keys SET sealed_key = x'41', envelope = x'420143'");
  store = open_store (fixture);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_key (store, &key->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

typedef struct
{
  const char *name;
  const char *sql;
} SwapCase;

static const SwapCase swap_cases[] = {
  { "/store/damage/swap/ids",
    "CREATE TEMP TABLE t AS SELECT * FROM keys; UPDATE keys SET id = randomblob (16) WHERE serial < 3;"
    "UPDATE keys SET id = (SELECT id FROM t WHERE t.serial = 3 - keys.serial) WHERE serial < 3" },
  { "/store/damage/swap/serials", "UPDATE keys SET serial = 99 WHERE serial = 1; UPDATE keys SET serial = 1 WHERE "
                                  "serial = 2; UPDATE keys SET serial = 2 WHERE serial = 99" },
  { "/store/damage/swap/material",
    "CREATE TEMP TABLE t AS SELECT * FROM keys; UPDATE keys SET (sealed_key, envelope, fingerprint) = "
    "(SELECT sealed_key, envelope, fingerprint FROM t WHERE t.serial = 3 - keys.serial) WHERE serial < 3" },
  { "/store/damage/swap/all-but-the-ids",
    "CREATE TEMP TABLE t AS SELECT * FROM keys; UPDATE keys SET (owner_uid, created_at, spec, usage, origin, "
    "protection_level, state, description, expires_at, sealed_key, envelope, fingerprint, mac) = (SELECT owner_uid, "
    "created_at, spec, usage, origin, protection_level, state, description, expires_at, sealed_key, envelope, "
    "fingerprint, mac FROM t WHERE t.serial = 3 - keys.serial) WHERE serial < 3" },
};

static void
test_swap (Fixture *fixture, gconstpointer data)
{
  const SwapCase *test = data;
  g_auto (Contents) contents = fill_store (fixture);
  g_autofree char *sql = g_strconcat ("PRAGMA foreign_keys = OFF;", test->sql, NULL);
  edit_database (fixture, sql);
  g_autoptr (CmkStore) store = open_store (fixture);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;
      g_assert_null (cmk_store_get_key (store, &contents.keys[i]->id, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
    }
  assert_key_stored (store, contents.keys[2]);
}

static const EditCase set_edits[] = {
  { "/store/damage/import-set/key", "key_id = (SELECT id FROM keys WHERE serial = 2)" },
  { "/store/damage/import-set/uid", "uid = 0" },
  { "/store/damage/import-set/algorithm", "algorithm = 1" },
  { "/store/damage/import-set/wrapping-spec", "wrapping_spec = 3" },
  { "/store/damage/import-set/expiry", "expires_at = expires_at + 86400" },
  { "/store/damage/import-set/failures-forgiven", "failures = 0" },
  { "/store/damage/import-set/sealed-key-cut", "sealed_key = substr (sealed_key, 2)" },
  { "/store/damage/import-set/envelope-emptied", "envelope = x''" },
  { "/store/damage/import-set/mac", "mac = zeroblob (32)" },
  { "/store/damage/import-set/key-short", "key_id = x'00'" },
  { "/store/damage/import-set/uid-text", "uid = 'root'" },
  { "/store/damage/import-set/envelope-null", "envelope = NULL" },
  { "/store/damage/import-set/sealed-key-text", "sealed_key = 'text'" },
  { "/store/damage/import-set/mac-null", "mac = NULL" },
};

static void
test_set_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_auto (Contents) contents = fill_store (fixture);
  g_autofree char *sql = g_strconcat ("UPDATE import_sets SET ", test->set, NULL);
  edit_loosely (fixture, sql);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_store_get_import_set (store, &contents.set->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  assert_key_stored (store, contents.keys[0]);
}

static const EditCase public_key_edits[] = {
  { "/store/damage/public-key/flipped", "public_key = x'00' || substr (public_key, 2)" },
  { "/store/damage/public-key/cut", "public_key = substr (public_key, 1, length (public_key) - 1)" },
  { "/store/damage/public-key/emptied", "public_key = x''" },
  { "/store/damage/public-key/of-another", "public_key = CAST ('public key of 4' AS BLOB)" },
  { "/store/damage/public-key/row-of-another",
    "(public_key, mac) = (SELECT public_key, mac FROM public_keys AS p WHERE p.key_id != public_keys.key_id)" },
  { "/store/damage/public-key/mac", "mac = zeroblob (32)" },
  { "/store/damage/public-key/given-to-another", "key_id = (SELECT id FROM keys WHERE serial = 3)" },
  { "/store/damage/public-key/text", "public_key = CAST (public_key AS TEXT)" },
  { "/store/damage/public-key/null", "public_key = NULL" },
  { "/store/damage/public-key/mac-null", "mac = NULL" },
};

static void
test_public_key_edit (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_auto (Contents) contents = fill_store (fixture);
  g_autofree char *sql = g_strconcat ("UPDATE public_keys SET ", test->set,
                                      " WHERE key_id = (SELECT id FROM keys WHERE serial = 1)", NULL);
  edit_loosely (fixture, sql);
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_no_public_key (store, contents.keys[0]);
  assert_no_public_key (store, contents.keys[2]);
  assert_public_key (store, contents.keys[1], "public key of 4");
  assert_key_stored (store, contents.keys[0]);
  put_public_key (store, contents.keys[0], "and again");
  assert_public_key (store, contents.keys[0], "and again");
}

static void
test_public_keys_swapped (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents = fill_store (fixture);
  edit_database (fixture, "CREATE TEMP TABLE t AS SELECT * FROM public_keys;"
                          "UPDATE public_keys SET (public_key, mac) = (SELECT public_key, mac FROM t "
                          "WHERE t.key_id != public_keys.key_id)");
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_no_public_key (store, contents.keys[0]);
  assert_no_public_key (store, contents.keys[1]);
  assert_key_stored (store, contents.keys[0]);
}

/* A key's columns cannot be passed off as an import set's, nor the rows of one store as another's. */
static void
test_other_mac_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents = fill_store (fixture);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (GError) error = NULL;
  cmk_store_set_mac (store, test_mac, (gpointer) "another key");
  g_assert_null (cmk_store_get_key (store, &contents.keys[0]->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  assert_no_public_key (store, contents.keys[0]);
}

static gboolean
broken_mac (gpointer user_data G_GNUC_UNUSED, const guint8 *bytes G_GNUC_UNUSED, gsize size G_GNUC_UNUSED,
            guint8 ret_mac[CMK_ROW_MAC_SIZE] G_GNUC_UNUSED, GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INTERNAL, "no MAC today");
  return FALSE;
}

static void
test_broken_mac (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents = fill_store (fixture);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (6, 1000);
  g_autoptr (GError) error = NULL;
  CmkKeyFilter filter = { .owner = -1, .limit = 10 };
  gboolean more = FALSE;
  cmk_store_set_mac (store, broken_mac, NULL);
  g_assert_null (cmk_store_get_key (store, &contents.keys[0]->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_clear_error (&error);
  g_assert_null (cmk_store_list_keys (store, &filter, &more, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_clear_error (&error);
  g_assert_false (CHANGE (store, cmk_store_insert_key (store, key, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  cmk_store_set_mac (store, test_mac, (gpointer) "row key");
  g_autoptr (GPtrArray) records = list_all (store);
  g_assert_cmpuint (records->len, ==, 3);
}

static void
test_meta_type (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents G_GNUC_UNUSED = fill_store (fixture);
  edit_loosely (fixture, "INSERT INTO meta VALUES ('text', 'x'), ('null', NULL), ('huge', zeroblob (2000000))");
  g_autoptr (CmkStore) store = open_store (fixture);
  static const char *const names[] = { "text", "null", "huge" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      g_assert_null (cmk_store_get_meta (store, names[i], &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
    }
}

static const EditCase sequence_edits[] = {
  { "/store/damage/sequence/lowered", "seq = 0" },
  { "/store/damage/sequence/text", "seq = 'many'" },
  { "/store/damage/sequence/null", "seq = NULL" },
};

static void
test_sequence (Fixture *fixture, gconstpointer data)
{
  const EditCase *test = data;
  g_auto (Contents) contents G_GNUC_UNUSED = fill_store (fixture);
  g_autofree char *sql = g_strconcat ("UPDATE sqlite_sequence SET ", test->set, NULL);
  edit_database (fixture, sql);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (6, 1000);
  insert_key (store, key);
  g_assert_cmpint (key->serial, ==, 4);
  assert_key_stored (store, key);
}

static void
test_sequence_at_end (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents G_GNUC_UNUSED = fill_store (fixture);
  edit_database (fixture, "UPDATE sqlite_sequence SET seq = 9223372036854775807");
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (6, 1000);
  g_autoptr (GError) error = NULL;
  g_assert_false (CHANGE (store, cmk_store_insert_key (store, key, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
}

/* Whatever of the store can still be read is as it was written. */
static void
assert_nothing_forged (const Fixture *fixture, const Contents *contents)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = cmk_store_open (fixture->directory, &error);
  if (store == NULL)
    {
      g_assert_true (error->domain == CMK_ERROR);
      return;
    }
  cmk_store_set_mac (store, test_mac, (gpointer) "row key");
  for (guint i = 0; i < G_N_ELEMENTS (contents->keys); i++)
    {
      g_autoptr (CmkKeyRecord) record = cmk_store_get_key (store, &contents->keys[i]->id, NULL);
      if (record != NULL)
        assert_same_key (record, contents->keys[i]);
    }
  CmkKeyFilter filter = { .owner = -1, .limit = 10 };
  gboolean more = FALSE;
  g_autoptr (GPtrArray) records = cmk_store_list_keys (store, &filter, &more, NULL);
  g_assert_true (records == NULL || records->len <= G_N_ELEMENTS (contents->keys));
  g_autoptr (CmkImportSetRecord) set = cmk_store_get_import_set (store, &contents->set->id, NULL);
  g_assert_true (set == NULL || set->failures == contents->set->failures);
  g_autoptr (GBytes) public_key = cmk_store_get_public_key (store, &contents->keys[0]->id, NULL);
  g_autoptr (GBytes) written = g_bytes_new_static ("public key of 2", 15);
  g_assert_true (public_key == NULL || g_bytes_equal (public_key, written));
}

static void
test_flipped_bytes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents = fill_store (fixture);
  g_autofree char *original = NULL;
  gsize size = 0;
  g_assert_true (g_file_get_contents (fixture->database, &original, &size, NULL));
  g_autofree char *copy = g_memdup2 (original, size);
  for (gsize offset = 0; offset < size; offset += offset < 200 ? 3 : 61)
    {
      copy[offset] = (char) (original[offset] ^ 0xff);
      replace_file (fixture->database, copy, size);
      assert_nothing_forged (fixture, &contents);
      copy[offset] = original[offset];
    }
}

static void
test_truncated (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_auto (Contents) contents = fill_store (fixture);
  g_autofree char *original = NULL;
  gsize size = 0;
  g_assert_true (g_file_get_contents (fixture->database, &original, &size, NULL));
  for (gsize length = 0; length < size; length += 487)
    {
      replace_file (fixture->database, original, length);
      assert_nothing_forged (fixture, &contents);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  for (gsize i = 0; i < G_N_ELEMENTS (key_edits); i++)
    ADD (key_edits[i].name, &key_edits[i], test_key_edit);
  for (gsize i = 0; i < G_N_ELEMENTS (swap_cases); i++)
    ADD (swap_cases[i].name, &swap_cases[i], test_swap);
  for (gsize i = 0; i < G_N_ELEMENTS (set_edits); i++)
    ADD (set_edits[i].name, &set_edits[i], test_set_edit);
  for (gsize i = 0; i < G_N_ELEMENTS (public_key_edits); i++)
    ADD (public_key_edits[i].name, &public_key_edits[i], test_public_key_edit);
  for (gsize i = 0; i < G_N_ELEMENTS (sequence_edits); i++)
    ADD (sequence_edits[i].name, &sequence_edits[i], test_sequence);
  ADD ("/store/damage/key/null-is-not-empty", NULL, test_null_is_not_empty);
  ADD ("/store/damage/key/columns-shifted", NULL, test_shifted_columns);
  ADD ("/store/damage/public-key/swapped", NULL, test_public_keys_swapped);
  ADD ("/store/damage/sequence/at-its-end", NULL, test_sequence_at_end);
  ADD ("/store/damage/meta-of-another-type", NULL, test_meta_type);
  ADD ("/store/damage/rows-of-another-store", NULL, test_other_mac_key);
  ADD ("/store/damage/mac-cannot-be-computed", NULL, test_broken_mac);
  ADD ("/store/damage/file/any-byte-flipped", NULL, test_flipped_bytes);
  ADD ("/store/damage/file/truncated", NULL, test_truncated);
  return g_test_run ();
}
