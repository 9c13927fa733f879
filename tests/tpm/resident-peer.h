/* SPDX-License-Identifier: Apache-2.0
 *
 * The other side of resident keys: OpenSSL makes keys to import, and checks what the TPM does with keys. */
#pragma once

#include "tpm/resident-key.h"

#include <openssl/evp.h>

typedef struct
{
  EVP_PKEY *key; /* NULL for HMAC */
  CmkResidentPublic public;
  CmkSecret *secret; /* prime, scalar or HMAC key */
} PeerKey;

/* A new one. @exponent is for RSA. */
void peer_key_make (PeerKey *peer, CmkResidentKind kind, guint32 exponent);
void peer_key_clear (PeerKey *peer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PeerKey, peer_key_clear)

/* CmkInnerWrap */
GBytes *peer_wrap (const CmkSecret *key, const CmkSecret *sensitive, GBytes *name, GError **error);

/* The public operation, without padding: the inverse of cmk_tpm_resident_rsa(). */
GBytes *peer_rsa_public (const CmkResidentPublic *public, const guint8 *input, gsize size);

/* Is r || s a signature of @digest? */
gboolean peer_verifies (const CmkResidentPublic *public, const guint8 *digest, gsize size, const guint8 *signature);

gsize peer_size (CmkResidentKind kind); /* of MAC, modulus or order */
GChecksumType peer_hash (CmkResidentKind kind);
