/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/vault.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/envelope.h"
#include "kms/handover.h"
#include "kms/object-contexts.h"
#include "kms/root-secret.h"
#include "kms/vault-internal.h"

#include <string.h>

/* A saved session that nobody uses holds up whoever else saves contexts, when they have saved some ten thousands. */
#define KEPT_SESSION_SECONDS 300

static void
store_keys_clear (CmkStoreKeys *keys)
{
  g_clear_pointer (&keys->rows, cmk_secret_free);
  g_clear_pointer (&keys->tokens, cmk_secret_free);
  g_clear_pointer (&keys->markers, cmk_secret_free);
  g_clear_pointer (&keys->contexts, cmk_secret_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkStoreKeys, store_keys_clear)

/* --- status --- */

/* The anchor itself is for the worker alone. */
static void
note_anchor (CmkVault *vault)
{
  static const char *const names[] = {
    [CMK_ANCHOR_NONE] = "none",
    [CMK_ANCHOR_HOLDS] = "ok",
    [CMK_ANCHOR_BEHIND] = "behind",
    [CMK_ANCHOR_ROLLED_BACK] = "rolled-back",
  };
  CmkAnchor *anchor = vault->anchor;
  g_atomic_pointer_set (&vault->anchor_state, anchor != NULL ? names[cmk_anchor_state (anchor)] : "locked");
  g_atomic_pointer_set (&vault->anchor_steps, anchor != NULL ? (gsize) cmk_anchor_steps (anchor) : 0);
}

const char *
cmk_vault_anchor_state (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->anchor_state);
}

guint64
cmk_vault_anchor_steps (CmkVault *vault)
{
  return (gsize) g_atomic_pointer_get (&vault->anchor_steps);
}

const char *
cmk_vault_state_status (CmkVault *vault)
{
  if (g_str_equal (cmk_vault_tpm_state (vault), "changed"))
    return "tpm-changed";
  const char *anchor_state = cmk_vault_anchor_state (vault);
  return g_str_equal (anchor_state, "rolled-back") || g_str_equal (anchor_state, "locked") ? anchor_state : "ok";
}

/* --- the TPM --- */

static void
cache_contexts (CmkVault *vault)
{
  if (vault->context_seconds == 0 || vault->contexts == NULL)
    return;
  CmkTpmContextCache cache = cmk_object_contexts_cache (vault->contexts);
  cmk_tpm_set_context_cache (vault->tpm, &cache);
}

gboolean
cmk_vault_connect_tpm (CmkVault *vault, GError **error)
{
  if (vault->tpm != NULL)
    return TRUE;
  const CmkTpmNotebook notebook = cmk_vault_notebook (vault);
  vault->tpm = cmk_tpm_open_warm (vault->tcti, vault->handover, &notebook, error);
  if (vault->tpm == NULL)
    return FALSE;
  vault->is_warm = vault->handover != NULL;
  g_clear_pointer (&vault->handover, cmk_tpm_handover_free);
  if (vault->abandoned_session != NULL)
    cmk_tpm_abandon_session (vault->tpm, vault->abandoned_session);
  g_clear_pointer (&vault->abandoned_session, g_bytes_unref);
  cmk_vault_note_identity (vault);
  cmk_tpm_keep_sessions (vault->tpm, vault->session_seconds);
  cache_contexts (vault);
  return TRUE;
}

guint
cmk_vault_session_seconds (CmkVault *vault)
{
  return vault->session_seconds;
}

void
cmk_vault_rest (CmkVault *vault)
{
  if (vault->tpm != NULL)
    cmk_tpm_rest (vault->tpm);
}

/* Is it the TPM that sealed the store, whose storage root key has the name @pinned? */
static gboolean
check_tpm (CmkVault *vault, GBytes *pinned, GError **error)
{
  if (g_bytes_equal (pinned, cmk_tpm_root_name (vault->tpm)))
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED,
                       "this is not the TPM that sealed the store, or it was cleared since: bring the old TPM back and "
                       "restart cmkd, or have an administrator take this one with `cmkctl recover`");
  return FALSE;
}

/* With the TPM that is there, whichever it is. */
static CmkTpmSession *
begin_session (CmkVault *vault, GError **error)
{
  CmkTpmSession *session = cmk_vault_connect_tpm (vault, error) ? cmk_tpm_session_begin (vault->tpm, error) : NULL;
  cmk_vault_note_trouble (vault, session != NULL, error);
  return session;
}

