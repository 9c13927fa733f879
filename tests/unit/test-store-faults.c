/* SPDX-License-Identifier: Apache-2.0
 *
 * Each write, flush and truncation of a change fails in turn. What was refused is not there, what was acknowledged is,
 * for the store that goes on and for the next one after a kill; and a full disk holds no deletion up. */
#include "anchor-fixture.h"
#include "faulty-disk.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

static gboolean
change_key (Anchored *anchored, GError **error)
{
  anchored->keys[0]->state = CMK_KEY_STATE_DISABLED;
  return CHANGE (anchored->store, cmk_store_update_key (anchored->store, anchored->keys[0], error), error);
}

static gboolean
key_is_changed (Anchored *anchored)
{
  g_autoptr (CmkKeyRecord) key = cmk_store_get_key (anchored->store, &anchored->keys[0]->id, NULL);
  g_assert_nonnull (key);
  return key->state == CMK_KEY_STATE_DISABLED;
}

/* Erases, so the log is written back and emptied. */
static gboolean
delete_key (Anchored *anchored, GError **error)
{
  CmkStore *store = anchored->store;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  return transaction != NULL && cmk_store_delete_key (store, &anchored->keys[0]->id, error) &&
         cmk_store_commit (transaction, error);
}

static gboolean
key_is_deleted (Anchored *anchored)
{
  g_autoptr (CmkKeyRecord) key = cmk_store_get_key (anchored->store, &anchored->keys[0]->id, NULL);
  return key == NULL;
}

static CmkUuid
id_of (guint n)
{
  g_autoptr (CmkKeyRecord) key = make_key (n, 1000);
  return key->id;
}

#define N_ADDED 12

/* Of many pages. */
static gboolean
add_keys (Anchored *anchored, GError **error)
{
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (anchored->store, error);
  if (transaction == NULL)
    return FALSE;
  for (guint i = 0; i < N_ADDED; i++)
    {
      g_autoptr (CmkKeyRecord) key = make_key (100 + i, 1000);
      g_free (key->description);
      key->description = g_strnfill (1000, 'd');
      if (!cmk_store_insert_key (anchored->store, key, error))
        return FALSE;
    }
  return cmk_store_commit (transaction, error);
}

static gboolean
keys_are_added (Anchored *anchored)
{
  guint count = 0;
  for (guint i = 0; i < N_ADDED; i++)
    {
      CmkUuid id = id_of (100 + i);
      g_autoptr (CmkKeyRecord) key = cmk_store_get_key (anchored->store, &id, NULL);
      count += key != NULL;
    }
  g_assert_true (count == 0 || count == N_ADDED);
  return count > 0;
}

typedef struct
{
  const char *name;
  gboolean (*make) (Anchored *anchored, GError **error);
  gboolean (*is_made) (Anchored *anchored);
} Change;

static const Change changes[] = {
  { "change", change_key, key_is_changed },
  { "deletion", delete_key, key_is_deleted },
  { "many-pages", add_keys, keys_are_added },
};

typedef struct
{
  const char *name;
  Fault fault;
  int error; /* a CmkError; -1: there is none */
} FaultCase;

/* Where neither a write nor a truncation succeeds any more after a flush has failed, nobody can take back what was
 * written: that is left out. */
static const FaultCase fault_cases[] = {
  { "fails-once", { FAULT_FAILS, FAULTY_CALLS, EIO, FALSE }, CMK_ERROR_STORAGE_FAILURE },
  { "writes-fail-for-good", { FAULT_FAILS, FAULTY_WRITES, EIO, TRUE }, CMK_ERROR_STORAGE_FAILURE },
  { "flushes-fail-for-good", { FAULT_FAILS, FAULTY_FLUSHES, EIO, TRUE }, CMK_ERROR_STORAGE_FAILURE },
  { "writes-and-flushes-fail-for-good",
    { FAULT_FAILS, FAULTY_WRITES | FAULTY_FLUSHES, EIO, TRUE },
    CMK_ERROR_STORAGE_FAILURE },
  { "no-space-once", { FAULT_FAILS, FAULTY_WRITES | FAULTY_FLUSHES, ENOSPC, FALSE }, CMK_ERROR_STORAGE_FULL },
  { "no-space-for-good", { FAULT_FAILS, FAULTY_WRITES | FAULTY_FLUSHES, ENOSPC, TRUE }, CMK_ERROR_STORAGE_FULL },
  { "read-only", { FAULT_FAILS, FAULTY_WRITES | FAULTY_TRUNCATIONS, EROFS, TRUE }, CMK_ERROR_STORAGE_FAILURE },
  { "short", { FAULT_SHORT, FAULTY_WRITES, 0, FALSE }, -1 },
  { "interrupted", { FAULT_INTERRUPTED, FAULTY_WRITES | FAULTY_TRUNCATIONS, 0, FALSE }, -1 },
};

typedef struct
{
  const Change *change;
  const FaultCase *fault;
} Case;

typedef enum
{
  ACKNOWLEDGED = 10,
  REFUSED,
  NOT_MET,
} Outcome;

