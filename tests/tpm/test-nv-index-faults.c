/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm/nv-index when commands fail, and what can be seen of an index's contents and authorisation value: nothing
 * on the bus, nothing in the memory that a core dump shows. */
#include "nv-setup.h"

#include "base/error.h"
#include "memory-search.h"

#include <string.h>

/* --- faults ------------------------------------------------------------------------------------------------------ */

/* Every kind of command. What was there before from an attempt that failed is removed. */
static gboolean
call (gpointer data, GError **error)
{
  NvSetup *setup = data;
  g_autoptr (GError) local_error = NULL;
  guint32 left = nv_find (setup, nv_label, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (left != 0 && !nv_remove (setup, left, error))
    return FALSE;
  g_autoptr (CmkTpmNvIndex) index = nv_define (setup, error);
  if (index == NULL)
    return FALSE;
  g_autoptr (CmkTpmNvIndex) opened = nv_open (setup, cmk_tpm_nv_index_handle (index), error);
  if (opened == NULL)
    return FALSE;
  g_autoptr (CmkSecret) contents = nv_read (setup, opened, error);
  if (contents == NULL)
    return FALSE;
  g_assert_true (cmk_secret_equal (contents, setup->contents));
  return nv_write (setup, opened, contents, error);
}

static void
test_failures_leave_nothing (void)
{
  static const char *actions[] = { "io", "drop", "garble", "0x101", "0x910", "0x918" };
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_test_message ("%s", actions[i]);
      g_assert_cmpuint (software_tpm_fail_everywhere (setup.software, actions[i], call, &setup), >,
                        g_str_has_prefix (actions[i], "0x91") ? 0 : 4);
    }
}

static void
test_busy (void)
{
  static const char *busy[] = { "0x922", "0x908", "0x90a", "0x920", "0x923" };
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  for (gsize i = 0; i < G_N_ELEMENTS (busy); i++)
    {
      static const char *commands[] = { "NV_DefineSpace", "NV_Write", "NV_Read", "NV_ReadPublic", "NV_UndefineSpace" };
      tpm_call_must_work (call, &setup); /* leaves an index for the next to remove */
      for (gsize j = 0; j < G_N_ELEMENTS (commands); j++)
        {
          g_autofree char *rule = g_strdup_printf ("%s 1-4 %s", commands[j], busy[i]);
          software_tpm_set_fault (setup.software, rule);
          tpm_call_must_work (call, &setup);
          g_assert_false (software_tpm_fault_waits (setup.software));
        }
    }
  software_tpm_assert_empty (setup.software);
}

