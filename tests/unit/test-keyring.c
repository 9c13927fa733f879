/* SPDX-License-Identifier: Apache-2.0
 *
 * What is kept is found, as long as it should be and no longer, whatever others do to it meanwhile. */
#include "keyring-fixture.h"

#include <stdio.h>

/* The fourth column of proc(5)'s /proc/keys: "perm" for a key that never expires. */
static char *
timeout_of (key_serial_t serial)
{
  g_autofree char *keys = NULL;
  g_assert_true (g_file_get_contents ("/proc/keys", &keys, NULL, NULL));
  g_autofree char *wanted = g_strdup_printf ("%08x", (guint) serial);
  g_auto (GStrv) lines = g_strsplit (keys, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char timeout[8];
      if (g_str_has_prefix (lines[i], wanted) && sscanf (lines[i], "%*s %*s %*s %7s", timeout) == 1)
        return g_strdup (timeout);
    }
  g_error ("key %s is not in /proc/keys", wanted);
}

static void
assert_expires (key_serial_t serial)
{
  g_autofree char *timeout = timeout_of (serial);
  g_assert_cmpstr (timeout, !=, "perm");
  g_assert_cmpstr (timeout, !=, "expd");
}

static void
run_contexts (CmkKeyring *keyring)
{
  g_assert_cmpstr (cmk_keyring_status (keyring), ==, "ok");
  g_assert_true (context_misses (keyring, "srk"));
  keep_context (keyring, "srk", "the root key");
  keep_context (keyring, "set", "a sealed key");
  g_assert_true (context_is (keyring, "srk", "the root key"));
  g_assert_true (context_is (keyring, "set", "a sealed key"));
  keep_context (keyring, "srk", "another root key, and a longer one");
  g_assert_true (context_is (keyring, "srk", "another root key, and a longer one"));
  cmk_keyring_drop_context (keyring, "srk");
  cmk_keyring_drop_context (keyring, "never kept");
  g_assert_true (context_misses (keyring, "srk"));
  g_assert_true (context_is (keyring, "set", "a sealed key"));
}

static void
run_material (CmkKeyring *keyring)
{
  static const gsize lengths[] = { 16, 32, 1, 2400 };
  g_assert_true (material_misses (keyring, 1));
  keep_material (keyring, 2, 16);
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      keep_material (keyring, 1, lengths[i]);
      g_assert_true (material_is (keyring, 1, lengths[i]));
    }
  CmkUuid id = key_id (1);
  cmk_keyring_drop_material (keyring, &id);
  cmk_keyring_drop_material (keyring, &id);
  g_assert_true (material_misses (keyring, 1));
  g_assert_true (material_is (keyring, 2, 16));
}

/* A context called like a key's id is not that key's material, though both pass through the process keyring. */
static void
run_apart (CmkKeyring *keyring)
{
  CmkUuid id = key_id (1);
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (&id, text);
  keep_material (keyring, 1, 32);
  keep_context (keyring, text, "0123456789abcdef0123456789abcdef");
  g_assert_true (material_is (keyring, 1, 32));
  g_assert_true (context_is (keyring, text, "0123456789abcdef0123456789abcdef"));
}

/* What a daemon that is started anew finds; secrets do not cross a fork, so only contexts are asked for. */
static int
look_as_next_daemon (const CmkUuid *id)
{
  cmk_keyring_prepare_process ();
  g_autoptr (CmkKeyring) keyring = cmk_keyring_open (id, 300, 300);
  return context_is (keyring, "srk", "the root key") ? 0 : context_misses (keyring, "srk") ? 1 : 2;
}

static void
run_restart (CmkKeyring *keyring)
{
  CmkUuid ours = store_id;
  CmkUuid other = cmk_uuid_new ();
  keep_context (keyring, "srk", "the root key");
  pid_t child = fork ();
  if (child == 0)
    _exit (look_as_next_daemon (&ours));
  g_assert_cmpint (exit_code_of (child), ==, 0);
  child = fork ();
  if (child == 0)
    _exit (look_as_next_daemon (&other));
  g_assert_cmpint (exit_code_of (child), ==, 1);
  store_id = other;
  g_assert_cmpint (keyctl_invalidate (find_ring ()), ==, 0);
  store_id = ours;
}

