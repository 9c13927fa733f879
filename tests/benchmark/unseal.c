/* SPDX-License-Identifier: Apache-2.0
 *
 * unseal TCTI CALLS: what it takes to unseal a data key in a session, and the floor, the same without a session, the
 * secret in clear on the way. Built twice: once without daemon/tpm/esys-hashing.c. Prints two lines: a name, then
 * microseconds of each call, separated by tabs. */
#include <stdlib.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include "tpm/session.h"

typedef struct
{
  CmkTpm *tpm;
  GBytes *sealed;
  TSS2_TCTI_CONTEXT *connection; /* of the floor */
  ESYS_CONTEXT *esys;
  ESYS_TR root;
} Case;

typedef void (*Way) (Case *);

static void
check (gboolean ok, const GError *error)
{
  if (!ok)
    g_error ("%s", error != NULL ? error->message : "it did not work");
}

static CmkTpmSession *
begin (CmkTpm *tpm)
{
  g_autoptr (GError) error = NULL;
  CmkTpmSession *session = cmk_tpm_session_begin (tpm, &error);
  check (session != NULL, error);
  return session;
}

static void
open_case (Case *unseal, const char *tcti)
{
  g_autoptr (GError) error = NULL;
  unseal->tpm = cmk_tpm_open (tcti, &error);
  check (unseal->tpm != NULL, error);
  g_autoptr (CmkTpmSession) session = begin (unseal->tpm);
  g_autoptr (CmkSecret) key = cmk_secret_new (32, &error);
  check (key != NULL, error);
  unseal->sealed = cmk_tpm_seal (session, key, CMK_TPM_LAST, &error);
  check (unseal->sealed != NULL, error);

  check (Tss2_TctiLdr_Initialize (tcti, &unseal->connection) == TSS2_RC_SUCCESS, NULL);
  check (Esys_Initialize (&unseal->esys, unseal->connection, NULL) == TSS2_RC_SUCCESS, NULL);
  check (Esys_TR_FromTPMPublic (unseal->esys, 0x81000001, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &unseal->root) ==
             TSS2_RC_SUCCESS,
         NULL);
}

static void
close_case (Case *unseal)
{
  Esys_Finalize (&unseal->esys);
  Tss2_TctiLdr_Finalize (&unseal->connection);
  g_bytes_unref (unseal->sealed);
  cmk_tpm_close (unseal->tpm);
}

static void
in_session (Case *unseal)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = begin (unseal->tpm);
  g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, unseal->sealed, NULL, CMK_TPM_LAST, &error);
  check (key != NULL, error);
}

static void
in_clear (Case *unseal)
{
  gsize size, offset = 0;
  const guint8 *data = g_bytes_get_data (unseal->sealed, &size);
  TPM2B_PUBLIC public = { 0 };
  TPM2B_PRIVATE private = { 0 };
  TPM2B_SENSITIVE_DATA *key = NULL;
  ESYS_TR object = ESYS_TR_NONE;
  check (Tss2_MU_TPM2B_PUBLIC_Unmarshal (data, size, &offset, &public) == TSS2_RC_SUCCESS &&
             Tss2_MU_TPM2B_PRIVATE_Unmarshal (data, size, &offset, &private) == TSS2_RC_SUCCESS &&
             Esys_Load (unseal->esys, unseal->root, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public,
                        &object) == TSS2_RC_SUCCESS &&
             Esys_Unseal (unseal->esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &key) ==
                 TSS2_RC_SUCCESS &&
             Esys_FlushContext (unseal->esys, object) == TSS2_RC_SUCCESS,
         NULL);
  Esys_Free (key);
}

static gdouble
time_call (Way way, Case *unseal)
{
  gint64 start = g_get_monotonic_time ();
  way (unseal);
  return (gdouble) (g_get_monotonic_time () - start);
}

int
main (int argc, char **argv)
{
  g_setenv ("TSS2_LOG", "all+none", TRUE);
  g_autoptr (GError) error = NULL;
  check (argc == 3 && cmk_secret_init (&error), error);
  guint calls = (guint) atoi (argv[2]);
  Case unseal = { 0 };
  open_case (&unseal, argv[1]);
  g_autoptr (GString) session = g_string_new (NAME), clear = g_string_new ("without a session");
  in_session (&unseal); /* the first makes what is kept */
  for (guint i = 0; i < calls; i++)
    {
      g_string_append_printf (session, "\t%.1f", time_call (in_session, &unseal));
      g_string_append_printf (clear, "\t%.1f", time_call (in_clear, &unseal));
    }
  g_print ("%s\n%s\n", session->str, clear->str);
  close_case (&unseal);
  return EXIT_SUCCESS;
}