CmkTpmSession *
cmk_vault_begin_session (CmkVault *vault, GError **error)
{
  if (!cmk_vault_note_trouble (
          vault, cmk_vault_connect_tpm (vault, error) && check_tpm (vault, vault->storage_key_name, error), error))
    return NULL;
  return begin_session (vault, error);
}

/* --- unlocking --- */

static gboolean
row_mac (gpointer user_data, const guint8 *data, gsize size, guint8 ret_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  return cmk_mac_compute (((CmkVault *) user_data)->keys.rows, data, size, ret_mac, error);
}

/* A root secret is made for a new store only: keys without one have lost theirs. */
static gboolean
check_unused (CmkVault *vault, GError **error)
{
  gboolean empty;
  if (!cmk_store_is_empty (vault->store, &empty, error))
    return FALSE;
  if (!empty)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                         "the store has keys, but has lost the root secret that protects them: restore the state "
                         "directory from a backup");
  return empty;
}

static CmkRootSecret *
provision (CmkVault *vault, GError **error)
{
  g_autoptr (CmkTpmSession) session = begin_session (vault, error);
  if (session == NULL)
    return NULL;
  CmkUuid store_id = cmk_uuid_new ();
  g_autoptr (CmkRootSecret) root = cmk_root_secret_make (session, cmk_tpm_root_name (vault->tpm), &store_id, error);
  if (!cmk_vault_note_tpm (vault, root != NULL, error))
    return NULL;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (vault->store, error);
  if (transaction == NULL || !cmk_root_secret_put (vault->store, root, error) || !cmk_store_commit (transaction, error))
    return NULL;
  return g_steal_pointer (&root);
}

/* Nothing better will ever come: what stands in the rows is what there is. */
static void
let_read (CmkVault *vault)
{
  if (vault->keys.markers == NULL)
    vault->keys.markers = cmk_random_secret (CMK_DATA_KEY_SIZE, NULL);
  vault->is_readable = vault->keys.markers != NULL;
  cmk_store_read_unverified (vault->store);
}

static void
know_store (CmkVault *vault, const CmkRootSecret *root)
{
  vault->store_id = root->store_id;
  if (vault->keyring != NULL)
    return;
  g_atomic_pointer_set (&vault->keyring,
                        cmk_keyring_open (&vault->store_id, vault->context_seconds, vault->material_seconds));
  vault->handover = cmk_handover_take (vault->keyring, vault->store, &vault->abandoned_session);
  cmk_vault_read_note (vault);
}

/* *ret_session: begun for it, and good for more. */
static gboolean
open_root (CmkVault *vault, CmkRootSecret *root, CmkTpmSession **ret_session, GError **error)
{
  if (!check_tpm (vault, root->storage_key_name, error))
    {
      let_read (vault);
      return FALSE;
    }
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (vault->tpm, error);
  if (session == NULL || !cmk_root_secret_open (root, session, error))
    return FALSE;
  *ret_session = g_steal_pointer (&session);
  return TRUE;
}

/* The same, by what the last cmkd knew of the TPM if it has left that; and if the TPM is not as it says, by asking. */
static gboolean
open_root_warm (CmkVault *vault, CmkRootSecret *root, CmkTpmSession **ret_session, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (open_root (vault, root, ret_session, &local_error))
    return TRUE;
  if (!vault->is_warm || local_error->code == CMK_ERROR_TPM_UNAVAILABLE)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  g_clear_pointer (&vault->tpm, cmk_tpm_close);
  return cmk_vault_connect_tpm (vault, error) && open_root (vault, root, ret_session, error);
}

static CmkRootSecret *
load_root (CmkVault *vault, CmkTpmSession **ret_session, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkRootSecret) root = cmk_root_secret_read (vault->store, &local_error);
  if (root != NULL)
    know_store (vault, root);
  /* Which TPM is there can be told in any case. */
  if (!cmk_vault_note_trouble (vault, cmk_vault_connect_tpm (vault, error), error))
    return NULL;
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (root == NULL)
    return check_unused (vault, error) ? provision (vault, error) : NULL;
  return cmk_vault_note_tpm (vault, open_root_warm (vault, root, ret_session, error), error) ? g_steal_pointer (&root)
                                                                                             : NULL;
}

