/* SPDX-License-Identifier: Apache-2.0
 *
 * The kinds of resident keys in the TPM's terms. */
#pragma once

#include "tpm/internal.h"
#include "tpm/resident-key.h"

#define CMK_TPM_RSA_EXPONENT 65537 /* which a TPM writes as 0 */

typedef struct
{
  const char *name;       /* in errors */
  TPMI_ALG_PUBLIC type;   /* TPM2_ALG_KEYEDHASH, _RSA or _ECC */
  TPMI_ALG_HASH hash;     /* of HMAC or ECDSA */
  TPMI_RSA_KEY_BITS bits; /* of RSA */
  TPMI_ECC_CURVE curve;   /* of EC */
  guint16 size;           /* bytes of a MAC, of the modulus, or of a coordinate and of the order */
} CmkTpmKindTraits;

const CmkTpmKindTraits *cmk_tpm_kind_traits (CmkResidentKind kind);

/* The kind of the key with @public; FALSE if it is none of ours. */
gboolean cmk_tpm_kind_of (const TPM2B_PUBLIC *public, CmkResidentKind *ret_kind);
