/* SPDX-License-Identifier: Apache-2.0
 *
 * What the TPM protects: the store with its root secret, and the one construct for every secret at rest - a fresh data
 * key sealed by the TPM, and an envelope under it that is bound to the identity of what it holds.
 *
 * A vault is opened locked and unlocks when the TPM gives out the root secret. Worker thread only, but for opening. */
#pragma once

#include "base/config.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "kms/anchor.h"
#include "keyring/keyring.h"
#include "kms/secret-identity.h"
#include "store/store.h"
#include "tpm/session.h"

typedef struct _CmkVault CmkVault;

/* Open the store in @directory and try to unlock. A damaged store is an error; a TPM that is absent or another one is
 * not: the vault stays locked, and cmk_vault_unlock() says why. */
CmkVault *cmk_vault_open (const CmkConfig *config, const char *directory, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_vault_close (CmkVault *vault);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkVault, cmk_vault_close)

/* TRUE at once when unlocked; else try again. CMK_ERROR_TPM_UNAVAILABLE, CMK_ERROR_TPM_CHANGED or
 * CMK_ERROR_STATE_CORRUPTED. */
gboolean cmk_vault_unlock (CmkVault *vault, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_vault_is_unlocked (CmkVault *vault);

/* After cmk_vault_unlock() has failed with @error: may keys be described all the same? Under another TPM rows are then
 * read without their MACs, which nobody can check any more, and markers have a key that this process made up. */
gboolean cmk_vault_is_readable (CmkVault *vault, const GError *error);

/* --- accepting what keeps the store from being served ---
 *
 * In one transaction with what the caller does to the keys: all of it or nothing. FALSE from @rewrite is nothing. */

/* What cannot be opened any more and has to go. */
typedef enum
{
  CMK_LOSS_NOTHING,
  CMK_LOSS_OF_MATERIAL,
  CMK_LOSS_OF_MATERIAL_AND_FINGERPRINTS,
} CmkLoss;

typedef gboolean (*CmkVaultRewrite) (gpointer user_data, CmkLoss loss, GError **error);

/* Seal the store anew by the TPM that is there: new keys of its own for everything, rows authenticated as they stand,
 * import sets deleted. CMK_ERROR_STATE_NOT_ALLOWED if it is the TPM that sealed it. */
gboolean cmk_vault_adopt_tpm (CmkVault *vault, CmkVaultRewrite rewrite, gpointer user_data,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Go on from the older state that was found. CMK_ERROR_STATE_NOT_ALLOWED if it is not older. */
gboolean cmk_vault_accept_rollback (CmkVault *vault, CmkVaultRewrite rewrite, gpointer user_data,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The contract's StateStatus: "ok", "locked", "tpm-changed" or "rolled-back". Static. Any thread. */
const char *cmk_vault_state_status (CmkVault *vault);

/* The contract's TpmState: "ok", "absent", "changed", "lockout" or "failed", by what the TPM said last. Static.
 * Any thread. */
const char *cmk_vault_tpm_state (CmkVault *vault);

/* What to do about it, for a person. Static. Any thread. */
const char *cmk_vault_tpm_advice (CmkVault *vault);

/* "" until the TPM was seen. Static while the vault lives. Any thread. */
const char *cmk_vault_tpm_manufacturer (CmkVault *vault);
const char *cmk_vault_tpm_firmware (CmkVault *vault);

/* The storage root key: "persistent" or "transient", and its name, hexadecimal. "" until the TPM was seen. Static while
 * the vault lives. Any thread. */
const char *cmk_vault_root_key (CmkVault *vault);
const char *cmk_vault_root_name (CmkVault *vault);

/* What the state takes on the disk, in bytes; 0 if that cannot be told. Any thread. */
guint64 cmk_vault_state_size (CmkVault *vault);

/* "ok", "unavailable", or "locked" while the vault is. Static. Any thread. */
const char *cmk_vault_keyring_status (CmkVault *vault);

/* "ok", "behind" after a step that failed, "none" if the TPM keeps no NV index for the state, "rolled-back", or
 * "locked" while the vault is. Static. Any thread. */
const char *cmk_vault_anchor_state (CmkVault *vault);
/* How often the TPM took note of the state: each wears its memory. Any thread. */
guint64 cmk_vault_anchor_steps (CmkVault *vault);

/* Let the TPM take note of what was committed, see cmk_anchor_step(). */
gboolean cmk_vault_step (CmkVault *vault, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The parts, owned by the vault; of an unlocked vault only. */
CmkAnchor *cmk_vault_anchor (CmkVault *vault);
CmkErasure *cmk_vault_erasure (CmkVault *vault);
CmkStore *cmk_vault_store (CmkVault *vault);
CmkKeyring *cmk_vault_keyring (CmkVault *vault);
const CmkUuid *cmk_vault_store_id (CmkVault *vault);
const CmkSecret *cmk_vault_token_key (CmkVault *vault);
const CmkSecret *cmk_vault_marker_key (CmkVault *vault);

/* A session with the TPM for one call. */
CmkTpmSession *cmk_vault_begin_session (CmkVault *vault, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For how long a session with the TPM stays open after a call; 0 = not at all. */
guint cmk_vault_session_seconds (CmkVault *vault);

/* Give back to the TPM what was not used for that long. */
void cmk_vault_rest (CmkVault *vault);

gboolean cmk_vault_seal (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity,
                         const CmkSecret *payload, CmkTpmPlace place, GBytes **ret_sealed_key, GBytes **ret_envelope,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How likely it is that the same secret is asked for again: whether its TPM context is worth a ContextSave. */
typedef enum
{
  CMK_UNSEAL_ONCE,
  CMK_UNSEAL_AGAIN,
} CmkUnsealUse;

/* @envelope is what cmk_vault_seal() made, as cmk_erasure_reveal() gives it back when it was stored. */
CmkSecret *cmk_vault_unseal (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity,
                             GBytes *sealed_key, GBytes *envelope, CmkUnsealUse use, CmkTpmPlace place,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Keep the handle of what is likely to be unsealed again after all. Best effort. */
void cmk_vault_keep_handle (CmkVault *vault, CmkTpmSession *session, GBytes *sealed_key);

/* What tells material from other material without storing anything of it: HMAC by a key that never leaves the TPM,
 * over store, key id and material. Equal material in two keys has different fingerprints. */
GBytes *cmk_vault_fingerprint (CmkVault *vault, CmkTpmSession *session, const CmkUuid *key_id,
                               const CmkSecret *material, CmkTpmPlace place, GError **error) G_GNUC_WARN_UNUSED_RESULT;
