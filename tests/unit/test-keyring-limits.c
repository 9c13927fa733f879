/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may read what is kept, how much of it there may be, and what happens where the kernel will not have any. */
#include "keyring-fixture.h"

#include <stdio.h>

static key_perm_t
permissions_of (key_serial_t serial)
{
  g_autofree char *description = NULL;
  key_perm_t permissions = 0;
  g_assert_cmpint (keyctl_describe_alloc (serial, &description), >, 0);
  g_assert_cmpint (sscanf (description, "%*[^;];%*d;%*d;%x;", &permissions), ==, 1);
  return permissions;
}

static void
run_permissions (CmkKeyring *keyring)
{
  keep_context (keyring, "srk", "the root key");
  keep_material (keyring, 1, 32);
  g_assert_cmphex (permissions_of (find_material_key (1)), ==, KEY_POS_ALL);
  g_assert_cmphex (permissions_of (find_context_key ("srk")), ==, KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_SEARCH);
  g_assert_cmphex (permissions_of (find_ring ()), ==, KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_SEARCH);
}

/* How far another process gets with serials that it has guessed: a bit for each thing it could do. */
static int
try_serials (const key_serial_t *serials, gsize n)
{
  int got = 0;
  keyctl_join_session_keyring (NULL);
  for (gsize i = 0; i < n; i++)
    {
      char payload[64];
      if (keyctl_read (serials[i], payload, sizeof payload) >= 0 || errno != EACCES)
        got |= 1;
      if (keyctl_link (serials[i], KEY_SPEC_SESSION_KEYRING) >= 0 || errno != EACCES)
        got |= 2;
      if (keyctl_update (serials[i], "forged", 6) >= 0 || errno != EACCES)
        got |= 4;
      if (keyctl_setperm (serials[i], KEY_POS_ALL | KEY_USR_ALL | KEY_OTH_ALL) >= 0 || errno != EACCES)
        got |= 8;
    }
  return got;
}

static void
run_other_uid (CmkKeyring *keyring)
{
  keep_context (keyring, "srk", "the root key");
  keep_material (keyring, 1, 32);
  const key_serial_t serials[] = { find_context_key ("srk"), find_material_key (1), find_ring () };
  pid_t child = fork ();
  if (child == 0)
    {
      become_user (random_uid ());
      int got = try_serials (serials, G_N_ELEMENTS (serials));
      forget_user ();
      _exit (got);
    }
  g_assert_cmphex (exit_code_of (child), ==, 0);
  g_assert_true (context_is (keyring, "srk", "the root key"));
  g_assert_true (material_is (keyring, 1, 32));
}

/* Of the same uid, which is what the process keyring is for. */
static void
run_other_process (CmkKeyring *keyring)
{
  keep_material (keyring, 1, 32);
  const key_serial_t material = find_material_key (1);
  pid_t child = fork ();
  if (child == 0)
    {
      char payload[64];
      keyctl_join_session_keyring (NULL);
      keyctl_link (KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING);
      _exit (keyctl_read (material, payload, sizeof payload) >= 0 || errno != EACCES ||
             keyctl_link (material, KEY_SPEC_SESSION_KEYRING) >= 0);
    }
  g_assert_cmpint (exit_code_of (child), ==, 0);
  g_assert_true (material_is (keyring, 1, 32));
}

static gpointer
use_in_thread (gpointer keyring)
{
  g_assert_true (material_is (keyring, 1, 32));
  g_assert_true (context_is (keyring, "srk", "the root key"));
  keep_material (keyring, 2, 16);
  keep_context (keyring, "set", "a sealed key");
  return GINT_TO_POINTER (keyctl_get_keyring_ID (KEY_SPEC_PROCESS_KEYRING, 0));
}

static void
run_threads (CmkKeyring *keyring)
{
  keep_material (keyring, 1, 32);
  keep_context (keyring, "srk", "the root key");
  gpointer ring = g_thread_join (g_thread_new ("worker", use_in_thread, keyring));
  g_assert_cmpint (GPOINTER_TO_INT (ring), ==, keyctl_get_keyring_ID (KEY_SPEC_PROCESS_KEYRING, 0));
  g_assert_true (material_is (keyring, 2, 16));
  g_assert_true (context_is (keyring, "set", "a sealed key"));
}

static gpointer
keep_in_thread (gpointer keyring)
{
  keep_material (keyring, 1, 32);
  return NULL;
}

/* The worker is the first that ever uses the process keyring, and the main thread finds what it put there. */
static void
run_thread_first (CmkKeyring *keyring)
{
  g_thread_join (g_thread_new ("worker", keep_in_thread, keyring));
  g_assert_true (material_is (keyring, 1, 32));
}

