/* SPDX-License-Identifier: Apache-2.0 */
#include "base/algorithm.h"

#include "cmkd.h"

const CmkSpecName cmk_signing_algorithms[] = {
  { CMK_SIGNING_RSA_PSS_SHA_256, "RSA_PSS_SHA_256" },
  { CMK_SIGNING_RSA_PSS_SHA_384, "RSA_PSS_SHA_384" },
  { CMK_SIGNING_RSA_PSS_SHA_512, "RSA_PSS_SHA_512" },
  { CMK_SIGNING_RSA_PKCS1_SHA_256, "RSA_PKCS1_SHA_256" },
  { CMK_SIGNING_RSA_PKCS1_SHA_384, "RSA_PKCS1_SHA_384" },
  { CMK_SIGNING_RSA_PKCS1_SHA_512, "RSA_PKCS1_SHA_512" },
  { CMK_SIGNING_ECDSA_SHA_256, "ECDSA_SHA_256" },
  { CMK_SIGNING_ECDSA_SHA_384, "ECDSA_SHA_384" },
  { CMK_SIGNING_SM2DSA, "SM2DSA" },
  { 0, NULL },
};

const CmkSpecName cmk_encryption_algorithms[] = {
  { CMK_ENCRYPTION_RSAES_OAEP_SHA_1, "RSAES_OAEP_SHA_1" },
  { CMK_ENCRYPTION_RSAES_OAEP_SHA_256, "RSAES_OAEP_SHA_256" },
  { CMK_ENCRYPTION_SM2PKE, "SM2PKE" },
  { 0, NULL },
};

const CmkSpecName cmk_mac_algorithms[] = {
  { CMK_MAC_HMAC_SHA_256, "HMAC_SHA_256" },
  { CMK_MAC_HMAC_SHA_384, "HMAC_SHA_384" },
  { CMK_MAC_HMAC_SHA_512, "HMAC_SHA_512" },
  { 0, NULL },
};

const CmkSpecName cmk_message_types[] = {
  { CMK_MESSAGE_RAW, "RAW" },
  { CMK_MESSAGE_DIGEST, "DIGEST" },
  { 0, NULL },
};

#define RSA_SPECS                                                                                                      \
  (CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_RSA_2048) | CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_RSA_3072) |                               \
   CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_RSA_4096))

guint
cmk_signing_algorithm_specs (CmkSigningAlgorithm algorithm)
{
  switch (algorithm)
    {
    case CMK_SIGNING_ECDSA_SHA_256:
      return CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_EC_P256) | CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_EC_P256K);
    case CMK_SIGNING_ECDSA_SHA_384:
      return CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_EC_P384);
    case CMK_SIGNING_SM2DSA:
      return CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_EC_SM2);
    default:
      return RSA_SPECS;
    }
}

guint
cmk_encryption_algorithm_specs (CmkEncryptionAlgorithm algorithm)
{
  return algorithm == CMK_ENCRYPTION_SM2PKE ? CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_EC_SM2) : RSA_SPECS;
}

guint
cmk_mac_algorithm_specs (CmkMacAlgorithm algorithm)
{
  switch (algorithm)
    {
    case CMK_MAC_HMAC_SHA_384:
      return CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_HMAC_384);
    case CMK_MAC_HMAC_SHA_512:
      return CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_HMAC_512);
    default:
      return CMK_KEY_SPEC_BIT (CMK_KEY_SPEC_HMAC_256);
    }
}

gsize
cmk_signing_algorithm_digest_bytes (CmkSigningAlgorithm algorithm)
{
  switch (algorithm)
    {
    case CMK_SIGNING_RSA_PSS_SHA_512:
    case CMK_SIGNING_RSA_PKCS1_SHA_512:
      return 64;
    case CMK_SIGNING_RSA_PSS_SHA_384:
    case CMK_SIGNING_RSA_PKCS1_SHA_384:
    case CMK_SIGNING_ECDSA_SHA_384:
      return 48;
    default:
      return 32;
    }
}

gsize
cmk_encryption_algorithm_max_plaintext (CmkEncryptionAlgorithm algorithm, CmkKeySpec spec)
{
  gsize modulus_bytes = cmk_key_spec_rsa_bits (spec) / 8;
  switch (algorithm)
    {
    case CMK_ENCRYPTION_RSAES_OAEP_SHA_1:
      return modulus_bytes - 2 * 20 - 2;
    case CMK_ENCRYPTION_RSAES_OAEP_SHA_256:
      return modulus_bytes - 2 * 32 - 2;
    default:
      return CMKD_MAX_SM2_PLAINTEXT_BYTES;
    }
}
