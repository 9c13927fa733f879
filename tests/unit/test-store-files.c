/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory, the files in it and the disk below: who may open them, and what happens when they fail. */
#include "store-fixture.h"

#include "deny-syscall.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static mode_t
mode_of (const Fixture *fixture, const char *name)
{
  g_autofree char *path = g_build_filename (fixture->directory, name, NULL);
  struct stat status;
  g_assert_cmpint (lstat (path, &status), ==, 0);
  return status.st_mode & 07777;
}

static void
test_modes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_free (fixture->directory);
  fixture->directory = g_build_filename (fixture->base, "parent", "state", NULL);
  mode_t umask_before = umask (0);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
  umask (umask_before);
  g_assert_cmpuint (mode_of (fixture, ".."), ==, 0700);
  g_assert_cmpuint (mode_of (fixture, "."), ==, 0700);
  g_assert_cmpuint (mode_of (fixture, "lock"), ==, 0600);
  g_assert_cmpuint (mode_of (fixture, "state.db"), ==, 0600);
  g_assert_cmpuint (mode_of (fixture, "state.db-wal"), ==, 0600);
  g_autofree char *shared = g_build_filename (fixture->directory, "state.db-shm", NULL);
  g_assert_false (g_file_test (shared, G_FILE_TEST_EXISTS)); /* the file is ours alone */
}

typedef struct
{
  const char *name;
  void (*spoil) (const Fixture *fixture);
  CmkError code;
  const char *says;
} RefusalCase;

static void
make_store (const Fixture *fixture)
{
  cmk_store_close (open_store (fixture));
}

static void
link_directory (const Fixture *fixture)
{
  g_autofree char *real = g_build_filename (fixture->base, "real", NULL);
  g_assert_cmpint (g_mkdir (real, 0700), ==, 0);
  g_assert_cmpint (symlink (real, fixture->directory), ==, 0);
}

static void
file_for_directory (const Fixture *fixture)
{
  g_assert_true (g_file_set_contents (fixture->directory, "", 0, NULL));
}

static void
open_directory_to_all (const Fixture *fixture)
{
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
  g_assert_cmpint (chmod (fixture->directory, 0777), ==, 0);
}

static void
open_directory_to_group (const Fixture *fixture)
{
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
  g_assert_cmpint (chmod (fixture->directory, 0710), ==, 0);
}

static void
give_directory_away (const Fixture *fixture)
{
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
  g_assert_cmpint (chown (fixture->directory, 65534, 65534), ==, 0);
}

static void
link_database (const Fixture *fixture)
{
  g_autofree char *moved = g_build_filename (fixture->base, "moved.db", NULL);
  make_store (fixture);
  g_assert_cmpint (rename (fixture->database, moved), ==, 0);
  g_assert_cmpint (symlink (moved, fixture->database), ==, 0);
}

static void
name_database_twice (const Fixture *fixture)
{
  g_autofree char *second = g_build_filename (fixture->base, "second.db", NULL);
  make_store (fixture);
  g_assert_cmpint (link (fixture->database, second), ==, 0);
}

static void
open_database_to_others (const Fixture *fixture)
{
  make_store (fixture);
  g_assert_cmpint (chmod (fixture->database, 0604), ==, 0);
}

static void
give_database_away (const Fixture *fixture)
{
  make_store (fixture);
  g_assert_cmpint (chown (fixture->database, 65534, 65534), ==, 0);
}

static void
pipe_for_database (const Fixture *fixture)
{
  make_store (fixture);
  g_assert_cmpint (g_remove (fixture->database), ==, 0);
  g_assert_cmpint (mkfifo (fixture->database, 0600), ==, 0);
}

static void
link_lock (const Fixture *fixture)
{
  g_autofree char *lock = g_build_filename (fixture->directory, "lock", NULL);
  g_autofree char *target = g_build_filename (fixture->base, "target", NULL);
  make_store (fixture);
  g_assert_cmpint (g_remove (lock), ==, 0);
  g_assert_cmpint (symlink (target, lock), ==, 0);
}

