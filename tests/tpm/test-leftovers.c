/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that is killed leaves what it has loaded in a TPM without a resource manager, and the next one flushes
 * that, and nothing else. Whoever uses daemon/tpm here is a child, to be killed; what it notes is in memory that all
 * share. */
#include "software-tpm.h"

#include "base/error.h"
#include "tpm/resident-key.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KINDS    3
#define MANY     60
#define NAME     34
#define SEQUENCE 3000 /* bytes to be authenticated: more than one command takes */

static const guint kinds[KINDS] = { TPM2_HT_TRANSIENT, TPM2_HT_LOADED_SESSION, TPM2_HT_SAVED_SESSION };

typedef struct
{
  gsize size;
  guint8 bytes[2048];
} Shared;

typedef struct
{
  SoftwareTpm *software;
  Shared *note, *sealed, *mac_key;
  TPM2_HANDLE object, session; /* somebody else's */
  const char *fault;
} Setup;

static void
share (Shared *shared, GBytes *bytes)
{
  gsize size = 0;
  gconstpointer data = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;
  g_assert_cmpuint (size, <=, sizeof shared->bytes);
  if (size > 0)
    memcpy (shared->bytes, data, size);
  shared->size = size;
}

static void
write_note (gpointer data, GBytes *note)
{
  share (data, note);
}

/* As the next cmkd would begin. */
static CmkTpm *
open_tpm (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) last = setup->note->size > 0 ? g_bytes_new (setup->note->bytes, setup->note->size) : NULL;
  CmkTpmNotebook notebook = { .last = last, .write = write_note, .data = setup->note };
  CmkTpm *tpm = cmk_tpm_open_warm (setup->software->counted, NULL, &notebook, &error);
  g_assert_no_error (error);
  return tpm;
}

/* @job in a process of its own. Has it been killed? */
static gboolean
run (void (*job) (Setup *setup), Setup *setup)
{
  pid_t child = fork ();
  if (child == 0)
    {
      g_assert_true (cmk_secret_init (NULL)); /* that of the parent does not come along */
      job (setup);
      _exit (0);
    }
  int status;
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  if (WIFEXITED (status))
    g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  else
    g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
  return !WIFEXITED (status);
}

static void
prepare (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  CmkTpm *tpm = open_tpm (setup);
  g_autoptr (CmkSecret) key = cmk_secret_new (32, &error);
  memset (cmk_secret_data (key), 7, 32);
  CmkTpmSession *session = cmk_tpm_session_begin (tpm, &error);
  g_assert_no_error (error);
  g_autoptr (GBytes) sealed = cmk_tpm_seal (session, key, CMK_TPM_MORE, &error);
  g_assert_no_error (error);
  g_autoptr (GBytes) mac_key =
      cmk_tpm_resident_import_hmac (session, CMK_RESIDENT_HMAC_SHA256, key, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  share (setup->sealed, sealed);
  share (setup->mac_key, mac_key);
  cmk_tpm_session_end (session);
  cmk_tpm_close (tpm);
}

/* A call with everything that is ever loaded, but for the keys of attestation. */
static gboolean
try_call (Setup *setup, CmkTpm *tpm, GError **error)
{
  g_autoptr (GBytes) sealed = g_bytes_new (setup->sealed->bytes, setup->sealed->size);
  g_autoptr (GBytes) mac_key = g_bytes_new (setup->mac_key->bytes, setup->mac_key->size);
  static const guint8 message[SEQUENCE];
  guint8 mac[CMK_RESIDENT_MAX_MAC];
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (tpm, error);
  if (session == NULL)
    return FALSE;
  g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, sealed, NULL, CMK_TPM_MORE, error);
  return key != NULL && cmk_tpm_resident_hmac (session, mac_key, NULL, CMK_RESIDENT_HMAC_SHA256, message,
                                               sizeof message, CMK_TPM_LAST, mac, error);
}

