/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/vault.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/envelope.h"
#include "kms/object-contexts.h"
#include "kms/root-secret.h"

#include <string.h>

/* What the store's own keys are for, all made from its root secret. */
typedef struct
{
  CmkSecret *rows;
  CmkSecret *tokens;
  CmkSecret *markers;
  CmkSecret *contexts;
} StoreKeys;

struct _CmkVault
{
  char *tcti;
  char *directory;
  guint context_seconds;
  guint material_seconds;
  CmkStore *store;
  CmkTpm *tpm;
  CmkKeyring *keyring; /* atomic: set when unlocked */
  CmkAnchor *anchor;   /* likewise */
  CmkUuid store_id;
  GBytes *fingerprint_key;
  GBytes *storage_key_name; /* of the TPM that sealed the store; NULL until unlocked */
  StoreKeys keys;
  CmkObjectContexts *contexts;
  gboolean unlocked;
  const char *tpm_state;    /* atomic */
  const char *manufacturer; /* atomic; interned */
  const char *firmware;     /* atomic; interned */
};

static void
store_keys_clear (StoreKeys *keys)
{
  g_clear_pointer (&keys->rows, cmk_secret_free);
  g_clear_pointer (&keys->tokens, cmk_secret_free);
  g_clear_pointer (&keys->markers, cmk_secret_free);
  g_clear_pointer (&keys->contexts, cmk_secret_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StoreKeys, store_keys_clear)

/* --- what the TPM said last --- */

static gboolean
note_tpm (CmkVault *vault, gboolean ok, GError **error)
{
  const char *state = "ok";
  if (!ok && (error == NULL || *error == NULL))
    return FALSE;
  if (!ok)
    switch ((*error)->code)
      {
      case CMK_ERROR_TPM_UNAVAILABLE:
        state = vault->tpm == NULL ? "absent" : "failed";
        break;
      case CMK_ERROR_TPM_CHANGED:
        state = "changed";
        break;
      case CMK_ERROR_TPM_LOCKOUT:
        state = "lockout";
        break;
      default:
        return ok;
      }
  g_atomic_pointer_set (&vault->tpm_state, state);
  return ok;
}

const char *
cmk_vault_tpm_state (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->tpm_state);
}

const char *
cmk_vault_tpm_manufacturer (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->manufacturer);
}

const char *
cmk_vault_tpm_firmware (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->firmware);
}

/* --- the construct: a sealed data key and an envelope --- */

gboolean
cmk_vault_seal (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity, const CmkSecret *payload,
                CmkTpmPlace place, GBytes **ret_sealed_key, GBytes **ret_envelope, GError **error)
{
  g_autoptr (CmkSecret) data_key = cmk_random_secret (CMK_DATA_KEY_SIZE, error);
  if (data_key == NULL)
    return FALSE;
  g_autoptr (GBytes) sealed_key = cmk_tpm_seal (session, data_key, place, error);
  if (!note_tpm (vault, sealed_key != NULL, error))
    return FALSE;
  g_autoptr (GBytes) aad = cmk_secret_identity_encode (identity, &vault->store_id, NULL);
  GBytes *envelope = cmk_envelope_seal (data_key, aad, payload, error);
  if (envelope == NULL)
    return FALSE;
  *ret_sealed_key = g_steal_pointer (&sealed_key);
  *ret_envelope = envelope;
  return TRUE;
}

CmkSecret *
cmk_vault_unseal (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity, GBytes *sealed_key,
                  GBytes *envelope, CmkUnsealUse use, CmkTpmPlace place, GError **error)
{
  g_autofree char *name = cmk_object_contexts_name (sealed_key);
  g_autoptr (GBytes) kept = use == CMK_UNSEAL_ONCE ? cmk_object_contexts_lookup (vault->contexts, name) : NULL;
  gboolean may_cache = use == CMK_UNSEAL_AGAIN || kept != NULL;
  g_autoptr (CmkSecret) data_key = cmk_tpm_unseal (session, sealed_key, may_cache ? name : NULL, place, error);
  if (!note_tpm (vault, data_key != NULL, error))
    return NULL;
  g_autoptr (GBytes) aad = cmk_secret_identity_encode (identity, &vault->store_id, NULL);
  return cmk_envelope_open (data_key, aad, envelope, error);
}

