/* SPDX-License-Identifier: Apache-2.0
 *
 * What tpm2-tss wants a secret in, or gives it in: wiped when it goes out of scope. */
#pragma once

#include <glib.h>
#include <string.h>
#include <tss2/tss2_esys.h>

static inline void
wipe_sensitive_create (TPM2B_SENSITIVE_CREATE *sensitive)
{
  explicit_bzero (sensitive, sizeof *sensitive);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_SENSITIVE_CREATE, wipe_sensitive_create)

static inline void
wipe_buffer (TPM2B_MAX_BUFFER *buffer)
{
  explicit_bzero (buffer, sizeof *buffer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_MAX_BUFFER, wipe_buffer)

static inline void
free_sensitive_data (TPM2B_SENSITIVE_DATA *data)
{
  explicit_bzero (data, sizeof *data);
  Esys_Free (data);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TPM2B_SENSITIVE_DATA, free_sensitive_data)
