/* SPDX-License-Identifier: Apache-2.0
 *
 * A database of an earlier version becomes one of ours, with all that was in it, or stays what it was. The earlier ones
 * are written here as their cmkd wrote them, MACs and all: nothing of this may be brought up to date. */
#include "store-fixture.h"

#include "deny-syscall.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS_OF_VERSION_1                                                                                              \
  "CREATE TABLE keys (serial INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, owner_uid INTEGER NOT NULL, " \
  "created_at INTEGER NOT NULL, spec INTEGER NOT NULL, usage INTEGER NOT NULL, origin INTEGER NOT NULL, "              \
  "protection_level INTEGER NOT NULL, state INTEGER NOT NULL, description TEXT NOT NULL, "                             \
  "expires_at INTEGER NOT NULL, sealed_key BLOB, envelope BLOB, fingerprint BLOB, mac BLOB NOT NULL) STRICT;"

#define IMPORT_SET                                                                                                     \
  "INSERT INTO import_sets VALUES (x'81818181818181818181818181818181', x'00000202020202020202020202020202', 1000, "   \
  "3, 2, 5000, 1, x'7365616c65642064617461206b6579', x'656e76656c6f7065206f6620612070726976617465206b6579', "          \
  "x'8afdfca221c94acd151823542e3a829161135376efe2bd4c03f21afaf483b055');"

/* Keys 2 and 3 of the fixture, and import set 1 of key 2. */
static const char version_1[] =
    "PRAGMA journal_mode = WAL; PRAGMA application_id = 1129139012; PRAGMA user_version = 1;"
    "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT;" KEYS_OF_VERSION_1
    "CREATE INDEX keys_by_owner ON keys (owner_uid);"
    "CREATE INDEX keys_by_expiry ON keys (expires_at) WHERE expires_at > 0;"
    "CREATE TABLE import_sets (id BLOB PRIMARY KEY NOT NULL, key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE "
    "CASCADE, uid INTEGER NOT NULL, algorithm INTEGER NOT NULL, wrapping_spec INTEGER NOT NULL, "
    "expires_at INTEGER NOT NULL, failures INTEGER NOT NULL, sealed_key BLOB NOT NULL, envelope BLOB NOT NULL, "
    "mac BLOB NOT NULL) STRICT;"
    "CREATE INDEX import_sets_by_key ON import_sets (key_id, expires_at);"
    "CREATE INDEX import_sets_by_uid ON import_sets (uid, expires_at);"
    "CREATE INDEX import_sets_by_expiry ON import_sets (expires_at);"
    "INSERT INTO meta VALUES ('store-id', x'676f6c64656e');"
    "INSERT INTO keys VALUES (1, x'00000202020202020202020202020202', 1000, 1700000002, 1, 1, 2, 1, 1, "
    "'key number 2, 密钥', 2000000002, "
    "x'32206f662077686174206973207365616c65642c20616e64206f662077686174206973206e6f', "
    "x'32206f662077686174206973207365616c65642c20616e64206f662077686174206973206e6f74', x'32206f6620', "
    "x'b5fadebb08a849e48cfb254dfb00b6def260982eed5b8e4983d8d10fce35d638');"
    "INSERT INTO keys VALUES (2, x'00000303030303030303030303030303', 1001, 1700000003, 2, 1, 2, 1, 3, "
    "'key number 3, 密钥', 0, NULL, NULL, NULL, "
    "x'94d86f746dab26bafa36008bcb1233e510ba11e0ea5697218d897d5b9f542dff');" IMPORT_SET;

#define TABLES_OF_VERSION_2                                                                                            \
  "CREATE TABLE public_keys (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "                \
  "public_key BLOB NOT NULL, mac BLOB NOT NULL) STRICT; DELETE FROM import_sets; PRAGMA user_version = 2;"

#define PUBLIC_KEY                                                                                                     \
  "INSERT INTO public_keys VALUES (x'00000202020202020202020202020202', x'7075626c6963206b6579', "                     \
  "x'c0fcff9b24b93a133f3c9c99294ad0a424405b900f35d7b4882a683cd1c3fac2');"

