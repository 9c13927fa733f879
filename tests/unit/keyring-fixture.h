/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the keyring share. The kernel's keyrings belong to processes and users, so each case runs in a
 * process of its own and, unless it says otherwise, as a user that nobody else is: cases in parallel share neither
 * keyring nor quota. */
#pragma once

#include <grp.h>
#include <keyutils.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deny-syscall.h"
#include "keyring/keyring.h"

typedef struct
{
  const char *name;
  void (*run) (CmkKeyring *keyring);
  guint context_seconds;
  guint material_seconds;
  gboolean as_root;
  int denied; /* what the kernel answers to keyctl() and add_key(); 0 = it works */
} Case;

/* Wait for what the kernel does in its own time; a test that never sees it fails by its deadline. */
#define wait_until(condition)                                                                                          \
  for (gint64 deadline = g_get_monotonic_time () + 60 * G_USEC_PER_SEC; !(condition); g_usleep (10000))                \
  g_assert_cmpint (g_get_monotonic_time (), <, deadline)

/* Random, for root's user keyring is everybody's. */
static CmkUuid store_id;

/* The id of key @n: all its bytes are @n. */
static inline CmkUuid
key_id (guint n)
{
  CmkUuid id;
  memset (id.bytes, (int) n, sizeof id.bytes);
  return id;
}

static inline CmkKeyring *
open_keyring (guint context_seconds, guint material_seconds)
{
  return cmk_keyring_open (&store_id, context_seconds, material_seconds);
}

static inline key_serial_t
find_ring (void)
{
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (&store_id, text);
  g_autofree char *name = g_strconcat ("cmkd:", text, NULL);
  return (key_serial_t) keyctl_search (KEY_SPEC_USER_KEYRING, "keyring", name, 0);
}

static inline key_serial_t
find_context_key (const char *name)
{
  g_autofree char *description = g_strconcat ("context:", name, NULL);
  return (key_serial_t) keyctl_search (find_ring (), "user", description, 0);
}

static inline key_serial_t
find_material_key (guint n)
{
  CmkUuid id = key_id (n);
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (&id, text);
  g_autofree char *description = g_strconcat ("material:", text, NULL);
  return (key_serial_t) keyctl_search (KEY_SPEC_PROCESS_KEYRING, "user", description, 0);
}

static inline void
keep_context (CmkKeyring *keyring, const char *name, const char *text)
{
  g_autoptr (GBytes) context = g_bytes_new (text, strlen (text));
  cmk_keyring_keep_context (keyring, name, context);
}

static inline gboolean
context_is (CmkKeyring *keyring, const char *name, const char *text)
{
  g_autoptr (GBytes) expected = g_bytes_new (text, strlen (text));
  g_autoptr (GBytes) context = cmk_keyring_lookup_context (keyring, name);
  return context != NULL && g_bytes_equal (context, expected);
}

static inline gboolean
context_misses (CmkKeyring *keyring, const char *name)
{
  g_autoptr (GBytes) context = cmk_keyring_lookup_context (keyring, name);
  return context == NULL;
}

/* Of @length bytes, all of them @n. */
static inline void
keep_material (CmkKeyring *keyring, guint n, gsize length)
{
  CmkUuid id = key_id (n);
  g_autoptr (CmkSecret) material = cmk_secret_new (length, NULL);
  memset (cmk_secret_data (material), (int) n, length);
  cmk_keyring_keep_material (keyring, &id, material);
}

static inline gboolean
material_is (CmkKeyring *keyring, guint n, gsize length)
{
  CmkUuid id = key_id (n);
  g_autoptr (CmkSecret) expected = cmk_secret_new (length, NULL);
  memset (cmk_secret_data (expected), (int) n, length);
  g_autoptr (CmkSecret) material = cmk_keyring_lookup_material (keyring, &id);
  return material != NULL && cmk_secret_equal (material, expected);
}

/* By one look: another thread may keep or drop it at any moment. */
static inline gboolean
material_is_or_misses (CmkKeyring *keyring, guint n, gsize length)
{
  CmkUuid id = key_id (n);
  g_autoptr (CmkSecret) expected = cmk_secret_new (length, NULL);
  memset (cmk_secret_data (expected), (int) n, length);
  g_autoptr (CmkSecret) material = cmk_keyring_lookup_material (keyring, &id);
  return material == NULL || cmk_secret_equal (material, expected);
}

static inline gboolean
material_misses (CmkKeyring *keyring, guint n)
{
  CmkUuid id = key_id (n);
  g_autoptr (CmkSecret) material = cmk_keyring_lookup_material (keyring, &id);
  return material == NULL;
}

static inline int
exit_code_of (pid_t child)
{
  int status = 0;
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  return WIFEXITED (status) ? WEXITSTATUS (status) : 255;
}

static inline uid_t
random_uid (void)
{
  return (uid_t) g_random_int_range (0x10000000, 0x7fffffff);
}

static inline void
become_user (uid_t uid)
{
  g_assert_cmpint (setgroups (0, NULL), ==, 0);
  g_assert_cmpint (setresgid (uid, uid, uid), ==, 0);
  g_assert_cmpint (setresuid (uid, uid, uid), ==, 0);
  g_assert_cmpint (prctl (PR_SET_DUMPABLE, 1), ==, 0); /* for the leak checker */
}

/* The kernel has two keyrings for each user, and they outlive his last process. */
static inline void
forget_user (void)
{
  const key_serial_t rings[] = {
    keyctl_get_keyring_ID (KEY_SPEC_USER_SESSION_KEYRING, 0),
    keyctl_get_keyring_ID (KEY_SPEC_USER_KEYRING, 0),
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rings); i++)
    keyctl_invalidate (rings[i]);
}

static guint n_messages;

static inline GLogWriterOutput
count_messages (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  if ((level & G_LOG_LEVEL_MASK) <= G_LOG_LEVEL_WARNING)
    return g_log_writer_default (level, fields, n_fields, user_data);
  n_messages++;
  return G_LOG_WRITER_HANDLED;
}

static inline void
run_case (const Case *test)
{
  g_autoptr (GError) error = NULL;
  g_log_set_writer_func (count_messages, NULL, NULL);
  g_assert_true (cmk_secret_init (&error)); /* while there is no limit to what may be locked */
  if (!test->as_root)
    become_user (random_uid ());
  if (test->denied != 0)
    {
      deny_syscall (SYS_add_key, test->denied);
      deny_syscall (SYS_keyctl, test->denied);
    }
  cmk_keyring_prepare_process ();
  store_id = cmk_uuid_new ();
  g_autoptr (CmkKeyring) keyring = open_keyring (test->context_seconds, test->material_seconds);
  test->run (keyring);
  if (test->as_root)
    keyctl_invalidate (find_ring ());
  else
    forget_user ();
}

static inline void
test_case (gconstpointer data)
{
  if (g_test_subprocess ())
    {
      run_case (data);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

#define add_cases(cases)                                                                                               \
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)                                                                     \
  g_test_add_data_func (cases[i].name, &cases[i], test_case)
