/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical form of an EncryptionContext, which the ciphertext authenticates: pairs sorted by name, everything
 * length-prefixed, so that order does not matter and no two contexts share a form. An empty one is zero bytes. */
#pragma once

#include <glib.h>

typedef struct
{
  const char *name;
  const char *value;
} CmkEncryptionContextPair;

/* @pairs (sorted in place) are valid UTF-8. CMK_ERROR_INVALID_PARAMETER for an empty name, a name twice, or more than
 * CMKD_MAX_CONTEXT_BYTES; @option is the name of the option in the message. */
GBytes *cmk_encryption_context_encode (CmkEncryptionContextPair *pairs, gsize n_pairs, const char *option,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