/* The same, and the public key of key 2. */
static const char version_2[] = TABLES_OF_VERSION_2 IMPORT_SET PUBLIC_KEY;

/* What it lacks of the next version, to leave half done. */
#define TABLES_OF_VERSION_3                                                                                            \
  "CREATE TABLE deletions (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "                  \
  "delete_at INTEGER NOT NULL, state_before INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;"                              \
  "CREATE INDEX deletions_by_date ON deletions (delete_at);"                                                           \
  "CREATE TABLE aliases (serial INTEGER PRIMARY KEY AUTOINCREMENT, uid INTEGER NOT NULL, name TEXT NOT NULL, "         \
  "key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE, mac BLOB NOT NULL, UNIQUE (uid, name)) STRICT;"        \
  "CREATE INDEX aliases_by_uid ON aliases (uid);"                                                                      \
  "CREATE INDEX aliases_by_key ON aliases (key_id);"                                                                   \
  "CREATE TABLE tags (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "                       \
  "tags BLOB NOT NULL, mac BLOB NOT NULL) STRICT; PRAGMA user_version = 3;"

#define FILLED_IN_VERSION_3                                                                                            \
  "UPDATE keys SET state = 4, mac = x'3a63ebaa27d63a1d6a6ba472c3943b169cc7293f9c1f2ff070e4775e4ddbf7ff' WHERE serial " \
  "= 2;"                                                                                                               \
  "INSERT INTO deletions VALUES (x'00000303030303030303030303030303', 1800000000, 3, "                                 \
  "x'6623bdb4e65e2616890ea68e579dfd88db586895edee81de1983d9f4a4ffa551');"                                              \
  "INSERT INTO aliases VALUES (1, 1001, 'alias/golden', x'00000303030303030303030303030303', "                         \
  "x'87d81d15c57769614bc8b25b7b89dc25e4d49948efe41d67cc18dd3c6d02bffa');"                                              \
  "INSERT INTO tags VALUES (x'00000303030303030303030303030303', x'74616773206f662033', "                              \
  "x'484ee4eee66e9221dec53385f620eb471e8ab00c6178520568aa16c9583c0ca0');"

/* The same, and key 3 scheduled for deletion, with an alias and tags. */
static const char version_3[] = TABLES_OF_VERSION_2 IMPORT_SET PUBLIC_KEY TABLES_OF_VERSION_3 FILLED_IN_VERSION_3;

#define TABLES_OF_VERSION_4                                                                                            \
  "CREATE TABLE facts (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, mac BLOB NOT NULL) STRICT;"                \
  "CREATE TABLE anchor (number INTEGER PRIMARY KEY NOT NULL, stage BLOB NOT NULL, nv_handle INTEGER NOT NULL, "        \
  "is_behind INTEGER NOT NULL, steps INTEGER NOT NULL, rows_mac BLOB NOT NULL, "                                       \
  "mac BLOB NOT NULL) STRICT;"                                                                                         \
  "CREATE TABLE erasure_pages (page INTEGER PRIMARY KEY NOT NULL, n_free INTEGER NOT NULL, "                           \
  "content BLOB NOT NULL, mac BLOB NOT NULL) STRICT;"                                                                  \
  "CREATE INDEX erasure_pages_by_room ON erasure_pages (n_free) WHERE n_free > 0;"                                     \
  "CREATE TABLE erasures (slot INTEGER PRIMARY KEY NOT NULL, mac BLOB NOT NULL) STRICT; PRAGMA user_version = 4;"

#define FILLED_IN_VERSION_4                                                                                            \
  "INSERT INTO facts VALUES ('clock', x'3432', "                                                                       \
  "x'a9b6d2b832931344794fa3fffe164bb4a86874dad81f09b9678d96de4e906d2e');"

/* The same, and a fact. */
static const char version_4[] = TABLES_OF_VERSION_2 IMPORT_SET PUBLIC_KEY TABLES_OF_VERSION_3 FILLED_IN_VERSION_3
    TABLES_OF_VERSION_4 FILLED_IN_VERSION_4;

