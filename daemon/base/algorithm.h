/* SPDX-License-Identifier: Apache-2.0
 *
 * What a key can be used for and how: signing, asymmetric encryption and MAC algorithms, and the key specs that each
 * goes with. One spec has one curve or one length, and an algorithm that is not made for it is never stretched: a
 * SHA-256 digest is signed with P-256, not with P-384, and an HMAC_384 key makes HMAC-SHA-384 only. Never on disk. */
#pragma once

#include "base/spec.h"

typedef enum
{
  CMK_SIGNING_RSA_PSS_SHA_256 = 1, /* MGF1 hash = hash, salt as long as the digest */
  CMK_SIGNING_RSA_PSS_SHA_384,
  CMK_SIGNING_RSA_PSS_SHA_512,
  CMK_SIGNING_RSA_PKCS1_SHA_256,
  CMK_SIGNING_RSA_PKCS1_SHA_384,
  CMK_SIGNING_RSA_PKCS1_SHA_512,
  CMK_SIGNING_ECDSA_SHA_256, /* EC_P256, EC_P256K */
  CMK_SIGNING_ECDSA_SHA_384, /* EC_P384 */
  CMK_SIGNING_SM2DSA,        /* with SM3 and the default user id 1234567812345678 */
} CmkSigningAlgorithm;

typedef enum
{
  CMK_ENCRYPTION_RSAES_OAEP_SHA_1 = 1, /* MGF1 hash = hash, empty label */
  CMK_ENCRYPTION_RSAES_OAEP_SHA_256,
  CMK_ENCRYPTION_SM2PKE, /* with SM3 */
} CmkEncryptionAlgorithm;

typedef enum
{
  CMK_MAC_HMAC_SHA_256 = 1,
  CMK_MAC_HMAC_SHA_384,
  CMK_MAC_HMAC_SHA_512,
} CmkMacAlgorithm;

typedef enum
{
  CMK_MESSAGE_RAW = 1,
  CMK_MESSAGE_DIGEST,
} CmkMessageType;

extern const CmkSpecName cmk_signing_algorithms[];
extern const CmkSpecName cmk_encryption_algorithms[];
extern const CmkSpecName cmk_mac_algorithms[];
extern const CmkSpecName cmk_message_types[];

/* The specs that an algorithm goes with, as a set of CMK_KEY_SPEC_BIT(). */
guint cmk_signing_algorithm_specs (CmkSigningAlgorithm algorithm);
guint cmk_encryption_algorithm_specs (CmkEncryptionAlgorithm algorithm);
guint cmk_mac_algorithm_specs (CmkMacAlgorithm algorithm);

/* Bytes of the digest that @algorithm signs: what MessageType DIGEST takes. */
gsize cmk_signing_algorithm_digest_bytes (CmkSigningAlgorithm algorithm);

/* The longest plaintext in bytes: of RSA the modulus less two hashes and 2 (RFC 8017, 7.1.1), of SM2 what Alibaba
 * takes. */
gsize cmk_encryption_algorithm_max_plaintext (CmkEncryptionAlgorithm algorithm, CmkKeySpec spec);