static gboolean
make_keys (const CmkSecret *root, CmkStoreKeys *ret_keys, GError **error)
{
  return (ret_keys->rows = cmk_derive_key (root, "cmkd/row/v1", error)) != NULL &&
         (ret_keys->tokens = cmk_derive_key (root, "cmkd/import-token/v1", error)) != NULL &&
         (ret_keys->markers = cmk_derive_key (root, "cmkd/marker/v1", error)) != NULL &&
         (ret_keys->contexts = cmk_derive_key (root, "cmkd/context/v1", error)) != NULL;
}

static void
swap_keys (CmkVault *vault, CmkStoreKeys *keys)
{
  CmkStoreKeys old = vault->keys;
  vault->keys = *keys;
  *keys = old;
}

/* The keys of @root are those of the vault. */
static void
open_doors (CmkVault *vault, const CmkRootSecret *root)
{
  vault->store_id = root->store_id;
  g_clear_pointer (&vault->fingerprint_key, g_bytes_unref);
  g_clear_pointer (&vault->storage_key_name, g_bytes_unref);
  vault->fingerprint_key = g_bytes_ref (root->fingerprint_key);
  vault->storage_key_name = g_bytes_ref (root->storage_key_name);
  cmk_object_contexts_free (vault->contexts);
  vault->contexts = cmk_object_contexts_new (vault->keyring, g_steal_pointer (&vault->keys.contexts));
  cache_contexts (vault);
  vault->is_readable = FALSE;
  vault->unlocked = TRUE;
}

gboolean
cmk_vault_is_unlocked (CmkVault *vault)
{
  return vault->unlocked;
}

/* From here on rows can be read. */
static gboolean
open_anchor (CmkVault *vault, const CmkSecret *root, CmkTpmSession *session, GError **error)
{
  cmk_store_set_mac (vault->store, row_mac, vault);
  vault->anchor = cmk_anchor_open (vault->store, vault->tpm, vault->directory, &vault->store_id, root, session, error);
  note_anchor (vault);
  return cmk_vault_note_tpm (vault, vault->anchor != NULL, error);
}

gboolean
cmk_vault_unlock (CmkVault *vault, GError **error)
{
  if (vault->unlocked)
    return TRUE;
  g_auto (CmkStoreKeys) keys = { 0 };
  g_autoptr (CmkTpmSession) session = NULL;
  g_autoptr (CmkRootSecret) root = load_root (vault, &session, error);
  if (root == NULL || !make_keys (root->secret, &keys, error))
    return FALSE;
  know_store (vault, root);
  swap_keys (vault, &keys);
  if (!open_anchor (vault, root->secret, g_steal_pointer (&session), error))
    return FALSE;
  open_doors (vault, root);
  return TRUE;
}

gboolean
cmk_vault_is_readable (CmkVault *vault, const GError *error)
{
  return g_error_matches (error, CMK_ERROR, CMK_ERROR_ROLLBACK_DETECTED) ||
         (vault->is_readable && g_error_matches (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED));
}

/* --- accepting what keeps it from being served --- */

static gboolean
refuse_acceptance (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_NOT_ALLOWED,
                       "that is not what is the matter: `cmkctl recover` says what is");
  return FALSE;
}

/* As when it had not been unlocked yet. */
static void
lock (CmkVault *vault)
{
  g_clear_pointer (&vault->anchor, cmk_anchor_free);
  note_anchor (vault);
  g_clear_pointer (&vault->tpm, cmk_tpm_close);
  vault->unlocked = FALSE;
}

/* Before anything that only this process knows of the state is given up. */
static gboolean
check_other_tpm (CmkVault *vault, GError **error)
{
  if (!vault->unlocked)
    return TRUE;
  g_autoptr (CmkTpm) there = cmk_tpm_open (vault->tcti, error);
  if (there == NULL)
    return FALSE;
  return !g_bytes_equal (vault->storage_key_name, cmk_tpm_root_name (there)) || refuse_acceptance (error);
}