#define TABLES_OF_VERSION_5                                                                                            \
  "CREATE TABLE accounts (owner INTEGER PRIMARY KEY NOT NULL, uid INTEGER NOT NULL, name TEXT NOT NULL, "              \
  "mac BLOB NOT NULL) STRICT;"                                                                                         \
  "CREATE TABLE grants (id BLOB PRIMARY KEY NOT NULL, key_id BLOB NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "   \
  "key_serial INTEGER NOT NULL, grantee_kind INTEGER NOT NULL, grantee INTEGER NOT NULL, "                             \
  "operations INTEGER NOT NULL, created_at INTEGER NOT NULL, mac BLOB NOT NULL) STRICT;"                               \
  "CREATE INDEX grants_by_key ON grants (key_id);"                                                                     \
  "CREATE INDEX grants_by_grantee ON grants (grantee_kind, grantee, key_serial); PRAGMA user_version = 5;"

typedef struct
{
  int number;
  const char *sql; /* what it is made of beyond version 1 */
  const char *to_next;
} Version;

static const Version versions[] = {
  { 1, "", TABLES_OF_VERSION_2 },
  { 2, version_2, TABLES_OF_VERSION_3 },
  { 3, version_3, TABLES_OF_VERSION_4 },
  { 4, version_4, TABLES_OF_VERSION_5 },
};

static void
make_version (const Fixture *fixture, const Version *version)
{
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
  replace_file (fixture->database, "", 0);
  edit_database (fixture, version_1);
  edit_database (fixture, version->sql);
}

static int
read_version (const Fixture *fixture)
{
  sqlite3 *database = NULL;
  sqlite3_stmt *statement = NULL;
  g_assert_cmpint (sqlite3_open_v2 (fixture->database, &database, SQLITE_OPEN_READONLY, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_prepare_v2 (database, "PRAGMA user_version", -1, &statement, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
  int version = sqlite3_column_int (statement, 0);
  sqlite3_finalize (statement);
  sqlite3_close (database);
  return version;
}

static void
assert_contents (CmkStore *store, const Version *version)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkKeyRecord) full = make_key (2, 1000);
  g_autoptr (CmkKeyRecord) plain = make_key (3, 1001);
  full->serial = 1;
  plain->serial = 2;
  if (version->number >= 3)
    {
      plain->state = CMK_KEY_STATE_PENDING_DELETION;
      plain->delete_at = 1800000000;
      plain->state_before = CMK_KEY_STATE_PENDING_IMPORT;
    }
  assert_key_stored (store, full);
  assert_key_stored (store, plain);
  /* The private keys of version 1 are in an encoding that is not read any more. */
  g_autoptr (CmkImportSetRecord) set = make_import_set (1, full, 1000, 5000);
  g_autoptr (CmkImportSetRecord) kept = cmk_store_get_import_set (store, &set->id, &error);
  g_assert_no_error (error);
  g_assert_cmpint (kept != NULL, ==, version->number >= 2);
  g_autoptr (GBytes) meta = cmk_store_get_meta (store, "store-id", &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (meta, NULL), g_bytes_get_size (meta), "golden", 6);
  if (version->number >= 2)
    assert_public_key (store, full, "public key");
  if (version->number >= 3)
    {
      g_autoptr (CmkAliasRecord) alias = cmk_alias_record_new (1001, "alias/golden", &plain->id);
      alias->serial = 1;
      assert_alias_stored (store, alias);
      assert_tags (store, plain, "tags of 3");
    }
  if (version->number >= 4)
    {
      g_autoptr (GBytes) fact = cmk_store_get_fact (store, "clock", &error);
      g_assert_no_error (error);
      g_assert_cmpmem (g_bytes_get_data (fact, NULL), g_bytes_get_size (fact), "42", 2);
    }
}

/* What our version has beyond the earlier ones. Leaves the contents alone. */
static void
assert_all_can_be_kept (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  key->serial = 1;
  put_public_key (store, key, "public key");
  assert_public_key (store, key, "public key");
  put_tags (store, key, "tags");
  assert_tags (store, key, "tags");
  g_autoptr (CmkAliasRecord) alias = insert_alias (store, 1000, "alias/a", key);
  assert_alias_stored (store, alias);
  g_assert_true (CHANGE (store, cmk_store_delete_alias (store, alias->owner, alias->name, &error), &error));
  g_autofree CmkGrantRecord *grant = insert_grant (store, 1, key, CMK_GRANTEE_USER, 1001);
  assert_grants (store, key, "1 ");
  delete_grant (store, grant);
  schedule_deletion (store, key, 3000);
  assert_key_stored (store, key);
  key->state = CMK_KEY_STATE_ENABLED;
  key->delete_at = 0;
  update_key (store, key);
}

static void
test_version (Fixture *fixture, gconstpointer data)
{
  const Version *version = data;
  make_version (fixture, version);
  g_assert_cmpint (read_version (fixture), ==, version->number);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CmkStore) store = open_store (fixture);
      assert_contents (store, version);
      assert_all_can_be_kept (store);
      g_autoptr (CmkKeyRecord) key = make_key (4 + 2 * i, 1000);
      insert_key (store, key);
      g_assert_cmpint (key->serial, ==, 3 + i);
      cmk_store_close (g_steal_pointer (&store));
      g_assert_cmpint (read_version (fixture), ==, CMK_DATABASE_FORMAT);
    }
}