static gpointer
hammer (gpointer keyring)
{
  for (guint i = 0; i < 300; i++)
    {
      CmkUuid id = key_id (1 + i % 5);
      keep_material (keyring, 1 + i % 5, 32);
      g_assert_true (material_is_or_misses (keyring, 1 + i % 5, 32));
      keep_context (keyring, "srk", "the root key");
      if (i % 7 == 0)
        cmk_keyring_drop_material (keyring, &id);
    }
  return NULL;
}

static void
run_hammer (CmkKeyring *keyring)
{
  GThread *threads[3];
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("hammer", hammer, keyring);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  /* The kernel gives back the quota of what was replaced in its own time. */
  wait_until ((keep_material (keyring, 1, 32), material_is (keyring, 1, 32)));
}

static guint
count_contexts (CmkKeyring *keyring, guint n)
{
  guint found = 0;
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("set %u", i);
      found += context_is (keyring, name, "a sealed key");
    }
  return found;
}

static void
run_most_contexts (CmkKeyring *keyring)
{
  for (guint i = 0; i < 16; i++)
    {
      g_autofree char *name = g_strdup_printf ("set %u", i);
      keep_context (keyring, name, "a sealed key");
    }
  g_assert_cmpuint (count_contexts (keyring, 16), ==, 16);
  g_assert_true (context_is (keyring, "set 0", "a sealed key")); /* so that "set 1" is now the oldest */
  keep_context (keyring, "set 16", "a sealed key");
  g_assert_true (context_misses (keyring, "set 1"));
  g_assert_cmpuint (count_contexts (keyring, 17), ==, 16);

  /* The next daemon counts what it finds. */
  g_autoptr (CmkKeyring) next = open_keyring (300, 300);
  g_assert_cmpuint (count_contexts (next, 17), ==, 16);
  keep_context (next, "one more", "a sealed key");
  g_assert_cmpuint (count_contexts (next, 17), ==, 15);
}

static void
run_largest_contexts (CmkKeyring *keyring)
{
  g_autofree char *large = g_strnfill (5000, 'x');
  g_autofree char *too_large = g_strnfill (12000, 'x');
  keep_context (keyring, "a", large);
  keep_context (keyring, "b", large);
  g_assert_true (context_is (keyring, "a", large));
  keep_context (keyring, "c", large);
  g_assert_true (context_misses (keyring, "b"));
  g_assert_true (context_is (keyring, "a", large));
  g_assert_true (context_is (keyring, "c", large));
  keep_context (keyring, "d", too_large);
  g_assert_true (context_misses (keyring, "d"));
  g_assert_true (context_is (keyring, "a", large));
  keep_context (keyring, "a", too_large); /* and not the old one for ever after */
  g_assert_true (context_misses (keyring, "a"));
  keep_context (keyring, "e", "");
  g_assert_true (context_misses (keyring, "e"));
}

static void
run_most_material (CmkKeyring *keyring)
{
  for (guint n = 0; n < 64; n++)
    keep_material (keyring, n, 32);
  g_assert_true (material_is (keyring, 0, 32));
  keep_material (keyring, 64, 32);
  g_assert_true (material_misses (keyring, 1));
  g_assert_cmpint (find_material_key (1), ==, -1);
  for (guint n = 0; n < 65; n++)
    g_assert_true (n == 1 || material_is (keyring, n, 32));
}

/* Both caches full, in the quota of an ordinary uid. */
static void
run_both_full (CmkKeyring *keyring)
{
  g_autofree char *context = g_strnfill (700, 'x');
  for (guint i = 0; i < 16; i++)
    {
      g_autofree char *name = g_strdup_printf ("set %u", i);
      keep_context (keyring, name, context);
    }
  for (guint n = 0; n < 64; n++)
    keep_material (keyring, n, 32);
  for (guint n = 0; n < 64; n++)
    g_assert_true (material_is (keyring, n, 32));
  for (guint i = 0; i < 16; i++)
    {
      g_autofree char *name = g_strdup_printf ("set %u", i);
      g_assert_true (context_is (keyring, name, context));
    }
}

/* A keyring that holds as many keys as this user may still have. */
static key_serial_t
fill_quota (void)
{
  key_serial_t filler = add_key ("keyring", "filler", NULL, 0, KEY_SPEC_PROCESS_KEYRING);
  key_serial_t serial = filler;
  for (guint i = 0; serial > 0; i++)
    {
      g_autofree char *name = g_strdup_printf ("filler %u", i);
      serial = add_key ("user", name, "x", 1, filler);
      g_assert_cmpuint (i, <, 1000);
    }
  g_assert_cmpint (errno, ==, EDQUOT);
  return filler;
}

