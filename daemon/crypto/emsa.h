/* SPDX-License-Identifier: Apache-2.0
 *
 * The encodings of a digest that RSA signs (RFC 8017, 9), for keys whose holder knows the bare operation only. Of
 * SHA-256, SHA-384 and SHA-512. Inside this room only. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>

/* EMSA-PSS into @ret_block, which is as long as the modulus, whose bits are a multiple of 8: MGF1 with @hash, and a
 * salt as long as the digest. */
gboolean cmk_emsa_pss (const EVP_MD *hash, const guint8 *digest, guint8 *ret_block, gsize block_size,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* EMSA-PKCS1-v1_5, the same. */
void cmk_emsa_pkcs1 (const guint8 *digest, gsize digest_size, guint8 *ret_block, gsize block_size);