static void
put_database (const Fixture *fixture, const char *contents, gsize size)
{
  make_store (fixture);
  replace_file (fixture->database, contents, size);
}

static void
text_for_database (const Fixture *fixture)
{
  g_autofree char *text = g_strnfill (5000, 'x');
  put_database (fixture, text, strlen (text));
}

static void
empty_database (const Fixture *fixture)
{
  put_database (fixture, "", 0);
}

static void
half_a_header (const Fixture *fixture)
{
  g_autofree char *contents = NULL;
  make_store (fixture);
  g_assert_true (g_file_get_contents (fixture->database, &contents, NULL, NULL));
  put_database (fixture, contents, 99);
}

static void
foreign_database (const Fixture *fixture)
{
  make_store (fixture);
  edit_database (fixture, "PRAGMA application_id = 0");
}

static void
newer_format (const Fixture *fixture)
{
  make_store (fixture);
  edit_database (fixture, "PRAGMA user_version = 6; PRAGMA wal_checkpoint (TRUNCATE)");
}

static void
log_without_database (const Fixture *fixture)
{
  g_autofree char *log = g_strconcat (fixture->database, "-wal", NULL);
  make_store (fixture);
  g_assert_cmpint (g_remove (fixture->database), ==, 0);
  g_assert_true (g_file_set_contents (log, "frames", -1, NULL));
}

static void
add_trigger (const Fixture *fixture)
{
  make_store (fixture);
  edit_database (fixture, "CREATE TRIGGER t AFTER UPDATE ON keys BEGIN DELETE FROM import_sets; END");
}

static void
add_table (const Fixture *fixture)
{
  make_store (fixture);
  edit_database (fixture, "CREATE TABLE t (x)");
}

static void
drop_index (const Fixture *fixture)
{
  make_store (fixture);
  edit_database (fixture, "DROP INDEX keys_by_expiry");
}

static void
replace_table (const Fixture *fixture)
{
  make_store (fixture);
  edit_database (fixture, "DROP TABLE meta; CREATE VIEW meta AS SELECT 'root' AS name, x'00' AS value");
}

static const RefusalCase refusal_cases[] = {
  { "directory/symlink", link_directory, CMK_ERROR_STORAGE_FAILURE, "symbolic link" },
  { "directory/file", file_for_directory, CMK_ERROR_STORAGE_FAILURE, "/state" },
  { "directory/open-to-all", open_directory_to_all, CMK_ERROR_STORAGE_FAILURE,
    "(mode 0777): check what is in it, then run chmod 0700" },
  { "directory/open-to-group", open_directory_to_group, CMK_ERROR_STORAGE_FAILURE, "(mode 0710)" },
  { "directory/of-another-user", give_directory_away, CMK_ERROR_STORAGE_FAILURE, "belongs to uid 65534" },
  { "database/symlink", link_database, CMK_ERROR_STORAGE_FAILURE, "state.db" },
  { "database/two-names", name_database_twice, CMK_ERROR_STORAGE_FAILURE, "single name" },
  { "database/open-to-others", open_database_to_others, CMK_ERROR_STORAGE_FAILURE, "chmod 0600" },
  { "database/of-another-user", give_database_away, CMK_ERROR_STORAGE_FAILURE, "belongs to uid 65534" },
  { "database/pipe", pipe_for_database, CMK_ERROR_STORAGE_FAILURE, "not a regular file" },
  { "lock/symlink", link_lock, CMK_ERROR_STORAGE_FAILURE, "lock" },
  { "format/text", text_for_database, CMK_ERROR_STATE_CORRUPTED, "move it away" },
  { "format/empty", empty_database, CMK_ERROR_STATE_CORRUPTED, "move it away" },
  { "format/half-a-header", half_a_header, CMK_ERROR_STATE_CORRUPTED, "move it away" },
  { "format/foreign", foreign_database, CMK_ERROR_STATE_CORRUPTED, "move it away" },
  { "format/newer", newer_format, CMK_ERROR_STATE_CORRUPTED, "install the newer cmkd" },
  { "format/log-without-database", log_without_database, CMK_ERROR_STATE_CORRUPTED, "no state.db" },
  { "schema/trigger", add_trigger, CMK_ERROR_STATE_CORRUPTED, "tables" },
  { "schema/table", add_table, CMK_ERROR_STATE_CORRUPTED, "tables" },
  { "schema/no-index", drop_index, CMK_ERROR_STATE_CORRUPTED, "tables" },
  { "schema/view", replace_table, CMK_ERROR_STATE_CORRUPTED, "tables" },
};

