/* SPDX-License-Identifier: Apache-2.0
 *
 * What one cmkd leaves to the next in the kernel keyring, which any process of the same user may alter: the snapshot of
 * the TPM, the session and its state, and the note of what is loaded. Read before tpm2-tss sees it, which would trust
 * it. */
#include "fuzz.h"

#include "fake-tpm.h"
#include "tpm/internal.h"

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  g_assert_true (g_setenv ("TSS2_LOG", "all+NONE", TRUE));
  g_assert_true (cmk_secret_init (NULL));
  return 0;
}

static void
write_nothing (gpointer data G_GNUC_UNUSED, GBytes *note G_GNUC_UNUSED)
{
}

/* What was left is altered in a few places. */
static GBytes *
alter (FuzzInput *input, GBytes *bytes)
{
  gsize size;
  if (bytes == NULL)
    return NULL;
  guint8 *data = g_bytes_unref_to_data (bytes, &size);
  for (guint i = fuzz_take_choice (input, 8); i > 0 && size > 0; i--)
    {
      gsize at = (gsize) fuzz_take_number (input, 2) % size;
      data[at] ^= fuzz_take_byte (input);
    }
  return g_bytes_new_take (data, size);
}

static CmkTpmHandover *
leave (FuzzInput *nothing)
{
  fake_tpm_start (nothing);
  g_autoptr (CmkTpm) tpm = cmk_tpm_open ("fake", NULL);
  g_assert_nonnull (tpm);
  cmk_tpm_keep_sessions (tpm, 60);
  cmk_tpm_session_end (cmk_tpm_session_begin (tpm, NULL));
  CmkTpmHandover *handover = cmk_tpm_hand_over (tpm, 60);
  g_assert_nonnull (handover);
  return handover;
}

static CmkSecret *
take_secret (FuzzInput *input)
{
  g_autoptr (GBytes) bytes = fuzz_take_bytes (input);
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);
  return size > 0 ? cmk_secret_new_copy (data, size, NULL) : NULL;
}

static void
alter_state (FuzzInput *input, CmkSecret *state)
{
  for (guint i = fuzz_take_choice (input, 8); i > 0 && state != NULL; i--)
    {
      gsize at = (gsize) fuzz_take_number (input, 2) % cmk_secret_length (state);
      cmk_secret_data (state)[at] ^= fuzz_take_byte (input);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FuzzInput input = { data, size }, nothing = { data, 0 };
  guint flags = fuzz_take_byte (&input);
  g_autoptr (CmkTpmHandover) handover = (flags & 1) != 0 ? leave (&nothing) : g_new0 (CmkTpmHandover, 1);
  if ((flags & 1) != 0)
    {
      handover->snapshot = alter (&input, handover->snapshot);
      handover->session = alter (&input, handover->session);
      alter_state (&input, handover->session_state);
    }
  else
    {
      handover->snapshot = fuzz_take_bytes (&input);
      handover->session = fuzz_take_bytes (&input);
      handover->session_state = take_secret (&input);
    }
  handover->session_seconds = 60;
  g_autoptr (GBytes) note = (flags & 2) != 0 ? fuzz_take_bytes (&input) : NULL;
  const CmkTpmNotebook notebook = { .last = note, .write = write_nothing };

  fake_tpm_start (&input);
  cmk_tpm_begin_call ();
  g_autoptr (CmkTpm) tpm = cmk_tpm_open_warm ("fake", handover, &notebook, NULL);
  if (tpm == NULL)
    return 0;
  cmk_tpm_keep_sessions (tpm, 60);
  if (handover->session != NULL && (flags & 4) != 0)
    cmk_tpm_abandon_session (tpm, handover->session);
  cmk_tpm_session_end (cmk_tpm_session_begin (tpm, NULL));
  cmk_tpm_rest (tpm);
  g_autoptr (CmkTpmHandover) next G_GNUC_UNUSED = cmk_tpm_hand_over (tpm, 60);
  return 0;
}