static void
use (Setup *setup)
{
  g_autoptr (GError) error = NULL;
  CmkTpm *tpm = open_tpm (setup);
  g_assert_true (try_call (setup, tpm, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (setup->note->size, >, 0);
  cmk_tpm_close (tpm);
  g_assert_cmpuint (setup->note->size, ==, 0);
}

/* The fault of which strikes in the call. */
static void
use_in_trouble (Setup *setup)
{
  CmkTpm *tpm = open_tpm (setup);
  software_tpm_set_fault (setup->software, setup->fault);
  (void) try_call (setup, tpm, NULL);
  g_assert_false (software_tpm_fault_waits (setup->software));
  g_assert_true (try_call (setup, tpm, NULL));
  cmk_tpm_close (tpm);
  g_assert_cmpuint (setup->note->size, ==, 0);
}

/* A start and a stop. */
static void
start (Setup *setup)
{
  cmk_tpm_close (open_tpm (setup));
  g_assert_cmpuint (setup->note->size, ==, 0);
}

/* --- somebody else ------------------------------------------------------------------------------------------------ */

static void
settle_in (Setup *setup)
{
  const TPM2B_SENSITIVE_CREATE nothing = { 0 };
  const TPM2B_DATA no_info = { 0 };
  const TPML_PCR_SELECTION no_pcrs = { 0 };
  const TPMT_SYM_DEF no_symmetric = { .algorithm = TPM2_ALG_NULL };
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, setup->software);
  ESYS_TR object, session;
  assert_rc (Esys_CreatePrimary (meddler.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &nothing,
                                 &standard_ecc, &no_info, &no_pcrs, &object, NULL, NULL, NULL, NULL));
  assert_rc (Esys_StartAuthSession (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    NULL, TPM2_SE_HMAC, &no_symmetric, TPM2_ALG_SHA256, &session));
  assert_rc (Esys_TR_GetTpmHandle (meddler.esys, object, &setup->object));
  assert_rc (Esys_TR_GetTpmHandle (meddler.esys, session, &setup->session));
}

/* What is in the TPM is theirs, and all that is theirs is in the TPM. */
static void
assert_only_theirs (Setup *setup)
{
  const TPM2_HANDLE theirs[KINDS] = { setup->object, setup->session };
  for (gsize i = 0; i < KINDS; i++)
    {
      g_auto (Meddler) meddler = { 0 };
      meddler_open (&meddler, setup->software);
      TPMS_CAPABILITY_DATA *data = NULL;
      assert_rc (Esys_GetCapability (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                     kinds[i] << TPM2_HR_SHIFT, TPM2_MAX_CAP_HANDLES, NULL, &data));
      g_assert_cmpuint (data->data.handles.count, ==, theirs[i] != 0);
      if (theirs[i] != 0)
        g_assert_cmphex (data->data.handles.handle[0], ==, theirs[i]);
      Esys_Free (data);
    }
}

static Shared *
new_shared (void)
{
  Shared *shared = mmap (NULL, sizeof (Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (shared != MAP_FAILED);
  return shared;
}

static void
set_up (Setup *setup)
{
  setup->software = software_tpm_new ();
  setup->note = new_shared ();
  setup->sealed = new_shared ();
  setup->mac_key = new_shared ();
  g_assert_false (run (prepare, setup));
  settle_in (setup);
  assert_only_theirs (setup);
  (void) software_tpm_commands (setup->software);
}

static void
tear_down (Setup *setup)
{
  software_tpm_free (setup->software);
  munmap (setup->note, sizeof (Shared));
  munmap (setup->sealed, sizeof (Shared));
  munmap (setup->mac_key, sizeof (Shared));
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Setup, tear_down)

/* --- cases ------------------------------------------------------------------------------------------------------- */

/* Killed after these a process does not know their handle, and nobody else the name. */
static gboolean
is_unknown (const char *command, const char *when)
{
  return g_str_equal (when, "kill-after") &&
         (g_str_equal (command, "StartAuthSession") || g_str_equal (command, "HMAC_Start"));
}

static void
kill_at (Setup *setup, void (*job) (Setup *setup), const char *command, guint n, const char *when)
{
  g_autofree char *rule = g_strdup_printf ("%s %u-%u %s", command, n, n, when);
  software_tpm_set_fault (setup->software, rule);
  g_assert_true (run (job, setup));
  g_assert_false (software_tpm_fault_waits (setup->software));
}

static void
test_killed_anywhere (gconstpointer when)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_assert_false (run (use, &setup));
  g_auto (GStrv) commands = g_strsplit (software_tpm_commands (setup.software), " ", MANY);
  g_assert_cmpuint (g_strv_length (commands), >, 10);
  for (guint i = 0; commands[i] != NULL; i++)
    if (!is_unknown (commands[i], when))
      {
        kill_at (&setup, use, "*", i + 1, when);
        g_assert_false (run (start, &setup));
        assert_only_theirs (&setup);
      }
  g_assert_false (run (use, &setup));
}

/* By the time of the last there would be no room for anything. */
static void
test_killed_again_and_again (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  for (guint i = 0; i < 10; i++)
    kill_at (&setup, use, "SequenceUpdate", 1, "kill-after");
  kill_at (&setup, start, "FlushContext", 1, "kill-before");
  kill_at (&setup, start, "FlushContext", 2, "kill-after");
  g_assert_false (run (start, &setup));
  assert_only_theirs (&setup);
}

/* Whatever became of it, what was given back is not noted any more. */
static void
test_failed_commands (void)
{
  static const char *const commands[] = { "StartAuthSession", "Load",         "Unseal",          "HMAC_Start",
                                          "SequenceUpdate",   "FlushContext", "SequenceComplete" };
  static const char *const actions[] = { "io", "drop", "garble", "0x922", "0x910", "0x918", "0x101", "reset" };
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  for (gsize i = 0; i < G_N_ELEMENTS (commands) * G_N_ELEMENTS (actions); i++)
    {
      g_autofree char *fault =
          g_strdup_printf ("%s 1-1 %s", commands[i % G_N_ELEMENTS (commands)], actions[i / G_N_ELEMENTS (commands)]);
      setup.fault = fault;
      g_test_message ("%s", fault);
      g_assert_false (run (use_in_trouble, &setup));
    }
}

static void
test_nothing_to_do_costs_nothing (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  g_assert_false (run (start, &setup));
  g_autofree char *commands = g_strdup (software_tpm_commands (setup.software));
  kill_at (&setup, use, "StartAuthSession", 1, "kill-before");
  (void) software_tpm_commands (setup.software);
  g_assert_false (run (start, &setup));
  g_assert_cmpstr (software_tpm_commands (setup.software), ==, commands);
}

/* After a reset somebody else has the numbers: the second object has that of the one that was noted, and the second
 * session. */
static void
test_reset (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  kill_at (&setup, use, "Unseal", 1, "kill-before");
  software_tpm_stop (setup.software);
  software_tpm_start (setup.software);
  settle_in (&setup);
  settle_in (&setup);
  g_assert_false (run (start, &setup));
  g_assert_cmpuint (software_tpm_count (setup.software, TPM2_HT_TRANSIENT), ==, 2);
  g_assert_cmpuint (software_tpm_count (setup.software, TPM2_HT_LOADED_SESSION), ==, 2);
}

static void
append_entry (Setup *setup, TPM2_HANDLE handle, guint8 name)
{
  const guint32 number = GUINT32_TO_BE (handle);
  memcpy (setup->note->bytes + setup->note->size, &number, sizeof number);
  memset (setup->note->bytes + setup->note->size + sizeof number, name, NAME);
  setup->note->size += sizeof number + NAME;
}

static void
begin_note (Setup *setup, const char *tcti)
{
  gsize size = strlen (tcti) + 1;
  memcpy (setup->note->bytes, tcti, size);
  memset (setup->note->bytes + size, 0x7f, sizeof (gint64)); /* in a far future */
  setup->note->size = size + sizeof (gint64);
}

static void
test_forged (void)
{
  g_auto (Setup) setup = { 0 };
  set_up (&setup);
  const char *tcti = setup.software->counted;
  const TPM2_HANDLE handles[] = { 0, setup.object, setup.object + 1, 0x81000001, 0x40000001, 0xffffffff };
  for (guint8 name = 0; name < 2; name++)
    {
      begin_note (&setup, tcti);
      for (gsize i = 0; i < G_N_ELEMENTS (handles); i++)
        append_entry (&setup, handles[i], name);
      g_assert_false (run (start, &setup));
    }
  begin_note (&setup, tcti);
  for (guint i = 0; i < 40; i++)
    append_entry (&setup, setup.object, 1);
  g_assert_false (run (start, &setup));

  /* Of another TPM, or no note at all. */
  begin_note (&setup, setup.software->direct);
  append_entry (&setup, setup.session, 0);
  g_assert_false (run (start, &setup));
  begin_note (&setup, tcti);
  append_entry (&setup, setup.session, 0);
  for (gsize size = --setup.note->size; size > 0; size -= MIN (size, 7))
    {
      setup.note->size = size;
      g_assert_false (run (start, &setup));
    }
  assert_only_theirs (&setup);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/leftovers/killed-before-a-command", "kill-before", test_killed_anywhere);
  g_test_add_data_func ("/leftovers/killed-after-a-command", "kill-after", test_killed_anywhere);
  g_test_add_func ("/leftovers/killed-again-and-again", test_killed_again_and_again);
  g_test_add_func ("/leftovers/failed-commands", test_failed_commands);
  g_test_add_func ("/leftovers/nothing-to-do-costs-nothing", test_nothing_to_do_costs_nothing);
  g_test_add_func ("/leftovers/numbers-of-others-after-a-reset", test_reset);
  g_test_add_func ("/leftovers/forged-notes-do-no-harm", test_forged);
  return g_test_run ();
}