/* With the store of the parent closed. Ends as a kill does. */
static void
meet_fault (Anchored *anchored, const Case *test, guint call, gboolean goes_on)
{
  g_autoptr (GError) error = NULL;
  anchored->store = open_anchored (&anchored->fixture, TRUE);
  set_fault (call, &test->fault->fault);
  gboolean made = test->change->make (anchored, &error);
  if (!made)
    g_assert_error (error, CMK_ERROR, test->fault->error);
  g_assert_true (made || strstr (error->message, test->fault->fault.code == EROFS ? "read-only" : "/state") != NULL);
  if (!made)
    assert_tags (anchored->store, anchored->keys[0], "tags of 2"); /* reading goes on */
  if (!end_fault ())
    _exit (NOT_MET);
  if (goes_on)
    {
      put_tags (anchored->store, anchored->keys[1], "gone on");
      g_assert_cmpint (test->change->is_made (anchored), ==, made);
      g_assert_false (anchored->store->log_is_suspect);
    }
  _exit (made ? ACKNOWLEDGED : REFUSED);
}

static Outcome
meet_fault_in_child (Anchored *anchored, const Case *test, guint call, gboolean goes_on)
{
  int status = 0;
  pid_t child = fork ();
  if (child == 0)
    meet_fault (anchored, test, call, goes_on);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), >=, ACKNOWLEDGED);
  return WEXITSTATUS (status);
}

static void
test_fault (Anchored *anchored, gconstpointer data)
{
  const Case *test = data;
  g_autofree char *contents = NULL, *log = g_strconcat (anchored->fixture.database, "-wal", NULL);
  gsize size = 0;
  guint call = 0, n_refused = 0;
  close_anchored (anchored);
  g_assert_true (g_file_get_contents (anchored->fixture.database, &contents, &size, NULL));
  for (Outcome outcome = REFUSED; outcome != NOT_MET; call++)
    for (guint goes_on = 0; goes_on < 2; goes_on++)
      {
        g_remove (log);
        replace_file (anchored->fixture.database, contents, size);
        outcome = meet_fault_in_child (anchored, test, call + 1, goes_on);
        n_refused += outcome == REFUSED;
        anchored->store = open_anchored (&anchored->fixture, TRUE);
        g_assert_cmpint (test->change->is_made (anchored), ==, outcome != REFUSED);
        if (outcome != NOT_MET)
          assert_tags (anchored->store, anchored->keys[1], goes_on ? "gone on" : "");
        close_anchored (anchored);
      }
  g_assert_cmpuint (call, >, 3); /* a header, a frame and a flush at least */
  g_assert_true (test->fault->error < 0 ? n_refused == 0 : n_refused >= 2);
  g_test_message ("%s: %u calls, %u refused", test->fault->name, call - 1, n_refused);
}

/* --- a full disk --- */

#define DISK_BYTES (12 * 1024 * 1024)

/* A disk of one's own for the rest of the process, with the state directory on it. */
static void
mount_disk (Fixture *fixture)
{
  g_autofree char *options = g_strdup_printf ("size=%d,mode=0700", DISK_BYTES);
  g_assert_cmpint (unshare (CLONE_NEWNS), ==, 0);
  g_assert_cmpint (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
  g_assert_cmpint (mount ("tmpfs", fixture->base, "tmpfs", 0, options), ==, 0);
}

/* To the last byte that can be had. */
static void
fill_disk (const Fixture *fixture)
{
  g_autofree char *path = g_build_filename (fixture->base, "filler", NULL), *block = g_malloc0 (4096);
  int fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  g_assert_cmpint (fd, >=, 0);
  ssize_t written;
  while ((written = write (fd, block, 4096)) > 0)
    ;
  g_assert_true (written == 0 || errno == ENOSPC);
  close (fd);
}

static CmkKeyRecord *
make_big_key (guint n)
{
  CmkKeyRecord *key = make_key (n, 1000);
  g_free (key->description);
  key->description = g_strnfill (8192, 'd');
  return key;
}

/* Keys, until no more fit. Returns how many there are. */
static guint
fill_store (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  for (guint n = 100;; n++)
    {
      g_autoptr (CmkKeyRecord) key = make_big_key (n);
      if (!CHANGE (store, cmk_store_insert_key (store, key, &error), &error))
        {
          g_assert_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
          return n - 100;
        }
      g_assert_cmpuint (n, <, 10000);
    }
}

static void
remove_key (const Fixture *fixture, CmkStore *store, guint n)
{
  g_autoptr (GError) error = NULL;
  CmkUuid id = id_of (n);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, &error);
  g_assert_no_error (error);
  gboolean removed = cmk_store_delete_key (store, &id, &error) && cmk_store_commit (transaction, &error);
  g_assert_no_error (error);
  g_assert_true (removed);
  fill_disk (fixture);
}

static void
assert_keys_left (CmkStore *store, guint expected)
{
  guint count = 0;
  g_assert_true (cmk_store_count_keys (store, 1000, &count, NULL));
  g_assert_cmpuint (count, ==, expected);
}

