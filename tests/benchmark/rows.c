/* SPDX-License-Identifier: Apache-2.0
 *
 * rows NUMBER...: how long opening a store of so many keys takes, with the sum of all rows, and beside it how long
 * SQLite alone takes to open the same database and read every row. A line each: "NUMBER cmkd" and "NUMBER SQLite", and
 * the microseconds of each round. */
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "crypto/crypto.h"
#include "store/store.h"

#define ROUNDS 7

static gboolean
compute_mac (gpointer key, const guint8 *data, gsize size, guint8 ret_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  return cmk_mac_compute (key, data, size, ret_mac, error);
}

static void
check (gboolean ok, const GError *error)
{
  if (!ok)
    g_error ("%s", error != NULL ? error->message : "it did not work");
}

static CmkStore *
open_store (const char *directory, CmkSecret *key)
{
  g_autoptr (GError) error = NULL;
  gboolean rows_are_current = TRUE;
  CmkStore *store = cmk_store_open (directory, &error);
  check (store != NULL, error);
  cmk_store_set_mac (store, compute_mac, key);
  G_GNUC_UNUSED g_autoptr (CmkStoreAnchor) anchor = cmk_store_load_anchor (store, &rows_are_current, &error);
  check (error == NULL && rows_are_current, error);
  return store;
}

/* Of the sizes that a key with material has. */
static CmkKeyRecord *
make_key (void)
{
  static const guint8 bytes[256];
  CmkKeyRecord *record = cmk_key_record_new ();
  record->id = cmk_uuid_new ();
  record->spec = CMK_KEY_SPEC_AES_256;
  record->usage = CMK_KEY_USAGE_ENCRYPT_DECRYPT;
  record->origin = CMK_ORIGIN_EXTERNAL;
  record->protection_level = CMK_PROTECTION_LEVEL_SOFTWARE;
  record->state = CMK_KEY_STATE_ENABLED;
  record->sealed_key = g_bytes_new (bytes, sizeof bytes);
  record->envelope = g_bytes_new (bytes, 96);
  record->fingerprint = g_bytes_new (bytes, 32);
  return record;
}

static void
fill (const char *directory, CmkSecret *key, guint number)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStore) store = open_store (directory, key);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, &error);
  check (transaction != NULL, error);
  for (guint i = 0; i < number; i++)
    {
      g_autoptr (CmkKeyRecord) record = make_key ();
      check (cmk_store_insert_key (store, record, &error), error);
    }
  const CmkStoreAnchor anchor = { .steps = 1 };
  check (cmk_store_put_anchor (store, &anchor, &error) && cmk_store_commit (transaction, &error), error);
}

static void
read_with_sqlite (const char *directory)
{
  static const char *const tables[] = { "meta", "keys", "tags", "aliases", "import_sets", "public_keys", "facts" };
  g_autofree char *path = g_build_filename (directory, "state.db", NULL);
  sqlite3 *database = NULL;
  check (sqlite3_open_v2 (path, &database, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      g_autofree char *sql = g_strdup_printf ("SELECT * FROM %s", tables[i]);
      sqlite3_stmt *statement = NULL;
      check (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL) == SQLITE_OK, NULL);
      while (sqlite3_step (statement) == SQLITE_ROW)
        for (int column = 0; column < sqlite3_column_count (statement); column++)
          (void) sqlite3_column_bytes (statement, column);
      check (sqlite3_finalize (statement) == SQLITE_OK, NULL);
    }
  check (sqlite3_close (database) == SQLITE_OK, NULL);
}

static void
measure (guint number, CmkSecret *key)
{
  g_autofree char *base = g_dir_make_tmp ("cmkd-rows-XXXXXX", NULL);
  g_autofree char *directory = g_build_filename (base, "state", NULL);
  g_autoptr (GString) ours = g_string_new (NULL), sqlite = g_string_new (NULL);
  fill (directory, key, number);
  for (guint i = 0; i < ROUNDS; i++)
    {
      gint64 begin = g_get_monotonic_time ();
      CmkStore *store = open_store (directory, key);
      gint64 middle = g_get_monotonic_time ();
      cmk_store_close (store);
      gint64 end = g_get_monotonic_time ();
      read_with_sqlite (directory);
      g_string_append_printf (ours, "\t%" G_GINT64_FORMAT, middle - begin);
      g_string_append_printf (sqlite, "\t%" G_GINT64_FORMAT, g_get_monotonic_time () - end);
    }
  g_print ("%u cmkd%s\n%u SQLite%s\n", number, ours->str, number, sqlite->str);
  char *command[] = { (char *) "rm", (char *) "-r", base, NULL };
  check (g_spawn_sync (NULL, command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL), NULL);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  check (cmk_secret_init (&error) && cmk_crypto_init (&error), error);
  g_autoptr (CmkSecret) key = cmk_random_secret (32, &error);
  check (key != NULL, error);
  for (int i = 1; i < argc; i++)
    measure ((guint) strtoul (argv[i], NULL, 10), key);
  return EXIT_SUCCESS;
}
