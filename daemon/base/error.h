/* SPDX-License-Identifier: Apache-2.0
 *
 * The one error domain of the daemon. Its codes are the errors of the D-Bus contract (include/cmkd.h); every
 * library's failures are translated to it at that library's door. Messages are read by people: they name what is
 * wrong and what to do next, and never hold a secret or unchecked input. */
#pragma once

#include <glib.h>

typedef enum
{
  CMK_ERROR_INVALID_PARAMETER,
  CMK_ERROR_KEY_NOT_FOUND,
  CMK_ERROR_KEY_ALREADY_EXISTS,
  CMK_ERROR_ALIAS_NOT_FOUND,
  CMK_ERROR_ALIAS_ALREADY_EXISTS,
  CMK_ERROR_NOT_EXTERNAL_KEY,
  CMK_ERROR_UNSUPPORTED_OPERATION,
  CMK_ERROR_KEY_DISABLED,
  CMK_ERROR_KEY_PENDING_IMPORT,
  CMK_ERROR_KEY_PENDING_DELETION,
  CMK_ERROR_STATE_NOT_ALLOWED,
  CMK_ERROR_INVALID_IMPORT_TOKEN,
  CMK_ERROR_EXPIRED_IMPORT_TOKEN,
  CMK_ERROR_INCORRECT_KEY_MATERIAL,
  CMK_ERROR_MATERIAL_MISMATCH,
  CMK_ERROR_INVALID_CIPHERTEXT,
  CMK_ERROR_LIMIT_EXCEEDED,
  CMK_ERROR_THROTTLED,
  CMK_ERROR_ACCESS_DENIED,
  CMK_ERROR_TPM_UNAVAILABLE,
  CMK_ERROR_TPM_CHANGED,
  CMK_ERROR_TPM_LOCKOUT,
  CMK_ERROR_STATE_CORRUPTED,
  CMK_ERROR_ROLLBACK_DETECTED,
  CMK_ERROR_STORAGE_FULL,
  CMK_ERROR_STORAGE_FAILURE,
  CMK_ERROR_INTERNAL,
  CMK_N_ERRORS
} CmkError;

#define CMK_ERROR (cmk_error_quark ())

GQuark cmk_error_quark (void);

/* The contract's name of @code, without the prefix: "InvalidParameter". Static. */
const char *cmk_error_name (CmkError code);
