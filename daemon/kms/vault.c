/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/vault.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/envelope.h"
#include "kms/bytes.h"
#include "kms/object-contexts.h"

#include <string.h>

#define IDENTITY_DOMAIN "cmkd/identity/v1"

#define META_STORE_ID        "store-id"
#define META_ROOT_NAME       "storage-root-key-name"
#define META_ROOT_SEALED_KEY "root-sealed-key"
#define META_ROOT_ENVELOPE   "root-envelope"
#define META_FINGERPRINT_KEY "fingerprint-key"

struct _CmkVault
{
  char *tcti;
  guint context_seconds;
  guint material_seconds;
  CmkStore *store;
  CmkTpm *tpm;
  CmkKeyring *keyring; /* atomic: set when unlocked */
  CmkUuid store_id;
  GBytes *fingerprint_key;
  CmkSecret *row_key;
  CmkSecret *token_key;
  CmkSecret *marker_key;
  CmkObjectContexts *contexts;
  gboolean unlocked;
  const char *tpm_state;    /* atomic */
  const char *manufacturer; /* atomic; interned */
  const char *firmware;     /* atomic; interned */
};

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

static GBytes *
encode_identity (CmkVault *vault, const CmkSecretIdentity *identity, GBytes *bound)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_byte_array_append (bytes, (const guint8 *) IDENTITY_DOMAIN, strlen (IDENTITY_DOMAIN));
  cmk_bytes_put_u8 (bytes, (guint8) identity->kind);
  cmk_bytes_put_uuid (bytes, &vault->store_id);
  cmk_bytes_put_uuid (bytes, &identity->id);
  cmk_bytes_put_u32 (bytes, (guint32) identity->spec);
  cmk_bytes_put_i64 (bytes, identity->expires_at);
  if (bound != NULL)
    g_byte_array_append (bytes, g_bytes_get_data (bound, NULL), (guint) g_bytes_get_size (bound));
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

static gboolean
seal_bound (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity, GBytes *bound,
            const CmkSecret *payload, CmkTpmPlace place, GBytes **ret_sealed_key, GBytes **ret_envelope, GError **error)
{
  g_autoptr (CmkSecret) data_key = cmk_random_secret (CMK_DATA_KEY_SIZE, error);
  if (data_key == NULL)
    return FALSE;
  g_autoptr (GBytes) sealed_key = cmk_tpm_seal (session, data_key, place, error);
  if (!note_tpm (vault, sealed_key != NULL, error))
    return FALSE;
  g_autoptr (GBytes) aad = encode_identity (vault, identity, bound);
  GBytes *envelope = cmk_envelope_seal (data_key, aad, payload, error);
  if (envelope == NULL)
    return FALSE;
  *ret_sealed_key = g_steal_pointer (&sealed_key);
  *ret_envelope = envelope;
  return TRUE;
}