static void
run_close (CmkKeyring *keyring)
{
  g_autoptr (CmkKeyring) other = open_keyring (300, 300);
  keep_material (other, 1, 32);
  keep_context (other, "srk", "the root key");
  key_serial_t material = find_material_key (1);
  g_assert_cmpint (material, >, 0);
  cmk_keyring_close (g_steal_pointer (&other));
  g_assert_cmpint (find_material_key (1), ==, -1);
  g_assert_cmpint (keyctl_read (material, NULL, 0), ==, -1);
  g_assert_cmpint (find_context_key ("srk"), >, 0);
  g_assert_true (material_misses (keyring, 1));
}

static void
run_expiry (CmkKeyring *keyring)
{
  for (guint round = 0; round < 2; round++)
    {
      keep_context (keyring, "srk", "the root key");
      g_assert_true (find_context_key ("srk") > 0 || errno == EKEYEXPIRED);
      keep_material (keyring, 1, 32);
      g_assert_true (find_material_key (1) > 0 || errno == EKEYEXPIRED);
      wait_until (context_misses (keyring, "srk"));
      wait_until (material_misses (keyring, 1));
    }
}

static void
run_replaced (CmkKeyring *keyring)
{
  for (guint i = 0; i < 3; i++)
    {
      keep_context (keyring, "srk", i % 2 == 0 ? "the root key" : "another");
      keep_material (keyring, 1, 32 + i);
      assert_expires (find_context_key ("srk"));
      assert_expires (find_material_key (1));
      assert_expires (find_ring ());
    }
}

static void
run_never_cached (CmkKeyring *keyring)
{
  keep_context (keyring, "srk", "the root key");
  keep_material (keyring, 1, 32);
  g_assert_true (context_misses (keyring, "srk"));
  g_assert_true (material_misses (keyring, 1));
  g_assert_cmpint (find_ring (), ==, -1);
  g_assert_cmpint (find_material_key (1), ==, -1);
  g_assert_cmpstr (cmk_keyring_status (keyring), ==, "ok");
}

static long
unlink_context (void)
{
  return keyctl_unlink (find_context_key ("srk"), find_ring ());
}

static long
revoke_context (void)
{
  return keyctl_revoke (find_context_key ("srk"));
}

static long
invalidate_context (void)
{
  return keyctl_invalidate (find_context_key ("srk"));
}

static long
clear_ring (void)
{
  return keyctl_clear (find_ring ());
}

static long
revoke_ring (void)
{
  return keyctl_revoke (find_ring ());
}

static long
invalidate_ring (void)
{
  return keyctl_invalidate (find_ring ());
}

static long
unlink_ring (void)
{
  return keyctl_unlink (find_ring (), KEY_SPEC_USER_KEYRING);
}

static void
run_vanished_context (CmkKeyring *keyring)
{
  static long (*const vanish[]) (void) = { unlink_context, revoke_context,  invalidate_context, clear_ring,
                                           revoke_ring,    invalidate_ring, unlink_ring };
  for (gsize i = 0; i < G_N_ELEMENTS (vanish); i++)
    {
      keep_context (keyring, "srk", "the root key");
      g_assert_true (context_is (keyring, "srk", "the root key"));
      g_assert_cmpint (vanish[i](), ==, 0);
      wait_until (context_misses (keyring, "srk"));
    }
  keep_context (keyring, "srk", "the root key");
  g_assert_true (context_is (keyring, "srk", "the root key"));
  g_assert_cmpint (find_context_key ("srk"), >, 0);
}

static void
run_vanished_material (CmkKeyring *keyring)
{
  keep_material (keyring, 1, 32);
  g_assert_cmpint (keyctl_revoke (find_material_key (1)), ==, 0);
  g_assert_true (material_misses (keyring, 1));
  keep_material (keyring, 1, 32);
  g_assert_true (material_is (keyring, 1, 32));
  g_assert_cmpint (keyctl_clear (KEY_SPEC_PROCESS_KEYRING), ==, 0);
  wait_until (material_misses (keyring, 1));
  keep_material (keyring, 1, 32);
  g_assert_true (material_is (keyring, 1, 32));
}

static void
run_resized_material (CmkKeyring *keyring)
{
  static const gsize sizes[] = { 1, 31, 33, 4000 };
  g_autofree char *payload = g_strnfill (4000, 'x');
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      keep_material (keyring, 1, 32);
      g_assert_cmpint (keyctl_update (find_material_key (1), payload, sizes[i]), ==, 0);
      g_assert_true (material_misses (keyring, 1));
    }
}

