/* SPDX-License-Identifier: Apache-2.0
 *
 * ESYS leaves three copies of a secret behind and offers no way to wipe them: the sensitive area of the last Create in
 * its own context, the decrypted answer of an Unseal, RSA_Decrypt or HMAC in the command buffer of its SYS context, and
 * the stack of the function that decrypted it. tests/tpm looks for all three. (An ESYS that has met an I/O error cannot
 * be scrubbed any more; all it holds is the data key of the Create that failed, with which nothing has been sealed.) */
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

/* Commands that are never sent: ESYS notes their parameters, writes them to the command buffer and only then finds that
 * there is no such session. Zeros take the place of whatever was there: of the parameters of a Create, and, with the
 * longest buffer that ESYS takes, of the message or answer of any command. */
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
  TPM2B_MAX_BUFFER longest = { .size = TPM2_MAX_DIGEST_BUFFER };
  (void) Esys_Hash_Async (tpm->esys, NO_SUCH_SESSION, ESYS_TR_NONE, ESYS_TR_NONE, &longest, TPM2_ALG_SHA256,
                          ESYS_TR_RH_NULL);
  wipe_stack ();
}