/* Others take at once what each deletion sets free. */
static void
delete_from_full_disk (Fixture *fixture)
{
  CmkStore *store = open_anchored (fixture, TRUE);
  put_anchor (store, 1);
  guint n_keys = fill_store (store);
  g_assert_cmpuint (n_keys, >, 100);
  fill_disk (fixture);
  for (guint i = 0; i < n_keys; i++)
    {
      remove_key (fixture, store, 100 + i);
      if (i == n_keys / 2) /* and a daemon that is killed and started again meanwhile */
        {
          cmk_store_close (store);
          store = open_anchored (fixture, TRUE);
        }
    }
  assert_keys_left (store, 0);
  cmk_store_close (store);
  store = open_anchored (fixture, TRUE);
  assert_keys_left (store, 0);
  g_autoptr (GArray) slots = cmk_store_list_erasures (store, NULL);
  g_assert_cmpuint (slots->len, >, 0);
  cmk_store_close (store);
}

/* Its log holds what there is no room for in the database. */
static void
start_on_full_disk (Fixture *fixture)
{
  guint n_keys = 0;
  int status = 0;
  pid_t child = fork ();
  if (child == 0)
    {
      CmkStore *store = open_anchored (fixture, TRUE);
      put_anchor (store, 1);
      for (guint n = 100; store->n_log_frames < 200; n++)
        {
          g_autoptr (CmkKeyRecord) key = make_big_key (n);
          insert_key (store, key);
        }
      fill_disk (fixture);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  CmkStore *store = open_anchored (fixture, TRUE);
  g_assert_true (cmk_store_count_keys (store, 1000, &n_keys, NULL));
  g_assert_cmpuint (n_keys, >, 10);
  for (guint i = 0; i < n_keys; i++)
    remove_key (fixture, store, 100 + i);
  assert_keys_left (store, 0);
  cmk_store_close (store);
}

static void
space_comes_back (Fixture *fixture)
{
  g_autofree char *filler = g_build_filename (fixture->base, "filler", NULL);
  CmkStore *store = open_anchored (fixture, TRUE);
  put_anchor (store, 1);
  guint n_keys = fill_store (store);
  fill_disk (fixture);
  remove_key (fixture, store, 100);
  g_assert_cmpint (g_remove (filler), ==, 0);
  g_autoptr (CmkKeyRecord) key = make_big_key (100);
  insert_key (store, key);
  g_assert_true (store->reserve_is_held);
  assert_keys_left (store, n_keys);
  cmk_store_close (store);
}

/* In one transaction, which takes more than a removal usually does: it may take a second attempt. */
static gboolean
remove_keys (CmkStore *store, guint n_keys)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, &error);
  gboolean removed = transaction != NULL;
  for (guint i = 0; removed && i < n_keys; i++)
    {
      CmkUuid id = id_of (100 + i);
      removed = cmk_store_delete_key (store, &id, &error);
    }
  removed = removed && cmk_store_commit (transaction, &error);
  g_assert_true (removed || g_error_matches (error, CMK_ERROR, CMK_ERROR_STORAGE_FULL));
  return removed;
}

static void
delete_much_at_once (Fixture *fixture)
{
  CmkStore *store = open_anchored (fixture, TRUE);
  put_anchor (store, 1);
  guint n_keys = fill_store (store);
  g_assert_cmpuint (n_keys, >, 150);
  g_assert_true (remove_keys (store, 150) || remove_keys (store, 150));
  assert_keys_left (store, n_keys - 150);
  cmk_store_close (store);
}

typedef struct
{
  const char *name;
  void (*run) (Fixture *fixture);
} FullDisk;

static const FullDisk full_disks[] = {
  { "/store/faults/full-disk/deletes-everything", delete_from_full_disk },
  { "/store/faults/full-disk/deletes-much-at-once", delete_much_at_once },
  { "/store/faults/full-disk/starts", start_on_full_disk },
  { "/store/faults/full-disk/space-comes-back", space_comes_back },
};

static void
test_full_disk (Fixture *fixture, gconstpointer data)
{
  const FullDisk *test = data;
  int status = 0;
  pid_t child = fork ();
  if (child == 0)
    {
      mount_disk (fixture);
      test->run (fixture);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);
  static Case cases[G_N_ELEMENTS (changes)][G_N_ELEMENTS (fault_cases)];
  for (gsize i = 0; i < G_N_ELEMENTS (changes); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (fault_cases); j++)
      {
        g_autofree char *name = g_strdup_printf ("/store/faults/%s/%s", changes[i].name, fault_cases[j].name);
        cases[i][j] = (Case) { &changes[i], &fault_cases[j] };
        g_test_add (name, Anchored, &cases[i][j], anchored_set_up, test_fault, anchored_tear_down);
      }
  for (gsize i = 0; i < G_N_ELEMENTS (full_disks); i++)
    g_test_add (full_disks[i].name, Fixture, &full_disks[i], fixture_set_up, test_full_disk, fixture_tear_down);
  return g_test_run ();
}
