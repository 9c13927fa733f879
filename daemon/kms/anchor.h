/* SPDX-License-Identifier: Apache-2.0
 *
 * What ties the state to the TPM, so that neither can be turned back alone. An NV index holds two stages, the current
 * and the next, and two root keys of erasure (kms/erasure.h) likewise; the state says which stage it belongs to. A step
 * commits a state of the next stage, under the next key if something was erased, and then makes that stage the current
 * one with a single write of the index, which destroys what came before. A crash in between leaves a state of the next
 * stage, which the next start completes; a state of any other stage is an older copy.
 *
 * A TPM that gives us no index leaves the state without that protection, and everything else works. Worker thread
 * only. */
#pragma once

#include "base/secret.h"
#include "base/uuid.h"
#include "kms/erasure.h"
#include "store/store.h"
#include "tpm/session.h"

typedef struct _CmkAnchor CmkAnchor;

typedef enum
{
  CMK_ANCHOR_NONE, /* the TPM gave us no index */
  CMK_ANCHOR_HOLDS,
  CMK_ANCHOR_BEHIND,      /* the last step has failed */
  CMK_ANCHOR_ROLLED_BACK, /* the state, or a row of it, is older than what the TPM knows of */
} CmkAnchorState;

/* Of the state in @store, which lies in @directory; bring what a crash left half done to its end, and a state of format
 * 3, or a new one, under an anchor. @root: the root secret of the store. @session (taken, may be NULL) is used first.
 * That the state is rolled back is no error, see cmk_anchor_state(). The rest must outlive the anchor. */
CmkAnchor *cmk_anchor_open (CmkStore *store, CmkTpm *tpm, const char *directory, const CmkUuid *store_id,
                            const CmkSecret *root, CmkTpmSession *session, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_anchor_free (CmkAnchor *anchor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkAnchor, cmk_anchor_free)

CmkAnchorState cmk_anchor_state (const CmkAnchor *anchor);

/* How often the index was stepped on: each is a write of the TPM's memory, which wears. */
guint64 cmk_anchor_steps (const CmkAnchor *anchor);

/* CMK_ERROR_ROLLBACK_DETECTED, saying what to do, if that is the state. */
gboolean cmk_anchor_check (const CmkAnchor *anchor, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Owned by @anchor. */
CmkErasure *cmk_anchor_erasure (CmkAnchor *anchor);

/* Is there anything that a step would do? */
gboolean cmk_anchor_needs_step (CmkAnchor *anchor);

/* Is there anything that should have been done already: something erased, or a step that has failed? */
gboolean cmk_anchor_owes_step (CmkAnchor *anchor);

/* Make what was committed impossible to turn back, and what was erased impossible to open. Not in a transaction. When
 * it fails all that was committed stands, and the next step completes it. An index that has gone is replaced. */
gboolean cmk_anchor_step (CmkAnchor *anchor, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- accepting a rolled-back state, in three parts around the caller's transaction --- */

/* Make the index ready. *ret_readable: what is stored can still be opened; else it can never be again. */
gboolean cmk_anchor_prepare_acceptance (CmkAnchor *anchor, gboolean *ret_readable,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* In the transaction, after all other changes: the state as it is becomes the one that counts. If it was not readable,
 * the caller has removed every envelope. */
gboolean cmk_anchor_put_accepted (CmkAnchor *anchor, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* After its commit. */
gboolean cmk_anchor_conclude_acceptance (CmkAnchor *anchor, GError **error) G_GNUC_WARN_UNUSED_RESULT;