/* Connected anew, for a connection knows only the TPM that it began with. */
static CmkRootSecret *
make_root_for_other_tpm (CmkVault *vault, GError **error)
{
  if (!check_other_tpm (vault, error))
    return NULL;
  lock (vault);
  g_autoptr (GError) local_error = NULL;
  if (cmk_vault_unlock (vault, &local_error))
    {
      refuse_acceptance (error);
      return NULL;
    }
  if (!vault->is_readable || local_error->code != CMK_ERROR_TPM_CHANGED)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  g_autoptr (CmkTpmSession) session = begin_session (vault, error);
  if (session == NULL)
    return NULL;
  return cmk_root_secret_make (session, cmk_tpm_root_name (vault->tpm), &vault->store_id, error);
}

/* What was anchored in the old TPM is not anchored at all, and nothing that it could erase is left. */
static gboolean
drop_anchor (CmkVault *vault, GError **error)
{
  const CmkStoreAnchor none = { .nv_handle = 0 };
  return cmk_store_delete_erasure_pages (vault->store, error) && cmk_store_clear_erasures (vault->store, error) &&
         cmk_store_put_anchor (vault->store, &none, error);
}

/* Under the keys that the vault has by now. Rows first: what is not authenticated is damage to all that follows. */
static gboolean
seal_store_anew (CmkVault *vault, const CmkRootSecret *root, CmkVaultRewrite rewrite, gpointer user_data,
                 GError **error)
{
  cmk_store_set_mac (vault->store, row_mac, vault);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (vault->store, error);
  return transaction != NULL && cmk_root_secret_put (vault->store, root, error) &&
         cmk_store_authenticate_anew (vault->store, error) && cmk_store_delete_import_sets (vault->store, error) &&
         rewrite (user_data, CMK_LOSS_OF_MATERIAL_AND_FINGERPRINTS, error) && drop_anchor (vault, error) &&
         cmk_store_commit (transaction, error);
}

gboolean
cmk_vault_adopt_tpm (CmkVault *vault, CmkVaultRewrite rewrite, gpointer user_data, GError **error)
{
  g_auto (CmkStoreKeys) keys = { 0 };
  g_autoptr (CmkRootSecret) root = make_root_for_other_tpm (vault, error);
  if (root == NULL || !make_keys (root->secret, &keys, error))
    return FALSE;
  swap_keys (vault, &keys);
  if (!seal_store_anew (vault, root, rewrite, user_data, error))
    {
      swap_keys (vault, &keys);
      let_read (vault);
      g_atomic_pointer_set (&vault->tpm_state, "changed"); /* for it has answered well since */
      return FALSE;
    }
  open_doors (vault, root);
  g_autoptr (GError) local_error = NULL;
  vault->unlocked = open_anchor (vault, root->secret, NULL, &local_error);
  if (!vault->unlocked)
    g_warning ("the other TPM was accepted, but what follows is tried again with the next call: %s",
               local_error->message);
  return TRUE;
}

static gboolean
commit_rollback (CmkVault *vault, CmkLoss loss, CmkVaultRewrite rewrite, gpointer user_data, GError **error)
{
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (vault->store, error);
  return transaction != NULL && cmk_store_delete_import_sets (vault->store, error) &&
         rewrite (user_data, loss, error) && cmk_anchor_put_accepted (vault->anchor, error) &&
         cmk_store_commit (transaction, error);
}

gboolean
cmk_vault_accept_rollback (CmkVault *vault, CmkVaultRewrite rewrite, gpointer user_data, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  if (!cmk_vault_unlock (vault, &local_error) && local_error->code != CMK_ERROR_TPM_CHANGED)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (!vault->unlocked || cmk_anchor_state (vault->anchor) != CMK_ANCHOR_ROLLED_BACK)
    return refuse_acceptance (error);
  gboolean readable = FALSE;
  if (!cmk_vault_note_tpm (vault, cmk_anchor_prepare_acceptance (vault->anchor, &readable, error), error) ||
      !commit_rollback (vault, readable ? CMK_LOSS_NOTHING : CMK_LOSS_OF_MATERIAL, rewrite, user_data, error))
    return FALSE;
  /* It is done: the next step completes what fails now. */
  if (!cmk_anchor_conclude_acceptance (vault->anchor, &local_error))
    g_warning ("the older state was accepted, but the TPM has not taken note of it yet: %s", local_error->message);
  note_anchor (vault);
  return TRUE;
}

/* --- life --- */

