/* SPDX-License-Identifier: Apache-2.0
 *
 * The forms that keys come in: PKCS#8 PrivateKeyInfo (RFC 5208) with RSAPrivateKey (RFC 8017) or ECPrivateKey (RFC
 * 5915) inside, and SubjectPublicKeyInfo (RFC 5280). Read by hand, because OpenSSL copies a private key to ordinary
 * heap on the way, takes curves from two places of it, and needs a hundred microseconds for a public one. Only DER is
 * taken: one key, one form. Inside this room only. */
#pragma once

#include "base/spec.h"
#include "crypto/openssl.h"

/* In the order of RSAPrivateKey. */
typedef enum
{
  CMK_RSA_N,
  CMK_RSA_E,
  CMK_RSA_D,
  CMK_RSA_P,
  CMK_RSA_Q,
  CMK_RSA_DP,
  CMK_RSA_DQ,
  CMK_RSA_QINV,
  CMK_RSA_N_NUMBERS
} CmkRsaNumber;

/* What a spec is to OpenSSL and to standards. */
typedef struct
{
  CmkKeySpec spec; /* the three of RSA share one form, which is that of RSA_2048 */
  const char *type;
  int curve;         /* NID; 0 for RSA, and so on */
  gsize scalar_size; /* and of a coordinate */
  gsize identifier_size;
  guint8 identifier[19]; /* contents of the AlgorithmIdentifier */
} CmkKeyForm;

/* Of an asymmetric @spec. */
const CmkKeyForm *cmk_key_form (CmkKeySpec spec);

/* Point @ret_numbers at the numbers of the RSA key in @pkcs8: big-endian, not negative, of any size. FALSE if it is
 * something else. */
gboolean cmk_pkcs8_read_rsa (const CmkSecret *pkcs8, CmkPart ret_numbers[CMK_RSA_N_NUMBERS]) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a key on the curve of @form. The size of @ret_point is 0 if there is none. */
gboolean cmk_pkcs8_read_ec (const CmkKeyForm *form, const CmkSecret *pkcs8, CmkPart *ret_scalar,
                            CmkPart *ret_point) G_GNUC_WARN_UNUSED_RESULT;

/* The public key that cmk_private_key_public_der() wrote; CMK_ERROR_STATE_CORRUPTED if @der is none. */
EVP_PKEY *cmk_public_key_load (GBytes *der, GError **error) G_GNUC_WARN_UNUSED_RESULT;
