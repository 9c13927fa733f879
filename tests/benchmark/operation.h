/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call cannot do without: the operation itself, by libcrypto alone, with the same key and message. */
#pragma once

#include <glib.h>

typedef struct _Operation Operation;

/* @words: METHOD, ALGORITHM, the file of the key (PKCS#8 DER; of an HMAC the bytes), and in Base64 the message and what
 * comes with it: signature or nothing. METHOD and ALGORITHM as in the contract. NULL-terminated. */
Operation *operation_new (char **words);
void operation_free (Operation *operation);

/* Whatever fails ends the program. */
void operation_run (const Operation *operation);
