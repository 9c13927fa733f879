/* SPDX-License-Identifier: Apache-2.0
 *
 * The closed sets of the contract - key specs, usages, origins, wrapping algorithms and key specs - and their wire
 * names. Values are stored and authenticated: never renumber one. */
#pragma once

#include <glib.h>

typedef enum
{
  CMK_KEY_SPEC_AES_256 = 1,
  CMK_KEY_SPEC_SM4 = 2,
  CMK_KEY_SPEC_HMAC_256 = 3,
  CMK_KEY_SPEC_HMAC_384 = 4,
  CMK_KEY_SPEC_HMAC_512 = 5,
  CMK_KEY_SPEC_RSA_2048 = 6,
  CMK_KEY_SPEC_RSA_3072 = 7,
  CMK_KEY_SPEC_RSA_4096 = 8,
  CMK_KEY_SPEC_EC_P256 = 9,
  CMK_KEY_SPEC_EC_P384 = 10,
  CMK_KEY_SPEC_EC_P256K = 11,
  CMK_KEY_SPEC_EC_SM2 = 12,
} CmkKeySpec;

typedef enum
{
  CMK_KEY_USAGE_ENCRYPT_DECRYPT = 1,
  CMK_KEY_USAGE_SIGN_VERIFY = 2,
  CMK_KEY_USAGE_GENERATE_VERIFY_MAC = 3,
} CmkKeyUsage;

typedef enum
{
  CMK_ORIGIN_CMKD_KMS = 1,
  CMK_ORIGIN_EXTERNAL = 2,
} CmkOrigin;

typedef enum
{
  CMK_PROTECTION_LEVEL_SOFTWARE = 1,
  CMK_PROTECTION_LEVEL_TPM = 2,
} CmkProtectionLevel;

typedef enum
{
  CMK_KEY_STATE_ENABLED = 1,
  CMK_KEY_STATE_DISABLED = 2,
  CMK_KEY_STATE_PENDING_IMPORT = 3,
  CMK_KEY_STATE_PENDING_DELETION = 4,
} CmkKeyState;

typedef enum
{
  CMK_WRAPPING_RSAES_PKCS1_V1_5 = 1,
  CMK_WRAPPING_RSAES_OAEP_SHA_1 = 2,
  CMK_WRAPPING_RSAES_OAEP_SHA_256 = 3,
  CMK_WRAPPING_SM2PKE = 4,
  CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1 = 5,
  CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256 = 6,
  CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD = 7,
  CMK_WRAPPING_SM2PKE_SM4_ECB = 8,
} CmkWrappingAlgorithm;

typedef enum
{
  CMK_WRAPPING_KEY_RSA_2048 = 1,
  CMK_WRAPPING_KEY_RSA_3072 = 2,
  CMK_WRAPPING_KEY_RSA_4096 = 3,
  CMK_WRAPPING_KEY_EC_SM2 = 4,
} CmkWrappingKeySpec;

/* What is done with a key, one bit each: a set of them is what a grant gives. A method that works on two keys is two
 * operations. */
typedef enum
{
  CMK_OPERATION_DESCRIBE_KEY = 1 << 0,
  CMK_OPERATION_GET_PUBLIC_KEY = 1 << 1,
  CMK_OPERATION_ENCRYPT = 1 << 2,
  CMK_OPERATION_DECRYPT = 1 << 3,
  CMK_OPERATION_RE_ENCRYPT_FROM = 1 << 4,
  CMK_OPERATION_RE_ENCRYPT_TO = 1 << 5,
  CMK_OPERATION_GENERATE_DATA_KEY = 1 << 6,
  CMK_OPERATION_GENERATE_DATA_KEY_WITHOUT_PLAINTEXT = 1 << 7,
  CMK_OPERATION_SIGN = 1 << 8,
  CMK_OPERATION_VERIFY = 1 << 9,
  CMK_OPERATION_ASYMMETRIC_ENCRYPT = 1 << 10,
  CMK_OPERATION_ASYMMETRIC_DECRYPT = 1 << 11,
  CMK_OPERATION_GENERATE_MAC = 1 << 12,
  CMK_OPERATION_VERIFY_MAC = 1 << 13,
  CMK_OPERATION_GET_PARAMETERS_FOR_IMPORT = 1 << 14,
  CMK_OPERATION_IMPORT_KEY_MATERIAL = 1 << 15,
  CMK_OPERATION_DELETE_KEY_MATERIAL = 1 << 16,
  CMK_OPERATION_ENABLE_KEY = 1 << 17,
  CMK_OPERATION_DISABLE_KEY = 1 << 18,

  /* Whatever else is done with a key: its owner's (and root's), never granted. */
  CMK_OPERATION_OWNER_ONLY = 1 << 30,
} CmkOperation;

/* One member of a set and its wire name; a set ends with a NULL name. */
typedef struct
{
  int value;
  const char *name;
} CmkSpecName;

/* The bit of a key spec in a set of them. */
#define CMK_KEY_SPEC_BIT(spec) (1U << (spec))

extern const CmkSpecName cmk_key_specs[];
extern const CmkSpecName cmk_key_usages[];
extern const CmkSpecName cmk_origins[];
extern const CmkSpecName cmk_protection_levels[];
extern const CmkSpecName cmk_key_states[];
extern const CmkSpecName cmk_wrapping_algorithms[];
extern const CmkSpecName cmk_wrapping_key_specs[];
/* Those that can be granted. */
extern const CmkSpecName cmk_operations[];

/* The wire name of @value, or NULL if @set has no such member. */
const char *cmk_spec_name (const CmkSpecName *set, int value);

/* FALSE, leaving @ret_value alone, if @set has no member called @name. */
gboolean cmk_spec_parse (const CmkSpecName *set, const char *name, int *ret_value);

/* "A, B or C": what an error message lists as allowed. */
char *cmk_spec_list (const CmkSpecName *set);

/* Bytes of the material of a symmetric @spec (seed 000: AES_256 256 bits, SM4 128 bits; HMAC_n n bits); 0 for the
 * asymmetric ones. */
gsize cmk_key_spec_material_bytes (CmkKeySpec spec);

/* RSA or EC: its material is a private key. */
gboolean cmk_key_spec_is_asymmetric (CmkKeySpec spec);

/* Bits of the modulus; 0 for what is not RSA. */
guint cmk_key_spec_rsa_bits (CmkKeySpec spec);

/* What the contract gives a key of @spec whose creator names no usage. */
CmkKeyUsage cmk_key_spec_default_usage (CmkKeySpec spec);

gboolean cmk_key_spec_supports_usage (CmkKeySpec spec, CmkKeyUsage usage);

/* The spec of the wrapping pair itself. */
CmkKeySpec cmk_wrapping_key_spec_key (CmkWrappingKeySpec spec);

/* Do the two go together (design 1.4)? */
gboolean cmk_wrapping_algorithm_fits (CmkWrappingAlgorithm algorithm, CmkWrappingKeySpec spec);

/* Is there a way to wrap material of @spec by it? The two forms of Alibaba's carry private keys only, and
 * SM2PKE_SM4_ECB, which has room for a bare scalar, those of EC_SM2 only. */
gboolean cmk_wrapping_algorithm_carries (CmkWrappingAlgorithm algorithm, CmkKeySpec spec);