static void
test_refusal (Fixture *fixture, gconstpointer data)
{
  const RefusalCase *test = data;
  test->spoil (fixture);
  assert_refused (fixture, test->code, test->says);
}

static int
compare_lines (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Names, sizes, times and contents of all files in the state directory. */
static char *
describe_directory (const Fixture *fixture)
{
  g_autoptr (GDir) directory = g_dir_open (fixture->directory, 0, NULL);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  while ((name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *path = g_build_filename (fixture->directory, name, NULL);
      g_autofree char *contents = NULL;
      gsize size = 0;
      struct stat status;
      g_assert_true (g_file_get_contents (path, &contents, &size, NULL));
      g_assert_cmpint (stat (path, &status), ==, 0);
      g_autofree char *digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *) contents, size);
      g_ptr_array_add (lines, g_strdup_printf ("%s %" G_GSIZE_FORMAT " %ld.%09ld %s", name, size,
                                               (long) status.st_mtim.tv_sec, (long) status.st_mtim.tv_nsec, digest));
    }
  g_ptr_array_sort (lines, compare_lines);
  g_ptr_array_add (lines, NULL);
  return g_strjoinv ("\n", (char **) lines->pdata);
}

/* Also when it left a log behind that an ordinary open would have folded into the database. */
static void
test_newer_untouched (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *log = g_strconcat (fixture->database, "-wal", NULL);
  newer_format (fixture);
  replace_file (log, "frames of the newer format", 26);
  g_autofree char *before = describe_directory (fixture);
  g_assert_nonnull (strstr (before, "state.db-wal 26 "));
  assert_refused (fixture, CMK_ERROR_STATE_CORRUPTED, "format 6");
  g_autofree char *after = describe_directory (fixture);
  g_assert_cmpstr (after, ==, before);
}

static void
test_trailing_slash (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *plain = g_steal_pointer (&fixture->directory);
  fixture->directory = g_strconcat (plain, "//", NULL);
  make_store (fixture);
  remove_tree (plain);
  g_autofree char *real = g_build_filename (fixture->base, "real", NULL);
  g_assert_cmpint (g_mkdir (real, 0700), ==, 0);
  g_assert_cmpint (symlink (real, plain), ==, 0);
  assert_refused (fixture, CMK_ERROR_STORAGE_FAILURE, "symbolic link");
}

