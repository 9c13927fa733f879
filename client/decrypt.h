/* SPDX-License-Identifier: Apache-2.0
 *
 * Ciphertext blobs, which may hold data or the data key of a file. */
#pragma once

#include "arguments.h"
#include "buffer.h"

/* Have the daemon decrypt the Base64 text @blob with the context of --context and, if it was given, --key. */
int cmk_decrypt (const CmkArguments *arguments, const CmkBuffer *blob, CmkValue *ret_answer);
