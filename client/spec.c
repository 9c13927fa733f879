/* SPDX-License-Identifier: Apache-2.0 */
#include "spec.h"

#include <string.h>

static const CmkSpec specs[] = {
  { "AES_256", CMK_MATERIAL_RAW, 32, { 0 } },
  { "SM4", CMK_MATERIAL_RAW, 16, { 0 } },
  { "HMAC_256", CMK_MATERIAL_RAW, 32, { [CMK_USE_MAC] = "HMAC_SHA_256" } },
  { "HMAC_384", CMK_MATERIAL_RAW, 48, { [CMK_USE_MAC] = "HMAC_SHA_384" } },
  { "HMAC_512", CMK_MATERIAL_RAW, 64, { [CMK_USE_MAC] = "HMAC_SHA_512" } },
  { "RSA_2048", CMK_MATERIAL_RSA, 0, { "RSA_PSS_SHA_256", "RSAES_OAEP_SHA_256", NULL } },
  { "RSA_3072", CMK_MATERIAL_RSA, 0, { "RSA_PSS_SHA_256", "RSAES_OAEP_SHA_256", NULL } },
  { "RSA_4096", CMK_MATERIAL_RSA, 0, { "RSA_PSS_SHA_256", "RSAES_OAEP_SHA_256", NULL } },
  { "EC_P256", CMK_MATERIAL_EC, 0, { [CMK_USE_SIGN] = "ECDSA_SHA_256" } },
  { "EC_P384", CMK_MATERIAL_EC, 0, { [CMK_USE_SIGN] = "ECDSA_SHA_384" } },
  { "EC_P256K", CMK_MATERIAL_EC, 0, { [CMK_USE_SIGN] = "ECDSA_SHA_256" } },
  { "EC_SM2", CMK_MATERIAL_SM2, 0, { "SM2DSA", "SM2PKE", NULL } },
};

const CmkSpec *
cmk_spec_find (const char *name)
{
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
    if (strcmp (specs[i].name, name) == 0)
      return &specs[i];
  return NULL;
}

/* Of what a wrapping key can carry in one piece, the strongest form; the PKCS#8 of an RSA key needs one with a
 * cipher. */
const char *
cmk_spec_wrapping_algorithm (CmkMaterialKind kind, bool is_under_sm2)
{
  if (is_under_sm2)
    return kind == CMK_MATERIAL_SM2 ? "SM2PKE_SM4_ECB" : "SM2PKE";
  return kind == CMK_MATERIAL_RAW ? "RSAES_OAEP_SHA_256" : "RSA_AES_KEY_WRAP_SHA_256";
}
