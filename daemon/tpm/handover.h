/* SPDX-License-Identifier: Apache-2.0
 *
 * What a cmkd that ends leaves to the next one of the same boot, so that it starts with fewer and cheaper commands. It
 * is of use to nobody but the TPM that it is about, and each hand over is for one start.
 *
 * Whoever hands it back vouches that snapshot and session state are what was given out: tpm2-tss 3.2 parses a session
 * without defence. Worker thread only. */
#pragma once

#include "base/secret.h"
#include "tpm/tpm.h"

struct _CmkTpmHandover
{
  GBytes *snapshot;         /* what the TPM is, and its root key; no secret */
  GBytes *session;          /* as the TPM saved it, for the TPM alone to read; NULL: none was open */
  CmkSecret *session_state; /* what it takes to use it: its key, among others */
  guint session_seconds;    /* how long it may stay unused */
};

void cmk_tpm_handover_free (CmkTpmHandover *handover);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkTpmHandover, cmk_tpm_handover_free)

/* The kept session leaves the TPM, to be of use for @session_seconds at most; 0: it is not handed over. NULL if there
 * is nothing at all. @tpm can be closed afterwards, and nothing else. */
CmkTpmHandover *cmk_tpm_hand_over (CmkTpm *tpm, guint session_seconds);

/* Take back a session whose state is lost, when cmk_tpm_rest() is called next: it would stay in one of the 64 places of
 * the TPM, and hold up everybody when contexts saved by others come to be too far ahead. @session needs no
 * authentication. */
void cmk_tpm_abandon_session (CmkTpm *tpm, GBytes *session);
