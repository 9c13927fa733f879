/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/handover.h"

#include "crypto/crypto.h"
#include "tpm/session.h"

#include <string.h>

#define SNAPSHOT      "tpm"
#define SESSION       "session"
#define SESSION_STATE "session-state"

G_STATIC_ASSERT (CMK_HANDOVER_SIZE == 2 * CMK_DIGEST_SIZE);

/* Of the snapshot, and of the session with its state; without a session the second is of the snapshot, too. */
static gboolean
compute_digests (gconstpointer snapshot, gsize snapshot_size, gconstpointer session, gsize session_size,
                 const CmkSecret *state, guint8 ret_digests[CMK_HANDOVER_SIZE])
{
  gsize state_size = state != NULL ? cmk_secret_length (state) : 0;
  g_autoptr (CmkSecret) both = cmk_secret_new (session_size + state_size + 1, NULL);
  if (both == NULL)
    return FALSE;
  guint8 *position = cmk_secret_data (both);
  if (session_size > 0)
    memcpy (position, session, session_size);
  if (state_size > 0)
    memcpy (position + session_size, cmk_secret_peek (state), state_size);
  return cmk_sha256 (snapshot, snapshot_size, ret_digests, NULL) &&
         cmk_sha256 (cmk_secret_peek (both), session_size + state_size, ret_digests + CMK_DIGEST_SIZE, NULL);
}

/* The session itself longer than its state, for whoever comes too late to use it is to take it out of the TPM. */
static gboolean
leave_session (CmkKeyring *keyring, const CmkTpmHandover *handover, guint seconds)
{
  return cmk_keyring_leave (keyring, SESSION, g_bytes_get_data (handover->session, NULL),
                            g_bytes_get_size (handover->session), MAX (seconds, handover->session_seconds)) &&
         cmk_keyring_leave (keyring, SESSION_STATE, cmk_secret_peek (handover->session_state),
                            cmk_secret_length (handover->session_state), handover->session_seconds);
}

void
cmk_handover_leave (CmkTpm *tpm, CmkKeyring *keyring, CmkStore *store, guint seconds, guint session_seconds)
{
  guint8 digests[CMK_HANDOVER_SIZE];
  g_autoptr (CmkTpmHandover) handover = cmk_tpm_hand_over (tpm, session_seconds);
  if (handover == NULL)
    return;
  gsize snapshot_size, session_size = 0;
  gconstpointer snapshot = g_bytes_get_data (handover->snapshot, &snapshot_size);
  gconstpointer session = handover->session != NULL ? g_bytes_get_data (handover->session, &session_size) : NULL;
  gboolean left = compute_digests (snapshot, snapshot_size, session, session_size, handover->session_state, digests) &&
                  cmk_keyring_leave (keyring, SNAPSHOT, snapshot, snapshot_size, seconds) &&
                  (session == NULL || leave_session (keyring, handover, seconds));
  if (left)
    cmk_store_put_handover (store, digests);
  else if (session != NULL)
    {
      cmk_tpm_abandon_session (tpm, handover->session);
      cmk_tpm_rest (tpm);
    }
}

void
cmk_handover_put_back (CmkKeyring *keyring, GBytes *session, guint seconds)
{
  if (!cmk_keyring_leave (keyring, SESSION, g_bytes_get_data (session, NULL), g_bytes_get_size (session), seconds))
    g_debug ("a session stays in the TPM until it is reset");
}

static GBytes *
to_bytes (const CmkSecret *secret)
{
  return g_bytes_new (cmk_secret_peek (secret), cmk_secret_length (secret));
}

CmkTpmHandover *
cmk_handover_take (CmkKeyring *keyring, CmkStore *store, GBytes **ret_abandoned)
{
  guint8 expected[CMK_HANDOVER_SIZE], digests[CMK_HANDOVER_SIZE];
  gboolean is_expected = cmk_store_take_handover (store, expected);
  g_autoptr (CmkSecret) snapshot = cmk_keyring_take (keyring, SNAPSHOT);
  g_autoptr (CmkSecret) session = cmk_keyring_take (keyring, SESSION);
  g_autoptr (CmkSecret) state = cmk_keyring_take (keyring, SESSION_STATE);
  if (session != NULL)
    *ret_abandoned = to_bytes (session);
  if (!is_expected || snapshot == NULL ||
      !compute_digests (cmk_secret_peek (snapshot), cmk_secret_length (snapshot),
                        session != NULL ? cmk_secret_peek (session) : NULL,
                        session != NULL ? cmk_secret_length (session) : 0, state, digests))
    return NULL;
  if (memcmp (expected, digests, CMK_DIGEST_SIZE) != 0)
    {
      g_warning (
          "what the last cmkd knew of the TPM was altered in the kernel keyring by another process of this user; "
          "dropped it");
      return NULL;
    }

  g_autoptr (CmkTpmHandover) handover = g_new0 (CmkTpmHandover, 1);
  handover->snapshot = to_bytes (snapshot);
  if (session == NULL || state == NULL)
    return g_steal_pointer (&handover);
  if (memcmp (expected + CMK_DIGEST_SIZE, digests + CMK_DIGEST_SIZE, CMK_DIGEST_SIZE) != 0)
    {
      g_warning (
          "the session with the TPM in the kernel keyring was altered by another process of this user; dropped it");
      return g_steal_pointer (&handover);
    }
  handover->session = g_steal_pointer (ret_abandoned);
  handover->session_state = g_steal_pointer (&state);
  return g_steal_pointer (&handover);
}