void
cmk_vault_keep_handle (CmkVault *vault, CmkTpmSession *session, GBytes *sealed_key)
{
  if (vault->context_seconds == 0)
    return;
  g_autofree char *name = cmk_object_contexts_name (sealed_key);
  g_autoptr (GBytes) kept = cmk_object_contexts_lookup (vault->contexts, name);
  if (kept == NULL)
    cmk_tpm_keep_context (session, sealed_key, name);
}

GBytes *
cmk_vault_fingerprint (CmkVault *vault, CmkTpmSession *session, const CmkUuid *key_id, const CmkSecret *material,
                       CmkTpmPlace place, GError **error)
{
  static const char domain[] = "cmkd/fingerprint/v1";
  gsize header_size = sizeof domain + sizeof vault->store_id.bytes + sizeof key_id->bytes;
  g_autoptr (CmkSecret) message = cmk_secret_new (header_size + cmk_secret_length (material), error);
  if (message == NULL)
    return NULL;
  guint8 *position = cmk_secret_data (message);
  memcpy (position, domain, sizeof domain);
  position += sizeof domain;
  memcpy (position, vault->store_id.bytes, sizeof vault->store_id.bytes);
  position += sizeof vault->store_id.bytes;
  memcpy (position, key_id->bytes, sizeof key_id->bytes);
  position += sizeof key_id->bytes;
  memcpy (position, cmk_secret_peek (material), cmk_secret_length (material));

  /* The digest of the material is as good as the material to whoever can guess it: it stays a secret, too. */
  g_autoptr (CmkSecret) digest = cmk_secret_new (CMK_DIGEST_SIZE, error);
  if (digest == NULL ||
      !cmk_sha256 (cmk_secret_peek (message), cmk_secret_length (message), cmk_secret_data (digest), error))
    return NULL;
  g_autofree char *name = cmk_object_contexts_name (vault->fingerprint_key);
  guint8 fingerprint[CMK_TPM_FINGERPRINT_SIZE];
  gboolean made = cmk_tpm_fingerprint (session, vault->fingerprint_key, name, cmk_secret_peek (digest), CMK_DIGEST_SIZE,
                                       place, fingerprint, error);
  if (!note_tpm (vault, made, error))
    return NULL;
  return g_bytes_new (fingerprint, sizeof fingerprint);
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

static gboolean
connect_tpm (CmkVault *vault, GError **error)
{
  if (vault->tpm != NULL)
    return TRUE;
  vault->tpm = cmk_tpm_open (vault->tcti, error);
  if (vault->tpm == NULL)
    return FALSE;
  const CmkTpmIdentity *identity = cmk_tpm_identity (vault->tpm);
  g_atomic_pointer_set (&vault->manufacturer, g_intern_string (identity->manufacturer));
  g_atomic_pointer_set (&vault->firmware, g_intern_string (identity->firmware));
  cache_contexts (vault);
  return TRUE;
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
  CmkTpmSession *session = connect_tpm (vault, error) ? cmk_tpm_session_begin (vault->tpm, error) : NULL;
  note_tpm (vault, session != NULL, error);
  return session;
}

CmkTpmSession *
cmk_vault_begin_session (CmkVault *vault, GError **error)
{
  if (!note_tpm (vault, connect_tpm (vault, error) && check_tpm (vault, vault->storage_key_name, error), error))
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
  if (!note_tpm (vault, root != NULL, error))
    return NULL;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (vault->store, error);
  if (transaction == NULL || !cmk_root_secret_put (vault->store, root, error) || !cmk_store_commit (transaction, error))
    return NULL;
  return g_steal_pointer (&root);
}

/* *ret_session: begun for it, and good for more. */
static CmkRootSecret *
load_root (CmkVault *vault, CmkTpmSession **ret_session, GError **error)
{
  if (!note_tpm (vault, connect_tpm (vault, error), error))
    return NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkRootSecret) root = cmk_root_secret_read (vault->store, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (root == NULL)
    return check_unused (vault, error) ? provision (vault, error) : NULL;
  vault->store_id = root->store_id;
  if (!note_tpm (vault, check_tpm (vault, root->storage_key_name, error), error))
    return NULL;
  g_autoptr (CmkTpmSession) session = begin_session (vault, error);
  if (session == NULL || !note_tpm (vault, cmk_root_secret_open (root, session, error), error))
    return NULL;
  *ret_session = g_steal_pointer (&session);
  return g_steal_pointer (&root);
}

static gboolean
make_keys (const CmkSecret *root, StoreKeys *ret_keys, GError **error)
{
  return (ret_keys->rows = cmk_derive_key (root, "cmkd/row/v1", error)) != NULL &&
         (ret_keys->tokens = cmk_derive_key (root, "cmkd/import-token/v1", error)) != NULL &&
         (ret_keys->markers = cmk_derive_key (root, "cmkd/marker/v1", error)) != NULL &&
         (ret_keys->contexts = cmk_derive_key (root, "cmkd/context/v1", error)) != NULL;
}

static void
swap_keys (CmkVault *vault, StoreKeys *keys)
{
  StoreKeys old = vault->keys;
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
  if (vault->keyring == NULL)
    g_atomic_pointer_set (&vault->keyring,
                          cmk_keyring_open (&vault->store_id, vault->context_seconds, vault->material_seconds));
  cmk_object_contexts_free (vault->contexts);
  vault->contexts = cmk_object_contexts_new (vault->keyring, g_steal_pointer (&vault->keys.contexts));
  cache_contexts (vault);
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
  CmkAnchor *anchor =
      cmk_anchor_open (vault->store, vault->tpm, vault->directory, &vault->store_id, root, session, error);
  g_atomic_pointer_set (&vault->anchor, anchor);
  return note_tpm (vault, anchor != NULL, error);
}

gboolean
cmk_vault_unlock (CmkVault *vault, GError **error)
{
  if (vault->unlocked)
    return TRUE;
  g_auto (StoreKeys) keys = { 0 };
  g_autoptr (CmkTpmSession) session = NULL;
  g_autoptr (CmkRootSecret) root = load_root (vault, &session, error);
  if (root == NULL || !make_keys (root->secret, &keys, error))
    return FALSE;
  vault->store_id = root->store_id;
  swap_keys (vault, &keys);
  if (!open_anchor (vault, root->secret, g_steal_pointer (&session), error))
    return FALSE;
  open_doors (vault, root);
  return TRUE;
}

CmkVault *
cmk_vault_open (const CmkConfig *config, const char *directory, GError **error)
{
  g_autoptr (CmkVault) vault = g_new0 (CmkVault, 1);
  vault->tcti = g_strdup (config->tcti);
  vault->directory = g_canonicalize_filename (directory, NULL);
  vault->context_seconds = config->context_seconds;
  vault->material_seconds = config->material_seconds;
  vault->tpm_state = "absent";
  vault->manufacturer = vault->firmware = "";
  vault->store = cmk_store_open (directory, error);
  if (vault->store == NULL)
    return NULL;
  g_autoptr (GError) local_error = NULL;
  if (cmk_vault_unlock (vault, &local_error))
    return g_steal_pointer (&vault);
  if (local_error->code == CMK_ERROR_TPM_UNAVAILABLE || local_error->code == CMK_ERROR_TPM_CHANGED ||
      local_error->code == CMK_ERROR_TPM_LOCKOUT)
    {
      g_warning ("serving only status until the TPM opens the store: %s", local_error->message);
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
  cmk_tpm_close (vault->tpm);
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

const char *
cmk_vault_anchor_state (CmkVault *vault)
{
  static const char *const names[] = {
    [CMK_ANCHOR_NONE] = "none",
    [CMK_ANCHOR_HOLDS] = "ok",
    [CMK_ANCHOR_ROLLED_BACK] = "rolled-back",
  };
  CmkAnchor *anchor = g_atomic_pointer_get (&vault->anchor);
  return anchor != NULL ? names[cmk_anchor_state (anchor)] : "locked";
}

guint64
cmk_vault_anchor_steps (CmkVault *vault)
{
  CmkAnchor *anchor = g_atomic_pointer_get (&vault->anchor);
  return anchor != NULL ? cmk_anchor_steps (anchor) : 0;
}

gboolean
cmk_vault_step (CmkVault *vault, GError **error)
{
  return note_tpm (vault, cmk_anchor_step (vault->anchor, error), error);
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
