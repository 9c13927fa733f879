/* SPDX-License-Identifier: Apache-2.0 */
#include "software-tpm.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tss2/tss2_tctildr.h>

#define SRK_ATTRIBUTES                                                                                                 \
  (TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |                     \
   TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA)
#define AES_128_CFB                                                                                                    \
  {                                                                                                                    \
    .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB                                            \
  }

const TPM2B_PUBLIC standard_ecc = {
  .publicArea = { .type = TPM2_ALG_ECC,
                  .nameAlg = TPM2_ALG_SHA256,
                  .objectAttributes = SRK_ATTRIBUTES,
                  .parameters.eccDetail = { .symmetric = AES_128_CFB,
                                            .scheme.scheme = TPM2_ALG_NULL,
                                            .curveID = TPM2_ECC_NIST_P256,
                                            .kdf.scheme = TPM2_ALG_NULL } },
};

const TPM2B_PUBLIC standard_rsa = {
  .publicArea = { .type = TPM2_ALG_RSA,
                  .nameAlg = TPM2_ALG_SHA256,
                  .objectAttributes = SRK_ATTRIBUTES,
                  .parameters.rsaDetail = { .symmetric = AES_128_CFB,
                                            .scheme.scheme = TPM2_ALG_NULL,
                                            .keyBits = 2048 } },
};

static volatile sig_atomic_t running_pid;

/* No swtpm may outlive a failed assertion or a timeout. */
static void
stop_running (int number)
{
  if (running_pid > 0)
    kill (running_pid, SIGKILL);
  signal (number, SIG_DFL);
  raise (number);
}

void
software_tpm_start (SoftwareTpm *software)
{
  g_autofree char *state = g_strdup_printf ("dir=%s/state", software->directory);
  g_autofree char *server = g_strdup_printf ("type=unixio,path=%s/sock", software->directory);
  g_autofree char *control = g_strdup_printf ("type=unixio,path=%s/sock.ctrl", software->directory);
  g_autofree char *pid_file = g_strdup_printf ("%s/pid", software->directory);
  g_autofree char *pid_option = g_strdup_printf ("file=%s", pid_file);
  const char *argv[] = { "swtpm", "socket",  "--tpm2",        "--tpmstate", state,   "--server", server, "--ctrl",
                         control, "--flags", software->flags, "--daemon",   "--pid", pid_option, NULL };
  g_autoptr (GError) error = NULL;
  int status = 0;
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_true (g_spawn_check_wait_status (status, &error));

  g_autofree char *pid_text = NULL;
  g_assert_true (g_file_get_contents (pid_file, &pid_text, NULL, &error));
  software->pid = (GPid) g_ascii_strtoll (pid_text, NULL, 10);
  g_assert_cmpint (software->pid, >, 1);
  running_pid = software->pid;
}

void
software_tpm_stop (SoftwareTpm *software)
{
  if (software->pid == 0)
    return;
  kill (software->pid, SIGTERM);
  g_assert_cmpint (waitpid (software->pid, NULL, 0), ==, software->pid);
  software->pid = 0;
  running_pid = 0;
}

static void
remove_directory (const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  for (const char *name = g_dir_read_name (directory); name != NULL; name = g_dir_read_name (directory))
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      if (g_file_test (child, G_FILE_TEST_IS_DIR))
        remove_directory (child);
      else
        g_unlink (child);
    }
  g_rmdir (path);
}

static void
make_state (SoftwareTpm *software)
{
  g_autofree char *state = g_build_filename (software->directory, "state", NULL);
  if (g_file_test (state, G_FILE_TEST_IS_DIR))
    remove_directory (state);
  g_assert_cmpint (g_mkdir (state, 0700), ==, 0);
}

void
software_tpm_test_init (int *argc, char ***argv)
{
  g_autoptr (GError) error = NULL;
  g_setenv ("TSS2_LOG", "all+none", FALSE);
  g_test_init (argc, argv, NULL);
  g_assert_true (cmk_secret_init (&error));
}

SoftwareTpm *
software_tpm_new (void)
{
  /* swtpm forks itself into the background; as its reaper we see it end. */
  g_assert_cmpint (prctl (PR_SET_CHILD_SUBREAPER, 1), ==, 0);
  signal (SIGABRT, stop_running);
  signal (SIGTERM, stop_running);
  signal (SIGINT, stop_running);

  SoftwareTpm *software = g_new0 (SoftwareTpm, 1);
  software->directory = g_mkdtemp (g_strdup ("/tmp/cmkd-tpm-XXXXXX"));
  g_assert_nonnull (software->directory);
  software->log = g_build_filename (software->directory, "log", NULL);
  software->direct = g_strdup_printf ("swtpm:path=%s/sock", software->directory);
  software->counted = g_strdup_printf ("%s:%s", g_getenv ("CMKD_TCTI_COUNT"), software->direct);
  g_autofree char *chip_log = g_build_filename (software->directory, "chip", NULL);
  g_setenv ("CMKD_TPM_LOG", software->log, TRUE);
  g_setenv ("CMKD_CHIP_LOG", chip_log, TRUE);
  software->flags = SOFTWARE_TPM_STARTED;
  make_state (software);
  software_tpm_start (software);
  return software;
}

void
software_tpm_free (SoftwareTpm *software)
{
  software_tpm_stop (software);
  remove_directory (software->directory);
  g_free (software->directory);
  g_free (software->log);
  g_free (software->counted);
  g_free (software->direct);
  g_free (software);
}

