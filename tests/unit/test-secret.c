/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/error.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGEST 16000

/* The sanitizer's own mlock() does nothing, so what hangs on the real one cannot be seen in such a build. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define MLOCK_WORKS FALSE
#else
#define MLOCK_WORKS TRUE
#endif

static CmkSecret *
new_filled (gsize length, guint8 byte)
{
  g_autoptr (GError) error = NULL;
  CmkSecret *secret = cmk_secret_new (length, &error);
  g_assert_no_error (error);
  memset (cmk_secret_data (secret), byte, length);
  return secret;
}

static void
assert_filled (const guint8 *data, gsize length, guint8 byte)
{
  for (gsize i = 0; i < length; i++)
    g_assert_cmphex (data[i], ==, byte);
}

static void
test_zeroed (void)
{
  static const gsize lengths[] = { 1, 16, 32, 48, 49, 112, 128, 1024, 6144, LARGEST };
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      CmkSecret *first = new_filled (lengths[i], 0xff);
      const guint8 *where = cmk_secret_peek (first);
      cmk_secret_free (first);
      g_autoptr (CmkSecret) second = cmk_secret_new (lengths[i], NULL);
      g_assert_true (cmk_secret_peek (second) == where); /* else this shows nothing */
      g_assert_cmpuint (cmk_secret_length (second), ==, lengths[i]);
      assert_filled (cmk_secret_peek (second), lengths[i], 0);
    }
}

static void
test_wiped (void)
{
  CmkSecret *secret = new_filled (500, 0xff);
  const guint8 *where = cmk_secret_peek (secret);
  cmk_secret_free (secret);
  assert_filled (where, 500, 0);
}

static void
test_apart (void)
{
  g_autoptr (CmkSecret) a = new_filled (48, 0xaa);
  g_autoptr (CmkSecret) b = new_filled (48, 0xbb);
  g_autoptr (CmkSecret) c = new_filled (LARGEST, 0xcc);
  assert_filled (cmk_secret_peek (a), 48, 0xaa);
  assert_filled (cmk_secret_peek (b), 48, 0xbb);
  assert_filled (cmk_secret_peek (c), LARGEST, 0xcc);
}

static void
test_copy (void)
{
  g_autoptr (CmkSecret) secret = cmk_secret_new_copy ("material", 8, NULL);
  g_assert_cmpmem (cmk_secret_peek (secret), cmk_secret_length (secret), "material", 8);
}

static void
test_shorten (void)
{
  g_autoptr (CmkSecret) secret = new_filled (100, 0xff);
  cmk_secret_shorten (secret, 100);
  g_assert_cmpuint (cmk_secret_length (secret), ==, 100);
  cmk_secret_shorten (secret, 60);
  g_assert_cmpuint (cmk_secret_length (secret), ==, 60);
  assert_filled (cmk_secret_peek (secret), 60, 0xff);
  assert_filled (cmk_secret_peek (secret) + 60, 40, 0);
}

static void
test_equal (void)
{
  g_autoptr (CmkSecret) a = new_filled (32, 7);
  g_autoptr (CmkSecret) b = new_filled (32, 7);
  g_autoptr (CmkSecret) longer = new_filled (33, 7);
  g_assert_true (cmk_secret_equal (a, b));
  g_assert_false (cmk_secret_equal (a, longer));
  for (gsize i = 0; i < 32; i++)
    {
      cmk_secret_data (b)[i] ^= 0x80;
      g_assert_false (cmk_secret_equal (a, b));
      cmk_secret_data (b)[i] ^= 0x80;
    }
}

