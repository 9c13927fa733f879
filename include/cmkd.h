/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire contract of cmkd: the names, errors and limits that the daemon, cmkctl and any other client share.
 * Plain C, no dependencies. What each method does is documented in dbus/org.cmkd.Kms1.xml. */
#pragma once

#define CMKD_BUS_NAME          "org.cmkd.Kms1"
#define CMKD_OBJECT_PATH       "/org/cmkd/Kms1"
#define CMKD_INTERFACE_KEYS    "org.cmkd.Kms1.Keys"
#define CMKD_INTERFACE_IMPORT  "org.cmkd.Kms1.Import"
#define CMKD_INTERFACE_CRYPTO  "org.cmkd.Kms1.Crypto"
#define CMKD_INTERFACE_SERVICE "org.cmkd.Kms1.Service"

/* Every error is CMKD_ERROR_PREFIX followed by one of these names. */
#define CMKD_ERROR_PREFIX                 "org.cmkd.Kms1.Error."
#define CMKD_ERROR_INVALID_PARAMETER      "InvalidParameter"
#define CMKD_ERROR_KEY_NOT_FOUND          "KeyNotFound"
#define CMKD_ERROR_KEY_ALREADY_EXISTS     "KeyAlreadyExists"
#define CMKD_ERROR_ALIAS_NOT_FOUND        "AliasNotFound"
#define CMKD_ERROR_ALIAS_ALREADY_EXISTS   "AliasAlreadyExists"
#define CMKD_ERROR_NOT_EXTERNAL_KEY       "NotExternalKey"
#define CMKD_ERROR_UNSUPPORTED_OPERATION  "UnsupportedOperation"
#define CMKD_ERROR_KEY_DISABLED           "KeyDisabled"
#define CMKD_ERROR_KEY_PENDING_IMPORT     "KeyPendingImport"
#define CMKD_ERROR_KEY_PENDING_DELETION   "KeyPendingDeletion"
#define CMKD_ERROR_STATE_NOT_ALLOWED      "StateNotAllowed"
#define CMKD_ERROR_INVALID_IMPORT_TOKEN   "InvalidImportToken"
#define CMKD_ERROR_EXPIRED_IMPORT_TOKEN   "ExpiredImportToken"
#define CMKD_ERROR_INCORRECT_KEY_MATERIAL "IncorrectKeyMaterial"
#define CMKD_ERROR_MATERIAL_MISMATCH      "MaterialMismatch"
#define CMKD_ERROR_INVALID_CIPHERTEXT     "InvalidCiphertext"
#define CMKD_ERROR_LIMIT_EXCEEDED         "LimitExceeded"
#define CMKD_ERROR_THROTTLED              "Throttled"
#define CMKD_ERROR_ACCESS_DENIED          "AccessDenied"
#define CMKD_ERROR_TPM_UNAVAILABLE        "TpmUnavailable"
#define CMKD_ERROR_TPM_CHANGED            "TpmChanged"
#define CMKD_ERROR_TPM_LOCKOUT            "TpmLockout"
#define CMKD_ERROR_STATE_CORRUPTED        "StateCorrupted"
#define CMKD_ERROR_ROLLBACK_DETECTED      "RollbackDetected"
#define CMKD_ERROR_STORAGE_FULL           "StorageFull"
#define CMKD_ERROR_STORAGE_FAILURE        "StorageFailure"
#define CMKD_ERROR_INTERNAL               "Internal"

#define CMKD_MAX_PLAINTEXT_BYTES             6144
#define CMKD_MAX_SM2_PLAINTEXT_BYTES         6047 /* of AsymmetricEncrypt by SM2PKE */
#define CMKD_MAX_ASYMMETRIC_CIPHERTEXT_BYTES 6192 /* 6144 of SM2PKE, and what its ASN.1 form adds */
#define CMKD_MAX_MESSAGE_BYTES               6144 /* to sign, verify or authenticate; sign the digest of what is longer */
#define CMKD_MAX_PRIVATE_KEY_CHARS           6144 /* EncryptedPrivateKey, Base64 characters, seed 001 */
#define CMKD_MAX_CONTEXT_BYTES               8192 /* names and values of an EncryptionContext together, UTF-8 */
#define CMKD_MAX_DATA_KEY_BYTES              1024
#define CMKD_MAX_DESCRIPTION_CHARS           8192
#define CMKD_ALIAS_PREFIX                    "alias/"
#define CMKD_MAX_ALIAS_CHARS                 255 /* after the prefix: A-Z, a-z, 0-9, _, / and - */
#define CMKD_MAX_ALIASES_PER_KEY             50
#define CMKD_MAX_TAG_NAME_CHARS              128
#define CMKD_MAX_TAG_VALUE_CHARS             256
#define CMKD_MAX_TAGS_PER_KEY                20
#define CMKD_MIN_PENDING_WINDOW_DAYS         7
#define CMKD_MAX_PENDING_WINDOW_DAYS         1096
#define CMKD_DEFAULT_PENDING_WINDOW_DAYS     30
#define CMKD_MIN_TOKEN_CHARS                 200  /* Base64 characters, seed 001 */
#define CMKD_MAX_TOKEN_CHARS                 6144 /* Base64 characters, seed 001 */
#define CMKD_MAX_LIST_LIMIT                  1000
#define CMKD_DEFAULT_LIST_LIMIT              100
#define CMKD_SEQUENCE_CHARS                  36
#define CMKD_MIN_NONCE_BYTES                 16 /* of an attested wrapping key */
#define CMKD_MAX_NONCE_BYTES                 64
#define CMKD_MAX_CREDENTIAL_CHARS            1024 /* Base64 characters */
#define CMKD_TOKEN_LIFETIME_SECONDS          (24 * 60 * 60)
#define CMKD_UNWRAP_FAILURE_BUDGET           8              /* failed unwraps after which a wrapping key is destroyed */
#define CMKD_LAST_SECOND                     253402300799LL /* 9999-12-31T23:59:59Z, the latest expiry taken */