/* What comes back is for the caller to authenticate, whatever it is; it must only come back whole. */
static void
run_forged_context (CmkKeyring *keyring)
{
  g_autofree char *payload = g_strnfill (15000, 'x');
  keep_context (keyring, "srk", "the root key");
  g_assert_cmpint (add_key ("user", "context:srk", payload, 15000, find_ring ()), ==, find_context_key ("srk"));
  g_assert_true (context_is (keyring, "srk", payload));
  g_assert_cmpint (add_key ("user", "context:srk", "x", 1, find_ring ()), ==, find_context_key ("srk"));
  g_assert_true (context_is (keyring, "srk", "x"));
}

static void
run_foreign_keys (CmkKeyring *keyring)
{
  keep_context (keyring, "srk", "the root key");
  g_assert_cmpint (add_key ("keyring", "a keyring", NULL, 0, find_ring ()), >, 0);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *name = g_strdup_printf ("context:%u", i);
      g_assert_cmpint (add_key ("user", name, "y", 1, find_ring ()), >, 0);
    }
  g_autoptr (CmkKeyring) next = open_keyring (300, 300);
  keep_context (next, "set", "a sealed key");
  g_assert_true (context_is (next, "set", "a sealed key"));
}

static gboolean
note_is (CmkKeyring *keyring, const char *text)
{
  g_autoptr (CmkSecret) note = cmk_keyring_read_note (keyring);
  return note != NULL && cmk_secret_length (note) == strlen (text) &&
         memcmp (cmk_secret_peek (note), text, strlen (text)) == 0;
}

static void
run_note (CmkKeyring *keyring)
{
  g_assert_null (cmk_keyring_read_note (keyring));
  cmk_keyring_note (keyring, "one", 3);
  long serial = keyctl_search (find_ring (), "user", "loaded", 0);
  for (guint i = 0; i < 1000; i++) /* more keys than a user may have */
    cmk_keyring_note (keyring, "another", 7);
  g_assert_cmpint (keyctl_search (find_ring (), "user", "loaded", 0), ==, serial);
  g_assert_true (note_is (keyring, "another"));

  g_autoptr (CmkKeyring) next = open_keyring (300, 300);
  g_assert_true (note_is (next, "another"));
  cmk_keyring_note (next, "of the next", 11);
  g_assert_true (note_is (next, "of the next"));
  g_assert_cmpint (keyctl_invalidate ((key_serial_t) keyctl_search (find_ring (), "user", "loaded", 0)), ==, 0);
  g_assert_null (cmk_keyring_read_note (next));
  cmk_keyring_note (next, "again", 5);
  g_assert_true (note_is (next, "again"));
  cmk_keyring_note (next, NULL, 0);
  g_assert_null (cmk_keyring_read_note (next));
}

static const Case cases[] = {
  { "/keyring/note/replaced-in-place-and-read-by-the-next", run_note, 300, 300, FALSE, 0 },
  { "/keyring/context/kept-replaced-dropped", run_contexts, 300, 300, FALSE, 0 },
  { "/keyring/context/is-there-for-the-next-daemon", run_restart, 300, 300, FALSE, 0 },
  { "/keyring/context/as-root", run_restart, 300, 300, TRUE, 0 },
  { "/keyring/context/vanished-is-a-miss", run_vanished_context, 300, 300, FALSE, 0 },
  { "/keyring/context/forged-comes-back-whole", run_forged_context, 300, 300, FALSE, 0 },
  { "/keyring/context/foreign-keys-do-no-harm", run_foreign_keys, 300, 300, FALSE, 0 },
  { "/keyring/material/kept-replaced-dropped", run_material, 300, 300, FALSE, 0 },
  { "/keyring/material/vanished-is-a-miss", run_vanished_material, 300, 300, FALSE, 0 },
  { "/keyring/material/of-another-size-is-a-miss", run_resized_material, 300, 300, FALSE, 0 },
  { "/keyring/material/ends-with-the-daemon", run_close, 300, 300, FALSE, 0 },
  { "/keyring/apart", run_apart, 300, 300, FALSE, 0 },
  { "/keyring/timeout/expires", run_expiry, 1, 1, FALSE, 0 },
  { "/keyring/timeout/replaced-has-one-too", run_replaced, 300, 300, FALSE, 0 },
  { "/keyring/timeout/zero-is-never-cached", run_never_cached, 0, 0, FALSE, 0 },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_cases (cases);
  return g_test_run ();
}