static void
test_too_long (void)
{
  g_autoptr (GError) error = NULL;
  g_assert_null (cmk_secret_new (4 * 1024 * 1024, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_THROTTLED);
}

static void
free_secret (gpointer secret)
{
  cmk_secret_free (secret);
}

static void
test_exhausted (void)
{
  g_autoptr (GPtrArray) secrets = g_ptr_array_new_with_free_func (free_secret);
  g_autoptr (GError) error = NULL;
  CmkSecret *secret;
  while ((secret = cmk_secret_new (LARGEST, &error)) != NULL)
    g_ptr_array_add (secrets, secret);
  g_assert_error (error, CMK_ERROR, CMK_ERROR_THROTTLED);
  g_assert_cmpuint (secrets->len, >, 100);
  g_ptr_array_set_size (secrets, (int) secrets->len - 1);
  g_autoptr (CmkSecret) again = cmk_secret_new (LARGEST, NULL);
  g_assert_nonnull (again);
}

static void
test_other_sizes (void)
{
  g_autoptr (GPtrArray) secrets = g_ptr_array_new_with_free_func (free_secret);
  CmkSecret *secret;
  while ((secret = cmk_secret_new (1, NULL)) != NULL)
    g_ptr_array_add (secrets, secret);
  g_ptr_array_set_size (secrets, 0);
  g_autoptr (CmkSecret) large = cmk_secret_new (LARGEST, NULL);
  g_assert_nonnull (large);
}

/* What the kernel has noted about the memory at @address: VmFlags of proc(5). */
static char *
memory_flags (gconstpointer address)
{
  g_autofree char *maps = NULL;
  g_assert_true (g_file_get_contents ("/proc/self/smaps", &maps, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (maps, "\n", -1);
  gboolean inside = FALSE;
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char *end = NULL;
      guint64 start = g_ascii_strtoull (lines[i], &end, 16);
      if (*end == '-')
        inside = start <= (gsize) address && (gsize) address < g_ascii_strtoull (end + 1, NULL, 16);
      else if (inside && g_str_has_prefix (lines[i], "VmFlags:"))
        return g_strconcat (lines[i] + strlen ("VmFlags:"), " ", NULL);
    }
  g_assert_not_reached ();
}

static void
test_memory (void)
{
  g_autoptr (CmkSecret) secret = new_filled (32, 0xff);
  g_autofree char *flags = memory_flags (cmk_secret_peek (secret));
  g_assert_true (!MLOCK_WORKS || strstr (flags, " lo ") != NULL); /* locked */
  g_assert_nonnull (strstr (flags, " dd "));                      /* not dumped */
  g_assert_nonnull (strstr (flags, " wf "));                      /* wiped on fork */
}

static void
test_fork (void)
{
  g_autoptr (CmkSecret) secret = new_filled (32, 0xff);
  pid_t child = fork ();
  if (child == 0)
    {
      guint8 seen = 0;
      for (gsize i = 0; i < 32; i++)
        seen |= cmk_secret_peek (secret)[i];
      _exit (seen);
    }
  int status = 0;
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  assert_filled (cmk_secret_peek (secret), 32, 0xff);
}

static gpointer
use_secrets (gpointer data)
{
  guint8 byte = (guint8) GPOINTER_TO_UINT (data);
  for (guint i = 0; i < 20000; i++)
    {
      gsize length = 1 + i % 3000;
      g_autoptr (CmkSecret) secret = cmk_secret_new (length, NULL);
      g_assert_nonnull (secret);
      g_assert_cmphex (cmk_secret_peek (secret)[length - 1], ==, 0);
      memset (cmk_secret_data (secret), byte, length);
      g_assert_cmphex (cmk_secret_peek (secret)[length / 2], ==, byte);
    }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[4];
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("secrets", use_secrets, GUINT_TO_POINTER (i + 1));
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* Before main() has made the arena: an ordinary user with the kernel's old limit. */
static void
run_without_memlock (void)
{
  struct rlimit limit = { 64 * 1024, 64 * 1024 };
  g_autoptr (GError) error = NULL;
  g_assert_cmpint (setrlimit (RLIMIT_MEMLOCK, &limit), ==, 0);
  g_assert_cmpint (setresuid (65534, 65534, 65534), ==, 0);
  g_assert_false (cmk_secret_init (&error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_INTERNAL);
  g_assert_nonnull (strstr (error->message, "LimitMEMLOCK="));
}

static void
test_memlock (void)
{
  if (g_test_subprocess ())
    {
      run_without_memlock ();
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!g_test_subprocess () && !cmk_secret_init (&error))
    g_error ("%s", error->message);
  g_test_add_func ("/secret/new/is-zeroed-though-memory-is-reused", test_zeroed);
  g_test_add_func ("/secret/new/lives-apart", test_apart);
  g_test_add_func ("/secret/new/copies", test_copy);
  g_test_add_func ("/secret/new/too-long-is-throttled", test_too_long);
  g_test_add_func ("/secret/new/exhausted-is-throttled-and-recovers", test_exhausted);
  g_test_add_func ("/secret/new/burst-of-one-size-leaves-room-for-others", test_other_sizes);
  g_test_add_func ("/secret/free/wipes", test_wiped);
  g_test_add_func ("/secret/shorten/wipes-the-rest", test_shorten);
  g_test_add_func ("/secret/equal/sees-every-byte-and-the-length", test_equal);
  g_test_add_func ("/secret/memory/locked-undumped-wiped-on-fork", test_memory);
  g_test_add_func ("/secret/memory/child-sees-nothing", test_fork);
  g_test_add_func ("/secret/threads", test_threads);
  if (MLOCK_WORKS)
    g_test_add_func ("/secret/init/names-the-limit", test_memlock);
  return g_test_run ();
}