gboolean
cmk_vault_seal (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity, const CmkSecret *payload,
                CmkTpmPlace place, GBytes **ret_sealed_key, GBytes **ret_envelope, GError **error)
{
  return seal_bound (vault, session, identity, NULL, payload, place, ret_sealed_key, ret_envelope, error);
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
  g_autoptr (GBytes) aad = encode_identity (vault, identity, NULL);
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

CmkTpmSession *
cmk_vault_begin_session (CmkVault *vault, GError **error)
{
  CmkTpmSession *session = cmk_tpm_session_begin (vault->tpm, error);
  note_tpm (vault, session != NULL, error);
  return session;
}

/* --- unlocking --- */

static gboolean
row_mac (gpointer user_data, const guint8 *data, gsize size, guint8 ret_mac[CMK_ROW_MAC_SIZE], GError **error)
{
  return cmk_mac_compute (((CmkVault *) user_data)->row_key, data, size, ret_mac, error);
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
  return TRUE;
}

/* The root envelope is bound to what else the store holds store-wide. */
static GBytes *
bind_root (GBytes *root_name, GBytes *fingerprint_key)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  cmk_bytes_put_u32 (bytes, (guint32) g_bytes_get_size (root_name));
  g_byte_array_append (bytes, g_bytes_get_data (root_name, NULL), (guint) g_bytes_get_size (root_name));
  g_byte_array_append (bytes, g_bytes_get_data (fingerprint_key, NULL), (guint) g_bytes_get_size (fingerprint_key));
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

static CmkSecretIdentity
root_identity (CmkVault *vault)
{
  return (CmkSecretIdentity) { .kind = CMK_SECRET_ROOT, .id = vault->store_id };
}

static CmkSecret *
provision (CmkVault *vault, GError **error)
{
  g_autoptr (CmkSecret) root = cmk_random_secret (CMK_DATA_KEY_SIZE, error);
  g_autoptr (CmkTpmSession) session = root != NULL ? cmk_vault_begin_session (vault, error) : NULL;
  if (session == NULL)
    return NULL;
  g_autoptr (GBytes) fingerprint_key = cmk_tpm_create_fingerprint_key (session, CMK_TPM_MORE, error);
  if (!note_tpm (vault, fingerprint_key != NULL, error))
    return NULL;
  vault->store_id = cmk_uuid_new ();
  GBytes *root_name = cmk_tpm_root_name (vault->tpm);
  g_autoptr (GBytes) bound = bind_root (root_name, fingerprint_key);
  g_autoptr (GBytes) sealed_key = NULL;
  g_autoptr (GBytes) envelope = NULL;
  CmkSecretIdentity identity = root_identity (vault);
  if (!seal_bound (vault, session, &identity, bound, root, CMK_TPM_LAST, &sealed_key, &envelope, error))
    return NULL;

  g_autoptr (GBytes) store_id = g_bytes_new (vault->store_id.bytes, sizeof vault->store_id.bytes);
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (vault->store, error);
  if (transaction == NULL || !cmk_store_put_meta (vault->store, META_STORE_ID, store_id, error) ||
      !cmk_store_put_meta (vault->store, META_ROOT_NAME, root_name, error) ||
      !cmk_store_put_meta (vault->store, META_ROOT_SEALED_KEY, sealed_key, error) ||
      !cmk_store_put_meta (vault->store, META_ROOT_ENVELOPE, envelope, error) ||
      !cmk_store_put_meta (vault->store, META_FINGERPRINT_KEY, fingerprint_key, error) ||
      !cmk_store_commit (transaction, error))
    return NULL;
  vault->fingerprint_key = g_steal_pointer (&fingerprint_key);
  return g_steal_pointer (&root);
}

static GBytes *
require_meta (CmkVault *vault, const char *name, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  GBytes *value = cmk_store_get_meta (vault->store, name, &local_error);
  if (value == NULL && local_error == NULL)
    g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                 "the store has lost its %s: restore the state directory from a backup", name);
  else if (value == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return value;
}

static gboolean
check_root_name (CmkVault *vault, GBytes *pinned, GError **error)
{
  if (g_bytes_equal (pinned, cmk_tpm_root_name (vault->tpm)))
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_CHANGED,
                       "this is not the TPM that sealed the store, or it was cleared since: connect the old TPM, or "
                       "start with a new state directory and import the key material again");
  return note_tpm (vault, FALSE, error);
}

static CmkSecret *
open_root (CmkVault *vault, GBytes *root_name, GError **error)
{
  g_autoptr (GBytes) sealed_key = require_meta (vault, META_ROOT_SEALED_KEY, error);
  g_autoptr (GBytes) envelope = sealed_key != NULL ? require_meta (vault, META_ROOT_ENVELOPE, error) : NULL;
  g_autoptr (GBytes) fingerprint_key = envelope != NULL ? require_meta (vault, META_FINGERPRINT_KEY, error) : NULL;
  g_autoptr (CmkTpmSession) session = fingerprint_key != NULL ? cmk_vault_begin_session (vault, error) : NULL;
  if (session == NULL)
    return NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkSecret) data_key = cmk_tpm_unseal (session, sealed_key, NULL, CMK_TPM_LAST, &local_error);
  if (data_key == NULL)
    {
      /* The name of the root key was right, so it is the record that is not what this TPM sealed. */
      if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_TPM_CHANGED))
        local_error->code = CMK_ERROR_STATE_CORRUPTED;
      note_tpm (vault, FALSE, &local_error);
      g_propagate_prefixed_error (error, g_steal_pointer (&local_error), "the root secret of the store: ");
      return NULL;
    }
  CmkSecretIdentity identity = root_identity (vault);
  g_autoptr (GBytes) bound = bind_root (root_name, fingerprint_key);
  g_autoptr (GBytes) aad = encode_identity (vault, &identity, bound);
  g_autoptr (CmkSecret) root = cmk_envelope_open (data_key, aad, envelope, error);
  if (root == NULL)
    g_prefix_error (error, "the root secret of the store: ");
  else
    vault->fingerprint_key = g_steal_pointer (&fingerprint_key);
  return g_steal_pointer (&root);
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

