/* SPDX-License-Identifier: Apache-2.0
 *
 * noDA and no authorisation value, as for sealed objects. An RSA key may decrypt and has no scheme: raw RSA is
 * TPM2_RSA_Decrypt, for signatures, too. An EC key may sign, with one scheme. No key has a policy, so that none can
 * leave the TPM by TPM2_Duplicate even without fixedTPM: part 3 gives that command the role DUP, which only a policy
 * can fill. */
#include "tpm/resident-kind.h"

static const CmkTpmKindTraits traits[] = {
  [CMK_RESIDENT_HMAC_SHA256] = { .name = "HMAC with SHA-256",
                                 .type = TPM2_ALG_KEYEDHASH,
                                 .hash = TPM2_ALG_SHA256,
                                 .size = 32 },
  [CMK_RESIDENT_HMAC_SHA384] = { .name = "HMAC with SHA-384",
                                 .type = TPM2_ALG_KEYEDHASH,
                                 .hash = TPM2_ALG_SHA384,
                                 .size = 48 },
  [CMK_RESIDENT_HMAC_SHA512] = { .name = "HMAC with SHA-512",
                                 .type = TPM2_ALG_KEYEDHASH,
                                 .hash = TPM2_ALG_SHA512,
                                 .size = 64 },
  [CMK_RESIDENT_RSA_2048] = { .name = "RSA with 2048 bits", .type = TPM2_ALG_RSA, .bits = 2048, .size = 256 },
  [CMK_RESIDENT_RSA_3072] = { .name = "RSA with 3072 bits", .type = TPM2_ALG_RSA, .bits = 3072, .size = 384 },
  [CMK_RESIDENT_EC_P256] = { .name = "ECDSA on P-256",
                             .type = TPM2_ALG_ECC,
                             .hash = TPM2_ALG_SHA256,
                             .curve = TPM2_ECC_NIST_P256,
                             .size = 32 },
  [CMK_RESIDENT_EC_P384] = { .name = "ECDSA on P-384",
                             .type = TPM2_ALG_ECC,
                             .hash = TPM2_ALG_SHA384,
                             .curve = TPM2_ECC_NIST_P384,
                             .size = 48 },
};

const CmkTpmKindTraits *
cmk_tpm_kind_traits (CmkResidentKind kind)
{
  return &traits[kind];
}

static gboolean
is_of (const TPMT_PUBLIC *area, const CmkTpmKindTraits *kind)
{
  if (area->type != kind->type)
    return FALSE;
  if (kind->type == TPM2_ALG_RSA)
    return area->parameters.rsaDetail.keyBits == kind->bits;
  if (kind->type == TPM2_ALG_ECC)
    return area->parameters.eccDetail.curveID == kind->curve;
  return area->parameters.keyedHashDetail.scheme.scheme == TPM2_ALG_HMAC &&
         area->parameters.keyedHashDetail.scheme.details.hmac.hashAlg == kind->hash;
}

gboolean
cmk_tpm_kind_of (const TPM2B_PUBLIC *public, CmkResidentKind *ret_kind)
{
  for (gsize i = 0; i < G_N_ELEMENTS (traits); i++)
    if (is_of (&public->publicArea, &traits[i]))
      {
        *ret_kind = (CmkResidentKind) i;
        return TRUE;
      }
  return FALSE;
}

void
cmk_tpm_resident_template (CmkResidentKind kind, TPM2B_PUBLIC *ret_template)
{
  const CmkTpmKindTraits *wanted = &traits[kind];
  TPMA_OBJECT use = wanted->type == TPM2_ALG_RSA ? TPMA_OBJECT_DECRYPT : TPMA_OBJECT_SIGN_ENCRYPT;
  *ret_template = (TPM2B_PUBLIC) {
    .publicArea = { .type = wanted->type,
                    .nameAlg = TPM2_ALG_SHA256,
                    .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                        TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                                        use },
  };
  TPMU_PUBLIC_PARMS *parameters = &ret_template->publicArea.parameters;
  if (wanted->type == TPM2_ALG_RSA)
    parameters->rsaDetail = (TPMS_RSA_PARMS) { .symmetric.algorithm = TPM2_ALG_NULL,
                                               .scheme.scheme = TPM2_ALG_NULL,
                                               .keyBits = wanted->bits };
  else if (wanted->type == TPM2_ALG_ECC)
    parameters->eccDetail =
        (TPMS_ECC_PARMS) { .symmetric.algorithm = TPM2_ALG_NULL,
                           .scheme = { .scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = wanted->hash },
                           .curveID = wanted->curve,
                           .kdf.scheme = TPM2_ALG_NULL };
  else
    parameters->keyedHashDetail.scheme =
        (TPMT_KEYEDHASH_SCHEME) { .scheme = TPM2_ALG_HMAC, .details.hmac.hashAlg = wanted->hash };
}
