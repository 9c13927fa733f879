/* SPDX-License-Identifier: Apache-2.0
 *
 * A software TPM in a directory of its own, the counting TCTI in front of it, and a way in beside that. */
#pragma once

#include "tpm/session.h"

#include <tss2/tss2_esys.h>

typedef struct
{
  char *directory;
  char *log;
  char *counted;     /* the TCTI that cmkd gets */
  char *direct;      /* the TCTI of those who meddle */
  const char *flags; /* of swtpm, from the next start */
  GPid pid;
  gsize log_read;
} SoftwareTpm;

/* First thing in main(): the test framework, secrets, and a tpm2-tss that does not tell of each error it is meant to
 * meet. */
void software_tpm_test_init (int *argc, char ***argv);

/* Fresh state, running. */
SoftwareTpm *software_tpm_new (void);
void software_tpm_free (SoftwareTpm *software);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoftwareTpm, software_tpm_free)

/* Stopping loses what is volatile; starting goes on with the same state. */
void software_tpm_stop (SoftwareTpm *software);
void software_tpm_start (SoftwareTpm *software);

/* Another TPM in its place. */
void software_tpm_replace (SoftwareTpm *software);

/* The commands since the last time, separated by spaces. Static. */
const char *software_tpm_commands (SoftwareTpm *software);

#define SOFTWARE_TPM_STARTED     "not-need-init,startup-clear"
#define SOFTWARE_TPM_NOT_STARTED "not-need-init"

/* A rule for tcti-count.c, or none (""). Did the last rule not strike (for the last time) so far? */
void software_tpm_set_fault (SoftwareTpm *software, const char *rule);
gboolean software_tpm_fault_waits (SoftwareTpm *software);

/* How many handles of a kind (TPM_HT) the TPM has. */
guint software_tpm_count (SoftwareTpm *software, guint kind);

/* Fails the test unless there is no object and no session in the TPM. */
void software_tpm_assert_empty (SoftwareTpm *software);

/* What is done with daemon/tpm, as a call of cmkd does it. */
typedef gboolean (*TpmCall) (gpointer data, GError **error);

void tpm_call_must_work (TpmCall call, gpointer data);

/* Let the first, second, ... command of @call fail in turn by @action, until all is over before it strikes. Each time
 * it must work, or fail with CMK_ERROR_TPM_UNAVAILABLE; leave nothing; and work the next time. How often it failed. */
guint software_tpm_fail_everywhere (SoftwareTpm *software, const char *action, TpmCall call, gpointer data);

/* A connection of one's own. */
typedef struct
{
  TSS2_TCTI_CONTEXT *tcti;
  ESYS_CONTEXT *esys;
} Meddler;

void meddler_open (Meddler *meddler, SoftwareTpm *software);
void meddler_close (Meddler *meddler);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Meddler, meddler_close)

/* Fails the test with the code. */
void assert_rc (TSS2_RC rc);

/* Make a primary key of @public and, unless 0, leave it at @place; its name. */
GBytes *meddler_make_key (Meddler *meddler, const TPM2B_PUBLIC *public, TPM2_HANDLE place);
/* Empty the place. */
void meddler_evict (Meddler *meddler, TPM2_HANDLE place);

/* What standard software keeps at 0x81000001, written down a second time. */
extern const TPM2B_PUBLIC standard_ecc, standard_rsa;
#define ROOT_HANDLE 0x81000001

/* A context cache in memory: an array of names would do, but a table is shorter. */
typedef struct
{
  CmkTpmContextCache functions;
  GHashTable *entries;
} MemoryCache;

void memory_cache_init (MemoryCache *cache);
void memory_cache_clear (MemoryCache *cache);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MemoryCache, memory_cache_clear)