/* A start that was killed while it made the database leaves only a file that the next start makes anew. */
static void
test_interrupted_creation (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *half = g_strconcat (fixture->database, ".new", NULL);
  g_autofree char *journal = g_strconcat (half, "-journal", NULL);
  g_assert_cmpint (g_mkdir (fixture->directory, 0700), ==, 0);
  g_assert_true (g_file_set_contents (half, "half a database", -1, NULL));
  g_assert_true (g_file_set_contents (journal, "and its journal", -1, NULL));
  g_autoptr (CmkStore) store G_GNUC_UNUSED = open_store (fixture);
  g_assert_false (g_file_test (half, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (journal, G_FILE_TEST_EXISTS));
}

/* Starts a child that runs @run and then waits to be killed; returns once it has said that it is done. */
static pid_t
start_child (const Fixture *fixture, void (*run) (const Fixture *fixture))
{
  int ready[2];
  char byte = 0;
  g_assert_cmpint (pipe (ready), ==, 0);
  pid_t child = fork ();
  if (child == 0)
    {
      run (fixture);
      if (write (ready[1], "x", 1) == 1)
        pause ();
      _exit (1);
    }
  close (ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  close (ready[0]);
  return child;
}

static void
kill_child (pid_t child)
{
  int status = 0;
  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFSIGNALED (status));
}

static void
hold_store (const Fixture *fixture)
{
  CmkStore *store = open_store (fixture);
  g_assert_nonnull (store);
}

static void
test_second_process (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  pid_t child = start_child (fixture, hold_store);
  assert_refused (fixture, CMK_ERROR_STORAGE_FAILURE, "another cmkd uses");
  kill_child (child);
  make_store (fixture);
}

static void
test_second_open (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_refused (fixture, CMK_ERROR_STORAGE_FAILURE, "another cmkd uses");
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  insert_key (store, key);
}

/* Somebody looks at the file with a tool of his own while the daemon runs, or the other way round. */
static void
test_other_program (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  make_store (fixture);
  sqlite3 *database = NULL;
  g_assert_cmpint (sqlite3_open (fixture->database, &database), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (database, "BEGIN IMMEDIATE; SELECT * FROM keys", NULL, NULL, NULL), ==, SQLITE_OK);
  assert_refused (fixture, CMK_ERROR_STORAGE_FAILURE, "no other program");
  g_assert_cmpint (sqlite3_close (database), ==, SQLITE_OK);

  g_autoptr (CmkStore) store G_GNUC_UNUSED = open_store (fixture);
  g_assert_cmpint (sqlite3_open (fixture->database, &database), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (database, "SELECT * FROM keys", NULL, NULL, NULL), ==, SQLITE_BUSY);
  g_assert_cmpint (sqlite3_close (database), ==, SQLITE_OK);
}

static void
change_and_wait (const Fixture *fixture)
{
  CmkStore *store = open_store (fixture);
  CmkStoreTransaction *transaction = cmk_store_begin (store, NULL);
  g_autoptr (CmkKeyRecord) kept = make_key (2, 1000);
  g_autoptr (CmkKeyRecord) lost = make_key (4, 1000);
  insert_key (store, kept);
  g_assert_true (cmk_store_commit (transaction, NULL));
  g_assert_nonnull (cmk_store_begin (store, NULL));
  insert_key (store, lost);
}

static void
test_killed (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (CmkKeyRecord) kept = make_key (2, 1000);
  kept->serial = 1;
  kill_child (start_child (fixture, change_and_wait));
  g_autoptr (CmkStore) store = open_store (fixture);
  assert_key_stored (store, kept);
  g_autoptr (GPtrArray) records = list_all (store);
  g_assert_cmpuint (records->len, ==, 1);
}

/* The child tells by its exit code what went wrong; its assertions print to standard error. */
static void
run_in_child (const Fixture *fixture, void (*run) (const Fixture *fixture))
{
  int status = 0;
  pid_t child = fork ();
  if (child == 0)
    {
      run (fixture);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
assert_insert_fails (CmkStore *store, guint n, CmkError code, const char *says)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkKeyRecord) key = make_key (n, 1000);
  g_assert_false (CHANGE (store, cmk_store_insert_key (store, key, &error), &error));
  g_assert_error (error, CMK_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, says));
}

/* Files may not grow beyond what there is now: the disk is full until the limit is raised. */
static void
fill_disk (const Fixture *fixture)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) first = make_key (2, 1000);
  insert_key (store, first);
  struct rlimit limit = { 64 * 1024, RLIM_INFINITY };
  g_assert_true (signal (SIGXFSZ, SIG_IGN) != SIG_ERR);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);

  guint n = 4;
  g_autoptr (GError) error = NULL;
  for (gboolean fits = TRUE; fits; n += 2)
    {
      g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, &error);
      g_autoptr (CmkKeyRecord) key = make_key (n, 1000);
      insert_key (store, key);
      fits = cmk_store_commit (transaction, &error);
      g_assert_cmpuint (n, <, 1000);
    }
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
  g_assert_nonnull (strstr (error->message, "free space"));
  g_autoptr (GPtrArray) before = list_all (store);
  g_assert_cmpuint (before->len, ==, n / 2 - 2); /* all but the last that was tried */
  assert_insert_fails (store, n, CMK_ERROR_STORAGE_FULL, "free space");

  limit.rlim_cur = RLIM_INFINITY;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_autoptr (CmkKeyRecord) after = make_key (n, 1000);
  insert_key (store, after);
  assert_key_stored (store, first);
  assert_key_stored (store, after);
}

