/* SPDX-License-Identifier: Apache-2.0
 *
 * What this cmkd knows of the TPM, and its open session, for the next start: in the kernel keyring, and its digests in
 * the state directory. Any process of our uid may change an entry there, and the key that authenticates contexts is
 * under the very seal that is to be opened; so what was not put there by the last cmkd of this directory is not looked
 * at. Worker thread, or before it runs, or after. */
#pragma once

#include "keyring/keyring.h"
#include "store/store.h"
#include "tpm/handover.h"

/* What is no secret for @seconds; the session only if @session_seconds is not 0, and for as long at most. */
void cmk_handover_leave (CmkTpm *tpm, CmkKeyring *keyring, CmkStore *store, guint seconds, guint session_seconds);

/* For the next start to take out of the TPM: this one has not got to it. */
void cmk_handover_put_back (CmkKeyring *keyring, GBytes *session, guint seconds);

/* NULL if there is none; never handed out twice. *@ret_abandoned (may be set in any case) is a session that nobody can
 * use any more, for cmk_tpm_abandon_session(). */
CmkTpmHandover *cmk_handover_take (CmkKeyring *keyring, CmkStore *store, GBytes **ret_abandoned);
