/* SPDX-License-Identifier: Apache-2.0
 *
 * ESYS leaves three copies of a secret behind and offers no way to wipe them: the sensitive area of the last Create in
 * its own context, the decrypted answer of an Unseal in the command buffer of its SYS context, and the stack of the
 * function that decrypted it. tests/tpm looks for all three. (An ESYS that has met an I/O error cannot be scrubbed any
 * more; all it holds is the data key of the Create that failed, with which nothing has been sealed.) */
#include "tpm/internal.h"

#include <string.h>

#define NO_SUCH_SESSION 0xffffffffU
#define STACK_BYTES     16384 /* ESYS was seen to use 4 KiB below us */

static __attribute__ ((noinline)) void
wipe_stack (void)
{
  guint8 below[STACK_BYTES];
  explicit_bzero (below, sizeof below);
}

/* A Create that is never sent: ESYS notes its parameters, writes them to the command buffer and only then finds that
 * there is no such session. Zeros take the place of whatever was there. */
void
cmk_tpm_scrub (CmkTpm *tpm)
{
  TPM2B_SENSITIVE_CREATE zeros = { .sensitive.data.size = 128 };
  TPM2B_PUBLIC public = {
    .publicArea = { .type = TPM2_ALG_KEYEDHASH,
                    .nameAlg = TPM2_ALG_SHA256,
                    .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL },
  };
  TPM2B_DATA no_info = { 0 };
  TPML_PCR_SELECTION no_pcrs = { 0 };
  (void) Esys_Create_Async (tpm->esys, ESYS_TR_RH_OWNER, NO_SUCH_SESSION, ESYS_TR_NONE, ESYS_TR_NONE, &zeros, &public,
                            &no_info, &no_pcrs);
  wipe_stack ();
}