static void
test_full_disk (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  run_in_child (fixture, fill_disk);
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) first = make_key (2, 1000);
  first->serial = 1;
  assert_key_stored (store, first);
}

static void
write_without_space (const Fixture *fixture)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  deny_syscall (SYS_pwrite64, ENOSPC);
  assert_insert_fails (store, 4, CMK_ERROR_STORAGE_FULL, "free space");
}

static void
write_to_broken_disk (const Fixture *fixture)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  deny_syscall (SYS_pwrite64, EIO);
  assert_insert_fails (store, 4, CMK_ERROR_STORAGE_FAILURE, "check the disk");
}

/* After a flush has failed the kernel has forgotten what it could not write: nothing may be written over that. */
static void
sync_to_broken_disk (const Fixture *fixture)
{
  g_autoptr (CmkStore) store = open_store (fixture);
  g_autoptr (CmkKeyRecord) first = make_key (2, 1000);
  g_autoptr (GError) error = NULL;
  first->serial = 1;
  n_warnings = 0;
  g_log_set_writer_func (count_warnings, NULL, NULL);
  deny_syscall (SYS_fdatasync, EIO);
  deny_syscall (SYS_fsync, EIO);
  assert_insert_fails (store, 4, CMK_ERROR_STORAGE_FAILURE, "check the disk");
  assert_insert_fails (store, 4, CMK_ERROR_STORAGE_FAILURE, "nothing more is written");
  g_assert_null (cmk_store_begin (store, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE);
  assert_key_stored (store, first);
  g_assert_cmpuint (n_warnings, ==, 1);
}

static void
read_from_broken_disk (const Fixture *fixture)
{
  deny_syscall (SYS_pread64, EIO);
  assert_refused (fixture, CMK_ERROR_STORAGE_FAILURE, "state.db");
}

typedef struct
{
  const char *name;
  void (*run) (const Fixture *fixture);
} DiskCase;

static const DiskCase disk_cases[] = {
  { "write-without-space", write_without_space },
  { "write-fails", write_to_broken_disk },
  { "flush-fails", sync_to_broken_disk },
  { "read-fails", read_from_broken_disk },
};

static void
test_disk (Fixture *fixture, gconstpointer data)
{
  const DiskCase *test = data;
  g_autoptr (CmkKeyRecord) key = make_key (2, 1000);
  g_autoptr (CmkStore) store = open_store (fixture);
  insert_key (store, key);
  cmk_store_close (g_steal_pointer (&store));
  run_in_child (fixture, test->run);
  store = open_store (fixture);
  assert_key_stored (store, key);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, function) g_test_add (name, Fixture, data, fixture_set_up, function, fixture_tear_down)
  for (gsize i = 0; i < G_N_ELEMENTS (refusal_cases); i++)
    {
      g_autofree char *name = g_strconcat ("/store/refuses/", refusal_cases[i].name, NULL);
      ADD (name, &refusal_cases[i], test_refusal);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (disk_cases); i++)
    {
      g_autofree char *name = g_strconcat ("/store/disk/", disk_cases[i].name, NULL);
      ADD (name, &disk_cases[i], test_disk);
    }
  ADD ("/store/refuses/directory/symlink-with-trailing-slash", NULL, test_trailing_slash);
  ADD ("/store/refuses/format/newer-is-left-untouched", NULL, test_newer_untouched);
  ADD ("/store/refuses/second-process-until-the-first-is-gone", NULL, test_second_process);
  ADD ("/store/refuses/second-open-in-this-process", NULL, test_second_open);
  ADD ("/store/refuses/beside-another-program", NULL, test_other_program);
  ADD ("/store/files/closed-to-others-whatever-the-umask", NULL, test_modes);
  ADD ("/store/files/interrupted-creation-is-done-again", NULL, test_interrupted_creation);
  ADD ("/store/killed/keeps-what-was-committed", NULL, test_killed);
  ADD ("/store/disk/full-then-not", NULL, test_full_disk);
  return g_test_run ();
}
