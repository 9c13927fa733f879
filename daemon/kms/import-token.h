/* SPDX-License-Identifier: Apache-2.0
 *
 * The import token: what GetParametersForImport hands out and ImportKeyMaterial takes back. It holds no secret; a MAC
 * under a key of the store makes it ours. */
#pragma once

#include "base/secret.h"
#include "base/spec.h"
#include "base/uuid.h"
#include "crypto/crypto.h"

#define CMK_IMPORT_TOKEN_SIZE 150 /* bytes: 200 Base64 characters, the least that seed 001 takes */

typedef struct
{
  CmkUuid store_id;
  CmkUuid set_id;
  CmkUuid key_id;
  guint8 public_key_digest[CMK_DIGEST_SIZE]; /* SHA-256 of the DER SubjectPublicKeyInfo */
  CmkWrappingAlgorithm algorithm;
  CmkWrappingKeySpec wrapping_spec;
  guint32 uid; /* who asked */
  gint64 issued_at;
  gint64 expires_at;
} CmkImportToken;

GBytes *cmk_import_token_encode (const CmkImportToken *token, const CmkSecret *key,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The ids and the expiry: all else stands in the import parameter set as well. CMK_ERROR_INVALID_IMPORT_TOKEN unless
 * @encoded is genuine: nothing of it is looked at before its MAC was right. */
gboolean cmk_import_token_decode (GBytes *encoded, const CmkSecret *key, CmkImportToken *ret_token,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What ends later was issued in the future, by a clock that was put right since: it is no token of ours, and what
 * belongs to it is of no use. */
gint64 cmk_import_latest_expiry (gint64 now);

/* The one error of every token that is not good: altered, of another key, its pair destroyed. */
void cmk_import_token_refuse (GError **error);