/* Leave in the log what @sql does, as a process does that is killed. */
static void
leave_in_log (const Fixture *fixture, const char *sql)
{
  sqlite3 *database = NULL;
  g_assert_cmpint (sqlite3_open_v2 (fixture->database, &database, SQLITE_OPEN_READWRITE, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_db_config (database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (database, "BEGIN", NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (database, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (database, "COMMIT", NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (database), ==, SQLITE_OK);
}

/* Committed, but the header of the file does not say so yet. */
static void
test_left_in_log (Fixture *fixture, gconstpointer data)
{
  const Version *version = data;
  make_version (fixture, version);
  leave_in_log (fixture, version->to_next);
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_contents (store, version);
  assert_all_can_be_kept (store);
}

/* Opens the store and is killed by the first write beyond @size. Was it? */
static gboolean
open_and_be_killed (const Fixture *fixture, rlim_t size)
{
  int status = 0;
  pid_t child = fork ();
  if (child == 0)
    {
      const struct rlimit limit = { size, size }, none = { 0, 0 };
      g_assert_cmpint (setrlimit (RLIMIT_CORE, &none), ==, 0);
      g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
      cmk_store_close (open_store (fixture));
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (status == 0 || (WIFSIGNALED (status) && WTERMSIG (status) == SIGXFSZ));
  return status != 0;
}

/* Wherever it is on the way: in the log, then in the database. */
static void
test_killed (Fixture *fixture, gconstpointer data)
{
  const Version *version = data;
  guint n_kills = 0;
  gboolean killed = TRUE;
  for (rlim_t size = 0; killed; size += 2048, n_kills++)
    {
      make_version (fixture, version);
      killed = open_and_be_killed (fixture, size);
      g_autoptr (CmkStore) store = open_store (fixture);
      assert_contents (store, version);
      assert_all_can_be_kept (store);
      cmk_store_close (g_steal_pointer (&store));
      g_assert_cmpint (read_version (fixture), ==, CMK_DATABASE_FORMAT);
      remove_tree (fixture->directory);
    }
  g_assert_cmpuint (n_kills, >, 6); /* three pages at least */
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
}

static void
test_newer_in_log (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  make_version (fixture, &versions[3]);
  leave_in_log (fixture, TABLES_OF_VERSION_5 "CREATE TABLE newer (x); PRAGMA user_version = 6;");
  assert_refused (fixture, CMK_ERROR_STATE_CORRUPTED, "is of format 6");
  g_assert_cmpint (read_version (fixture), ==, 6);
}

typedef struct
{
  const char *name;
  const char *sql;
  guint version; /* index into versions */
} Oddity;

static const Oddity oddities[] = {
  { "trigger", "CREATE TRIGGER t AFTER UPDATE ON keys BEGIN DELETE FROM import_sets; END", 0 },
  { "table", "CREATE TABLE t (x)", 0 },
  { "table-of-version-2", "CREATE TABLE public_keys (key_id BLOB PRIMARY KEY NOT NULL, public_key, mac)", 0 },
  { "version-2-but-for-its-number",
    "CREATE TABLE public_keys (key_id BLOB PRIMARY KEY NOT NULL REFERENCES keys (id) ON DELETE CASCADE, "
    "public_key BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    0 },
  { "no-index", "DROP INDEX keys_by_expiry", 0 },
  { "view", "DROP TABLE meta; CREATE VIEW meta AS SELECT 'root' AS name, x'00' AS value", 0 },
  { "version-1-called-2", "PRAGMA user_version = 2", 0 },
  { "version-2-called-1", "PRAGMA user_version = 1", 1 },
  { "version-2-called-3", "PRAGMA user_version = 3", 1 },
  { "version-3-but-for-its-number", TABLES_OF_VERSION_3 "PRAGMA user_version = 2", 1 },
  { "table-of-version-3", "CREATE TABLE tags (key_id BLOB PRIMARY KEY NOT NULL, tags, mac)", 1 },
  { "version-3-called-4", "PRAGMA user_version = 4", 2 },
  { "version-4-but-for-its-number", TABLES_OF_VERSION_4 "PRAGMA user_version = 3", 2 },
  { "version-4-called-5", "PRAGMA user_version = 5", 3 },
  { "version-5-but-for-its-number", TABLES_OF_VERSION_5 "PRAGMA user_version = 4", 3 },
  { "trigger-on-version-2", "CREATE TRIGGER t AFTER UPDATE ON keys BEGIN DELETE FROM public_keys; END", 1 },
};

static void
test_oddity (Fixture *fixture, gconstpointer data)
{
  const Oddity *test = data;
  g_autofree char *before = NULL, *after = NULL;
  gsize before_size = 0, after_size = 0;
  make_version (fixture, &versions[test->version]);
  edit_database (fixture, test->sql);
  g_assert_true (g_file_get_contents (fixture->database, &before, &before_size, NULL));
  assert_refused (fixture, CMK_ERROR_STATE_CORRUPTED, "not those that cmkd made");
  g_assert_true (g_file_get_contents (fixture->database, &after, &after_size, NULL));
  g_assert_cmpmem (after, after_size, before, before_size);
}

typedef struct
{
  const char *name;
  long syscall;
  int code;
  CmkError error;
} DiskCase;

static const DiskCase disk_cases[] = {
  { "full", SYS_pwrite64, ENOSPC, CMK_ERROR_STORAGE_FULL },
  { "write-fails", SYS_pwrite64, EIO, CMK_ERROR_STORAGE_FAILURE },
  { "flush-fails", SYS_fdatasync, EIO, CMK_ERROR_STORAGE_FAILURE },
};

static void
test_disk (Fixture *fixture, gconstpointer data)
{
  const DiskCase *test = data;
  const Version *version = &versions[0];
  int status = 0;
  make_version (fixture, version);
  pid_t child = fork ();
  if (child == 0)
    {
      deny_syscall (test->syscall, test->code);
      assert_refused (fixture, test->error, "the state in");
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_contents (store, version);
  assert_all_can_be_kept (store);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  for (gsize i = 0; i < G_N_ELEMENTS (versions); i++)
    {
      g_autofree char *kept = g_strdup_printf ("/store/migration/version-%d/keeps-what-it-holds", versions[i].number);
      g_autofree char *killed = g_strdup_printf ("/store/migration/version-%d/killed-is-whole", versions[i].number);
      g_autofree char *left = g_strdup_printf ("/store/migration/version-%d/left-in-the-log", versions[i].number);
      ADD (kept, &versions[i], test_version);
      ADD (killed, &versions[i], test_killed);
      ADD (left, &versions[i], test_left_in_log);
    }
  ADD ("/store/migration/newer-than-the-header-says-is-refused", NULL, test_newer_in_log);
  for (gsize i = 0; i < G_N_ELEMENTS (oddities); i++)
    {
      g_autofree char *name = g_strconcat ("/store/migration/refuses-untouched/", oddities[i].name, NULL);
      ADD (name, &oddities[i], test_oddity);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (disk_cases); i++)
    {
      g_autofree char *name = g_strconcat ("/store/migration/disk/", disk_cases[i].name, NULL);
      ADD (name, &disk_cases[i], test_disk);
    }
  return g_test_run ();
}
