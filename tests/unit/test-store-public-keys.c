/* SPDX-License-Identifier: Apache-2.0
 *
 * The public key of an asymmetric key is there exactly as long as its material is. */
#include "store-fixture.h"

/* Key number @n with material, and its public key. */
static CmkKeyRecord *
insert_pair (CmkStore *store, guint n, CmkKeySpec spec, const char *public_key)
{
  CmkKeyRecord *key = make_key (n, 1000);
  key->spec = spec;
  insert_key (store, key);
  put_public_key (store, key, public_key);
  return key;
}

static void
take_material_out (CmkStore *store, CmkKeyRecord *key)
{
  key->state = CMK_KEY_STATE_PENDING_IMPORT;
  key->expires_at = 0;
  g_clear_pointer (&key->sealed_key, g_bytes_unref);
  g_clear_pointer (&key->envelope, g_bytes_unref);
  update_key (store, key);
}

static void
test_put (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) one = insert_pair (store, 2, CMK_KEY_SPEC_RSA_2048, "public key of one");
  g_autoptr (CmkKeyRecord) other = insert_pair (store, 4, CMK_KEY_SPEC_EC_SM2, "public key of the other");
  assert_public_key (store, one, "public key of one");
  assert_public_key (store, other, "public key of the other");

  cmk_store_close (g_steal_pointer (&store));
  store = open_store (fixture);
  put_public_key (store, one, "another");
  assert_public_key (store, one, "another");
  assert_public_key (store, other, "public key of the other");
  assert_key_stored (store, one);
}

static void
test_longest (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autofree char *text = g_strnfill (550, 'x'); /* what RSA_4096 takes */
  g_autoptr (CmkKeyRecord) key = insert_pair (store, 2, CMK_KEY_SPEC_RSA_4096, text);
  assert_public_key (store, key, text);
}

static void
test_missing (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (GError) error = NULL;
  insert_key (store, key);
  g_assert_null (cmk_store_get_public_key (store, &key->id, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED);
  g_assert_true (g_str_has_prefix (error->message, "public key of key 00000202-0202-0202-0202-020202020202: "));
  assert_key_stored (store, key);
}

static void
test_unknown_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (GBytes) public_key = g_bytes_new_static ("nobody's", 8);
  g_autoptr (GError) error = NULL;
  g_assert_false (CHANGE (store, cmk_store_put_public_key (store, &key->id, public_key, &error), &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  assert_no_public_key (store, key);
}

static void
test_lifetime (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = insert_pair (store, 2, CMK_KEY_SPEC_EC_P256, "public key");
  g_autoptr (CmkKeyRecord) other = insert_pair (store, 4, CMK_KEY_SPEC_EC_P256, "public key of the other");
  key->state = CMK_KEY_STATE_DISABLED;
  update_key (store, key);
  assert_public_key (store, key, "public key");

  take_material_out (store, key);
  assert_no_public_key (store, key);
  assert_public_key (store, other, "public key of the other");
  update_key (store, key);

  key->state = CMK_KEY_STATE_ENABLED;
  key->sealed_key = g_bytes_new_static ("sealed", 6);
  key->envelope = g_bytes_new_static ("envelope", 8);
  update_key (store, key);
  put_public_key (store, key, "public key");
  assert_public_key (store, key, "public key");
  assert_key_stored (store, key);
}

static void
test_rollback (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = insert_pair (store, 2, CMK_KEY_SPEC_RSA_3072, "public key");
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, NULL);
  take_material_out (store, key);
  assert_no_public_key (store, key);
  cmk_store_transaction_free (g_steal_pointer (&transaction));
  assert_public_key (store, key, "public key");
}

static void
test_deleted_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = insert_pair (store, 2, CMK_KEY_SPEC_RSA_3072, "public key");
  g_autoptr (CmkKeyRecord) other = insert_pair (store, 4, CMK_KEY_SPEC_EC_P384, "public key of the other");
  cmk_store_close (g_steal_pointer (&store));
  edit_database (fixture, "PRAGMA foreign_keys = ON; DELETE FROM keys WHERE serial = 1");
  store = open_store (fixture);
  assert_no_public_key (store, key);
  assert_public_key (store, other, "public key of the other");
}

/* They have none, so the table is not looked into. */
static void
test_symmetric_key (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  key->spec = CMK_KEY_SPEC_HMAC_256;
  insert_key (store, key);
  take_material_out (store, key);
  sqlite3_stmt *statement = NULL;
  while ((statement = sqlite3_next_stmt (store->database, statement)) != NULL)
    g_assert_null (strstr (sqlite3_sql (statement), "public_keys"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add (name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
  ADD ("/store/public-keys/come-back-as-they-went", test_put);
  ADD ("/store/public-keys/longest", test_longest);
  ADD ("/store/public-keys/missing-is-corrupted", test_missing);
  ADD ("/store/public-keys/of-no-key-are-refused", test_unknown_key);
  ADD ("/store/public-keys/go-with-the-material-and-come-with-it", test_lifetime);
  ADD ("/store/public-keys/go-in-the-same-transaction", test_rollback);
  ADD ("/store/public-keys/go-with-their-key", test_deleted_key);
  ADD ("/store/public-keys/symmetric-keys-do-not-look-for-one", test_symmetric_key);
  return g_test_run ();
}
