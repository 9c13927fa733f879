/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys that are used inside the TPM only: what the daemon has of them is a blob that no other TPM opens. Each function
 * is for one call, in its session; a blob is as of cmk_tpm_seal(), noDA and without an authorisation value. Worker
 * thread only. */
#pragma once

#include "tpm/session.h"

typedef enum
{
  CMK_RESIDENT_HMAC_SHA256,
  CMK_RESIDENT_HMAC_SHA384,
  CMK_RESIDENT_HMAC_SHA512,
  CMK_RESIDENT_RSA_2048,
  CMK_RESIDENT_RSA_3072,
  CMK_RESIDENT_EC_P256,
  CMK_RESIDENT_EC_P384,
} CmkResidentKind;

#define CMK_RESIDENT_MAX_MAC 64
#define CMK_RESIDENT_MAX_RSA 384

/* Can the TPM hold and use keys of @kind? Asked once for a connection, when first needed. Else
 * CMK_ERROR_UNSUPPORTED_OPERATION, saying which command, algorithm or curve it lacks; other errors if it cannot be
 * asked. */
gboolean cmk_tpm_can_hold (CmkTpm *tpm, CmkResidentKind kind, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for wrapping keys of the RSA @kind, made inside and certified by an attestation key. */
gboolean cmk_tpm_can_attest (CmkTpm *tpm, CmkResidentKind kind, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The public half of an RSA or EC key. Numbers are big-endian and as long as modulus or field. */
typedef struct
{
  CmkResidentKind kind;
  GBytes *modulus;  /* RSA */
  guint32 exponent; /* RSA */
  GBytes *x;        /* EC */
  GBytes *y;        /* EC */
} CmkResidentPublic;

void cmk_resident_public_clear (CmkResidentPublic *public);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkResidentPublic, cmk_resident_public_clear)

/* That of the key in @blob. No TPM command. CMK_ERROR_STATE_CORRUPTED. */
gboolean cmk_tpm_resident_public (GBytes *blob, CmkResidentPublic *ret_public,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Put @key, of any length up to that of the hash's block, into the TPM (TPM2_Create; encrypted on the way by the
 * session). */
GBytes *cmk_tpm_resident_import_hmac (CmkTpmSession *session, CmkResidentKind kind, const CmkSecret *key,
                                      CmkTpmPlace place, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TPM 2.0 part 1, "Inner duplication wrapper": AES-128-CFB under @key with a zero IV of size (2) || SHA-256
 * (@sensitive || @name) || @sensitive. The session encrypts the first parameter of TPM2_Import only, which is @key, so
 * that this is what hides the key on the bus. */
typedef GBytes *(*CmkInnerWrap) (const CmkSecret *key, const CmkSecret *sensitive, GBytes *name, GError **error);

/* Put a private key into the TPM (TPM2_Import). @secret: one prime of the RSA key, or the scalar of the EC key, as
 * long as half the modulus or the order; not every TPM checks that it belongs to @public. @inner_key: 16 random bytes.
 * CMK_ERROR_UNSUPPORTED_OPERATION for what the TPM does not take (an RSA exponent of its own, say). */
GBytes *cmk_tpm_resident_import_private (CmkTpmSession *session, const CmkResidentPublic *public,
                                         const CmkSecret *secret, const CmkSecret *inner_key, CmkInnerWrap wrap,
                                         CmkTpmPlace place, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Have the TPM make a key that nobody has ever seen. RSA may take it a minute. */
GBytes *cmk_tpm_resident_generate (CmkTpmSession *session, CmkResidentKind kind, CmkTpmPlace place,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- use: with @cache_name as of cmk_tpm_unseal() --- */

/* HMAC of a message of any size; *ret_mac as long as the hash. At most two objects are loaded: the key and, for more
 * than 1024 bytes, a sequence. */
gboolean cmk_tpm_resident_hmac (CmkTpmSession *session, GBytes *blob, const char *cache_name, CmkResidentKind kind,
                                const guint8 *message, gsize size, CmkTpmPlace place,
                                guint8 ret_mac[CMK_RESIDENT_MAX_MAC], GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @input to the private exponent, without any padding, both as long as the modulus (TPM2_RSA_Decrypt with
 * TPM_ALG_NULL): every scheme with every hash is made from it, and no padding error of the TPM can be an oracle.
 * @input is less than the modulus. */
gboolean cmk_tpm_resident_rsa (CmkTpmSession *session, GBytes *blob, const char *cache_name, const guint8 *input,
                               gsize size, CmkTpmPlace place, guint8 ret_output[CMK_RESIDENT_MAX_RSA],
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ECDSA of a digest of SHA-256 (P-256) or SHA-384 (P-384): r || s, each as long as the order. */
gboolean cmk_tpm_resident_ecdsa (CmkTpmSession *session, GBytes *blob, const char *cache_name, const guint8 *digest,
                                 gsize size, CmkTpmPlace place, guint8 *ret_signature,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
