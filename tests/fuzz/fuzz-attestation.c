/* SPDX-License-Identifier: Apache-2.0
 *
 * What cmkctl reads of an attestation, which comes from a machine that it does not trust yet. */
#include "fuzz.h"

#include "attestation.h"

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  return 0;
}

static void
take_buffer (FuzzInput *input, CmkBuffer *ret_buffer)
{
  g_autoptr (GBytes) bytes = fuzz_take_bytes (input);
  gsize size = g_bytes_get_size (bytes);
  *ret_buffer = (CmkBuffer) { .data = g_malloc (MAX (size, 1)), .size = size, .capacity = size };
  if (size > 0)
    memcpy (ret_buffer->data, g_bytes_get_data (bytes, NULL), size);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FuzzInput input = { data, size };
  CmkAttestation attestation = { .trust = NULL };
  CmkFindings findings = { 0 };
  for (gsize i = 0; i < CMK_ATTESTED_PARTS; i++)
    take_buffer (&input, &attestation.parts[i]);
  take_buffer (&input, &attestation.nonce);
  take_buffer (&input, &attestation.known_signer);
  take_buffer (&input, &attestation.secret);

  const char *problem = cmk_attestation_module.verify (&attestation, &findings);
  g_assert_true (problem == NULL || (findings.modulus_bits == 0 && !findings.is_known_signer));

  for (gsize i = 0; i < CMK_ATTESTED_PARTS; i++)
    g_free (attestation.parts[i].data);
  g_free (attestation.nonce.data);
  g_free (attestation.known_signer.data);
  g_free (attestation.secret.data);
  return 0;
}