static void
run_quota (CmkKeyring *keyring)
{
  keep_context (keyring, "srk", "the root key");
  key_serial_t filler = fill_quota ();
  keep_material (keyring, 1, 32);
  g_assert_true (material_misses (keyring, 1));
  /* An old entry makes room for a new one, as soon as the kernel has given back its share. */
  wait_until ((keep_context (keyring, "set", "a sealed key"), context_is (keyring, "set", "a sealed key")));
  g_assert_true (context_misses (keyring, "srk"));

  g_assert_cmpint (keyctl_unlink (filler, KEY_SPEC_PROCESS_KEYRING), ==, 0);
  wait_until ((keep_material (keyring, 1, 32), material_is (keyring, 1, 32)));
}

/* The quota was used up before the daemon came, and is free again later. */
static void
run_quota_at_start (CmkKeyring *unused G_GNUC_UNUSED)
{
  key_serial_t filler = fill_quota ();
  g_autoptr (CmkKeyring) late = open_keyring (300, 300);
  g_assert_cmpstr (cmk_keyring_status (late), ==, "unavailable");
  keep_context (late, "srk", "the root key");
  g_assert_true (context_misses (late, "srk"));
  g_assert_cmpint (keyctl_unlink (filler, KEY_SPEC_PROCESS_KEYRING), ==, 0);
  wait_until ((keep_context (late, "srk", "the root key"), context_is (late, "srk", "the root key")));
  g_assert_cmpstr (cmk_keyring_status (late), ==, "ok");
}

static void
run_denied (CmkKeyring *keyring)
{
  for (guint i = 0; i < 3; i++)
    {
      keep_context (keyring, "srk", "the root key");
      keep_material (keyring, 1, 32);
      g_assert_true (context_misses (keyring, "srk"));
      g_assert_true (material_misses (keyring, 1));
      cmk_keyring_drop_context (keyring, "srk");
      CmkUuid id = key_id (1);
      cmk_keyring_drop_material (keyring, &id);
    }
  g_assert_cmpstr (cmk_keyring_status (keyring), ==, "unavailable");
  g_assert_cmpuint (n_messages, ==, 2); /* one when the process was prepared, and one for all the rest */
}

static void
run_denied_later (CmkKeyring *keyring)
{
  keep_context (keyring, "srk", "the root key");
  keep_material (keyring, 1, 32);
  deny_syscall (SYS_add_key, EPERM);
  deny_syscall (SYS_keyctl, EPERM);
  g_assert_true (context_misses (keyring, "srk"));
  g_assert_true (material_misses (keyring, 1));
  keep_material (keyring, 1, 32);
  g_assert_true (material_misses (keyring, 1));
  g_assert_cmpstr (cmk_keyring_status (keyring), ==, "unavailable");
}

static const Case cases[] = {
  { "/keyring/context/sixteen-at-most", run_most_contexts, 300, 300, FALSE, 0 },
  { "/keyring/context/twelve-kilobytes-at-most", run_largest_contexts, 300, 300, FALSE, 0 },
  { "/keyring/material/sixty-four-at-most", run_most_material, 300, 300, FALSE, 0 },
  { "/keyring/access/permissions", run_permissions, 300, 300, FALSE, 0 },
  { "/keyring/access/other-uid-is-denied", run_other_uid, 300, 300, TRUE, 0 },
  { "/keyring/access/other-process-has-no-material", run_other_process, 300, 300, FALSE, 0 },
  { "/keyring/threads/see-the-same", run_threads, 300, 300, FALSE, 0 },
  { "/keyring/threads/first-to-use-it", run_thread_first, 0, 300, FALSE, 0 },
  { "/keyring/threads/at-once", run_hammer, 300, 300, FALSE, 0 },
  { "/keyring/quota/has-room-for-both", run_both_full, 300, 300, FALSE, 0 },
  { "/keyring/quota/full-is-a-miss", run_quota, 300, 300, FALSE, 0 },
  { "/keyring/quota/full-at-the-start-is-a-miss", run_quota_at_start, 0, 0, FALSE, 0 },
  { "/keyring/denied/not-permitted", run_denied, 300, 300, FALSE, EPERM },
  { "/keyring/denied/not-in-this-kernel", run_denied, 300, 300, FALSE, ENOSYS },
  { "/keyring/denied/later", run_denied_later, 300, 300, FALSE, 0 },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_cases (cases);
  return g_test_run ();
}
