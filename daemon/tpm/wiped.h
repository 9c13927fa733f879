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
wipe_data (TPM2B_DATA *data)
{
  explicit_bzero (data, sizeof *data);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_DATA, wipe_data)

static inline void
wipe_rsa (TPM2B_PUBLIC_KEY_RSA *number)
{
  explicit_bzero (number, sizeof *number);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_PUBLIC_KEY_RSA, wipe_rsa)

static inline void
free_rsa (TPM2B_PUBLIC_KEY_RSA *number)
{
  wipe_rsa (number);
  Esys_Free (number);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TPM2B_PUBLIC_KEY_RSA, free_rsa)

static inline void
free_digest (TPM2B_DIGEST *digest)
{
  explicit_bzero (digest, sizeof *digest);
  Esys_Free (digest);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TPM2B_DIGEST, free_digest)

static inline void
free_sensitive_data (TPM2B_SENSITIVE_DATA *data)
{
  explicit_bzero (data, sizeof *data);
  Esys_Free (data);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TPM2B_SENSITIVE_DATA, free_sensitive_data)