static CmkSecret *
load_root (CmkVault *vault, GError **error)
{
  if (!note_tpm (vault, connect_tpm (vault, error), error))
    return NULL;
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) store_id = cmk_store_get_meta (vault->store, META_STORE_ID, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (store_id == NULL)
    return check_unused (vault, error) ? provision (vault, error) : NULL;

  g_autoptr (GBytes) root_name = require_meta (vault, META_ROOT_NAME, error);
  if (root_name == NULL)
    return NULL;
  if (g_bytes_get_size (store_id) != sizeof vault->store_id.bytes)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                           "the store's id is damaged: restore the state directory from a backup");
      return NULL;
    }
  memcpy (vault->store_id.bytes, g_bytes_get_data (store_id, NULL), sizeof vault->store_id.bytes);
  return check_root_name (vault, root_name, error) ? open_root (vault, root_name, error) : NULL;
}

gboolean
cmk_vault_is_unlocked (CmkVault *vault)
{
  return vault->unlocked;
}

gboolean
cmk_vault_unlock (CmkVault *vault, GError **error)
{
  if (vault->unlocked)
    return TRUE;
  g_autoptr (CmkSecret) root = load_root (vault, error);
  if (root == NULL)
    return FALSE;
  g_autoptr (CmkSecret) row_key = cmk_derive_key (root, "cmkd/row/v1", error);
  g_autoptr (CmkSecret) token_key = row_key != NULL ? cmk_derive_key (root, "cmkd/import-token/v1", error) : NULL;
  g_autoptr (CmkSecret) marker_key = token_key != NULL ? cmk_derive_key (root, "cmkd/marker/v1", error) : NULL;
  g_autoptr (CmkSecret) context_key = marker_key != NULL ? cmk_derive_key (root, "cmkd/context/v1", error) : NULL;
  if (context_key == NULL)
    return FALSE;
  vault->row_key = g_steal_pointer (&row_key);
  vault->token_key = g_steal_pointer (&token_key);
  vault->marker_key = g_steal_pointer (&marker_key);
  g_atomic_pointer_set (&vault->keyring,
                        cmk_keyring_open (&vault->store_id, vault->context_seconds, vault->material_seconds));
  vault->contexts = cmk_object_contexts_new (vault->keyring, g_steal_pointer (&context_key));
  CmkTpmContextCache cache = cmk_object_contexts_cache (vault->contexts);
  if (vault->context_seconds > 0)
    cmk_tpm_set_context_cache (vault->tpm, &cache);
  cmk_store_set_mac (vault->store, row_mac, vault);
  vault->unlocked = TRUE;
  return TRUE;
}

CmkVault *
cmk_vault_open (const CmkConfig *config, const char *directory, GError **error)
{
  g_autoptr (CmkVault) vault = g_new0 (CmkVault, 1);
  vault->tcti = g_strdup (config->tcti);
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
  cmk_tpm_close (vault->tpm);
  cmk_object_contexts_free (vault->contexts);
  cmk_keyring_close (vault->keyring);
  cmk_store_close (vault->store);
  cmk_secret_free (vault->row_key);
  cmk_secret_free (vault->token_key);
  cmk_secret_free (vault->marker_key);
  g_clear_pointer (&vault->fingerprint_key, g_bytes_unref);
  g_free (vault->tcti);
  g_free (vault);
}

const char *
cmk_vault_keyring_status (CmkVault *vault)
{
  CmkKeyring *keyring = g_atomic_pointer_get (&vault->keyring);
  return keyring != NULL ? cmk_keyring_status (keyring) : "locked";
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
  return vault->token_key;
}

const CmkSecret *
cmk_vault_marker_key (CmkVault *vault)
{
  return vault->marker_key;
}