void
software_tpm_replace (SoftwareTpm *software)
{
  software_tpm_stop (software);
  make_state (software);
  software_tpm_start (software);
}

const char *
software_tpm_commands (SoftwareTpm *software)
{
  static GString *commands;
  if (commands == NULL)
    commands = g_string_new (NULL);

  g_autofree char *log = NULL;
  gsize size;
  g_assert_true (g_file_get_contents (software->log, &log, &size, NULL));
  g_string_assign (commands, log + software->log_read);
  software->log_read = size;
  g_string_replace (commands, "\n", " ", 0);
  g_strchomp (commands->str);
  return commands->str;
}

void
software_tpm_set_fault (SoftwareTpm *software, const char *rule)
{
  g_autofree char *path = g_strconcat (software->log, ".fault", NULL);
  g_assert_true (g_file_set_contents (path, rule, -1, NULL));
}

gboolean
software_tpm_fault_waits (SoftwareTpm *software)
{
  g_autofree char *path = g_strconcat (software->log, ".fault", NULL);
  GStatBuf status;
  g_assert_cmpint (g_stat (path, &status), ==, 0);
  return status.st_size > 0;
}

void
assert_rc (TSS2_RC rc)
{
  g_assert_cmphex (rc, ==, TSS2_RC_SUCCESS);
}

void
meddler_open (Meddler *meddler, SoftwareTpm *software)
{
  assert_rc (Tss2_TctiLdr_Initialize (software->direct, &meddler->tcti));
  assert_rc (Esys_Initialize (&meddler->esys, meddler->tcti, NULL));
}

void
meddler_close (Meddler *meddler)
{
  if (meddler->esys != NULL)
    Esys_Finalize (&meddler->esys);
  if (meddler->tcti != NULL)
    Tss2_TctiLdr_Finalize (&meddler->tcti);
}

guint
software_tpm_count (SoftwareTpm *software, guint kind)
{
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, software);
  TPMS_CAPABILITY_DATA *data = NULL;
  assert_rc (Esys_GetCapability (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                 kind << TPM2_HR_SHIFT, TPM2_MAX_CAP_HANDLES, NULL, &data));
  guint count = data->data.handles.count;
  Esys_Free (data);
  return count;
}

void
software_tpm_assert_empty (SoftwareTpm *software)
{
  static const guint kinds[] = { TPM2_HT_TRANSIENT, TPM2_HT_LOADED_SESSION, TPM2_HT_SAVED_SESSION };
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    g_assert_cmpuint (software_tpm_count (software, kinds[i]), ==, 0);
}

void
tpm_call_must_work (TpmCall call, gpointer data)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = call (data, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

guint
software_tpm_fail_everywhere (SoftwareTpm *software, const char *action, TpmCall call, gpointer data)
{
  guint n_failed = 0;
  gboolean is_over = FALSE;
  for (guint nth = 1; !is_over; nth++)
    {
      g_autofree char *rule = g_strdup_printf ("* %u-%u %s", nth, nth, action);
      g_autoptr (GError) error = NULL;
      software_tpm_set_fault (software, rule);
      if (!call (data, &error))
        {
          g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
          n_failed++;
        }
      is_over = software_tpm_fault_waits (software);
      software_tpm_set_fault (software, "");
      software_tpm_assert_empty (software);
      tpm_call_must_work (call, data);
      software_tpm_assert_empty (software);
    }
  return n_failed;
}

GBytes *
meddler_make_key (Meddler *meddler, const TPM2B_PUBLIC *public, TPM2_HANDLE place)
{
  TPM2B_SENSITIVE_CREATE nothing = { 0 };
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  ESYS_TR key = ESYS_TR_NONE, kept = ESYS_TR_NONE;
  assert_rc (Esys_CreatePrimary (meddler->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                 &nothing, public, &no_info, &no_pcrs, &key, NULL, NULL, NULL, NULL));
  TPM2B_NAME *name = NULL;
  assert_rc (Esys_TR_GetName (meddler->esys, key, &name));
  GBytes *bytes = g_bytes_new (name->name, name->size);
  Esys_Free (name);
  if (place != 0)
    {
      assert_rc (Esys_EvictControl (meddler->esys, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                    place, &kept));
      assert_rc (Esys_TR_Close (meddler->esys, &kept));
    }
  assert_rc (Esys_FlushContext (meddler->esys, key));
  return bytes;
}

void
meddler_evict (Meddler *meddler, TPM2_HANDLE place)
{
  ESYS_TR key = ESYS_TR_NONE, gone = ESYS_TR_NONE;
  assert_rc (Esys_TR_FromTPMPublic (meddler->esys, place, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &key));
  assert_rc (Esys_EvictControl (meddler->esys, ESYS_TR_RH_OWNER, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                place, &gone));
}

static GBytes *
lookup (gpointer data, const char *name)
{
  GBytes *context = g_hash_table_lookup (data, name);
  return context == NULL ? NULL : g_bytes_ref (context);
}

static void
keep (gpointer data, const char *name, GBytes *context)
{
  g_hash_table_replace (data, g_strdup (name), g_bytes_ref (context));
}

static void
drop (gpointer data, const char *name)
{
  g_hash_table_remove (data, name);
}

void
memory_cache_init (MemoryCache *cache)
{
  cache->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  cache->functions = (CmkTpmContextCache) { .lookup = lookup, .keep = keep, .drop = drop, .data = cache->entries };
}

void
memory_cache_clear (MemoryCache *cache)
{
  g_clear_pointer (&cache->entries, g_hash_table_unref);
}