static guint
session_seconds (const CmkConfig *config)
{
  if (config->session_seconds != CMK_CONFIG_BY_TPM)
    return config->session_seconds;
  return cmk_tpm_affords_kept_session (config->tcti) ? KEPT_SESSION_SECONDS : 0;
}

CmkVault *
cmk_vault_open (const CmkConfig *config, const char *directory, GError **error)
{
  g_autoptr (CmkVault) vault = g_new0 (CmkVault, 1);
  vault->tcti = g_strdup (config->tcti);
  cmk_tpm_set_answer_seconds (config->answer_seconds);
  vault->directory = g_canonicalize_filename (directory, NULL);
  vault->context_seconds = config->context_seconds;
  vault->material_seconds = config->material_seconds;
  vault->session_seconds = session_seconds (config);
  vault->session_after_stop_seconds = config->session_after_stop_seconds;
  vault->tpm_state = "absent";
  vault->anchor_state = "locked";
  vault->manufacturer = vault->firmware = vault->root_key = vault->root_name = "";
  vault->store = cmk_store_open (directory, error);
  if (vault->store == NULL)
    return NULL;
  g_autoptr (GError) local_error = NULL;
  if (cmk_vault_unlock (vault, &local_error))
    return g_steal_pointer (&vault);
  if (local_error->code == CMK_ERROR_TPM_UNAVAILABLE || local_error->code == CMK_ERROR_TPM_CHANGED ||
      local_error->code == CMK_ERROR_TPM_LOCKOUT)
    {
      cmk_vault_tell_trouble ("serving only status until the TPM opens the store", local_error);
      return g_steal_pointer (&vault);
    }
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

void
cmk_vault_close (CmkVault *vault)
{
  if (vault == NULL)
    return;
  cmk_anchor_free (vault->anchor);
  if (vault->unlocked && vault->tpm != NULL)
    cmk_handover_leave (vault->tpm, vault->keyring, vault->store, vault->context_seconds,
                        vault->session_after_stop_seconds);
  /* What was taken and could not be used is still in the TPM. */
  if (vault->handover != NULL && vault->handover->session != NULL)
    cmk_handover_put_back (vault->keyring, vault->handover->session, vault->context_seconds);
  else if (vault->abandoned_session != NULL)
    cmk_handover_put_back (vault->keyring, vault->abandoned_session, vault->context_seconds);
  cmk_tpm_close (vault->tpm);
  cmk_tpm_handover_free (vault->handover);
  g_clear_pointer (&vault->abandoned_session, g_bytes_unref);
  g_clear_pointer (&vault->leftovers, g_bytes_unref);
  cmk_object_contexts_free (vault->contexts);
  cmk_keyring_close (vault->keyring);
  cmk_store_close (vault->store);
  store_keys_clear (&vault->keys);
  g_clear_pointer (&vault->storage_key_name, g_bytes_unref);
  g_clear_pointer (&vault->fingerprint_key, g_bytes_unref);
  g_free (vault->directory);
  g_free (vault->tcti);
  g_free (vault);
}

const char *
cmk_vault_keyring_status (CmkVault *vault)
{
  CmkKeyring *keyring = g_atomic_pointer_get (&vault->keyring);
  return keyring != NULL ? cmk_keyring_status (keyring) : "locked";
}

gboolean
cmk_vault_step (CmkVault *vault, GError **error)
{
  gboolean done = cmk_anchor_step (vault->anchor, error);
  note_anchor (vault);
  return cmk_vault_note_tpm (vault, done, error);
}

CmkAnchor *
cmk_vault_anchor (CmkVault *vault)
{
  return vault->anchor;
}

CmkErasure *
cmk_vault_erasure (CmkVault *vault)
{
  return cmk_anchor_erasure (vault->anchor);
}

CmkStore *
cmk_vault_store (CmkVault *vault)
{
  return vault->store;
}

CmkKeyring *
cmk_vault_keyring (CmkVault *vault)
{
  return vault->keyring;
}

const CmkUuid *
cmk_vault_store_id (CmkVault *vault)
{
  return &vault->store_id;
}

const CmkSecret *
cmk_vault_token_key (CmkVault *vault)
{
  return vault->keys.tokens;
}

const CmkSecret *
cmk_vault_marker_key (CmkVault *vault)
{
  return vault->keys.markers;
}