/* A write whose answer is lost is not sent again; the next read tells what became of it. */
static void
test_lost_answer (void)
{
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_autoptr (CmkSecret) others = nv_make_secret (CMK_TPM_NV_SIZE);
  g_autoptr (GError) error = NULL;

  software_tpm_set_fault (setup.software, "NV_Write 1-1 io");
  (void) software_tpm_commands (setup.software);
  g_assert_false (nv_write (&setup, index, others, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_assert_true (g_str_has_prefix (software_tpm_commands (setup.software), "StartAuthSession NV_Write:io"));
  nv_assert_contents (&setup, index, setup.contents);

  static const char *lost[] = { "drop", "garble" };
  for (gsize i = 0; i < G_N_ELEMENTS (lost); i++)
    {
      g_autofree char *rule = g_strdup_printf ("NV_Write 1-1 %s", lost[i]);
      nv_must_write (&setup, index, setup.contents);
      software_tpm_set_fault (setup.software, rule);
      (void) software_tpm_commands (setup.software);
      g_clear_error (&error);
      g_assert_false (nv_write (&setup, index, others, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
      const char *commands = software_tpm_commands (setup.software);
      g_assert_true (strstr (commands, "NV_Write") == g_strrstr (commands, "NV_Write"));
      nv_assert_contents (&setup, index, others);
    }
  software_tpm_assert_empty (setup.software);
}

/* define() leaves no index behind that nobody has written. */
static void
test_unwritten_is_removed (void)
{
  static const char *actions[] = { "0x101", "io", "drop", "garble" };
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_autofree char *rule = g_strdup_printf ("NV_Write 1-1 %s", actions[i]);
      g_autoptr (GError) error = NULL;
      software_tpm_set_fault (setup.software, rule);
      g_assert_null (nv_define (&setup, &error));
      g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
      g_assert_false (software_tpm_fault_waits (setup.software));
      g_assert_cmphex (nv_must_find (&setup, nv_label), ==, 0);
      software_tpm_assert_empty (setup.software);
    }
}

/* --- what can be seen -------------------------------------------------------------------------------------------- */

static void
assert_not_in (const char *data, gsize size, const CmkSecret *secret)
{
  for (gsize at = 0; at + 16 <= cmk_secret_length (secret); at += 16)
    g_assert_null (memmem (data, size, cmk_secret_peek (secret) + at, 16));
}

static void
test_nothing_on_the_bus (void)
{
  SoftwareTpm *software = software_tpm_new ();
  g_autofree char *raw_path = g_strconcat (software->log, ".raw", NULL);
  g_assert_true (g_file_set_contents (raw_path, "", 0, NULL));
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software);
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  g_autoptr (CmkSecret) others = nv_make_secret (CMK_TPM_NV_SIZE);
  nv_assert_contents (&setup, index, setup.contents);
  nv_must_write (&setup, index, others);
  nv_assert_contents (&setup, index, others);

  g_autofree char *raw = NULL;
  gsize size;
  g_assert_true (g_file_get_contents (raw_path, &raw, &size, NULL));
  g_assert_nonnull (memmem (raw, size, nv_label, sizeof nv_label)); /* what is no secret is there */
  assert_not_in (raw, size, setup.contents);
  assert_not_in (raw, size, others);
  assert_not_in (raw, size, setup.auth);
}

/* ESYS frees its sessions as they are, with the authorisation value in them: it takes the heap that cmkd starts over
 * with (GLIBC_TUNABLES, set by meson). Sanitizers and valgrind bring another one. */
static gboolean
heap_is_wiped (void)
{
  g_autoptr (CmkSecret) pattern = nv_make_secret (32);
  guint8 *block = g_malloc0 (1500);
  memcpy (block + 500, cmk_secret_peek (pattern), 32);
  g_assert_true (is_in_memory (pattern)); /* if there was a copy it would be found */
  g_free (block);
  return !is_in_memory (pattern);
}

static void
assert_not_in_memory (NvSetup *setup)
{
  static gboolean wiped = -1;
  if (wiped == -1)
    wiped = heap_is_wiped ();
  g_assert_false (is_in_memory (setup->contents));
  g_assert_true (!wiped || !is_in_memory (setup->auth));
}

static void
test_nothing_in_memory (void)
{
  static const char *actions[] = { "0x101", "io", "drop", "garble" };
  g_auto (NvSetup) setup = { 0 };
  nv_setup_init (&setup, software_tpm_new ());
  g_autoptr (CmkTpmNvIndex) index = nv_must_define (&setup);
  assert_not_in_memory (&setup);
  nv_assert_contents (&setup, index, setup.contents);
  assert_not_in_memory (&setup);
  nv_must_write (&setup, index, setup.contents);
  assert_not_in_memory (&setup);
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_autofree char *rule = g_strdup_printf ("NV_Write 1-1 %s", actions[i]);
      g_autoptr (GError) error = NULL;
      software_tpm_set_fault (setup.software, rule);
      g_assert_false (nv_write (&setup, index, setup.contents, &error));
      nv_assert_contents (&setup, index, setup.contents);
      assert_not_in_memory (&setup);
    }
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/nv-index-faults/nothing-is-left-in-the-tpm", test_failures_leave_nothing);
  g_test_add_func ("/nv-index-faults/busy-tpm-is-waited-for", test_busy);
  g_test_add_func ("/nv-index-faults/lost-answer-is-not-asked-for-again", test_lost_answer);
  g_test_add_func ("/nv-index-faults/unwritten-index-is-removed", test_unwritten_is_removed);
  g_test_add_func ("/nv-index-faults/no-secret-on-the-bus", test_nothing_on_the_bus);
  g_test_add_func ("/nv-index-faults/no-secret-in-memory", test_nothing_in_memory);
  return g_test_run ();
}
