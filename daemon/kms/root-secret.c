/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/root-secret.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/envelope.h"
#include "kms/bytes.h"
#include "kms/secret-identity.h"

#include <string.h>

#define META_STORE_ID        "store-id"
#define META_ROOT_NAME       "storage-root-key-name"
#define META_ROOT_SEALED_KEY "root-sealed-key"
#define META_ROOT_ENVELOPE   "root-envelope"
#define META_FINGERPRINT_KEY "fingerprint-key"

void
cmk_root_secret_free (CmkRootSecret *root)
{
  if (root == NULL)
    return;
  g_bytes_unref (root->storage_key_name);
  g_bytes_unref (root->fingerprint_key);
  g_bytes_unref (root->sealed_key);
  g_bytes_unref (root->envelope);
  cmk_secret_free (root->secret);
  g_free (root);
}

static GBytes *
encode_identity (const CmkRootSecret *root)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  cmk_bytes_put_u32 (bytes, (guint32) g_bytes_get_size (root->storage_key_name));
  g_byte_array_append (bytes, g_bytes_get_data (root->storage_key_name, NULL),
                       (guint) g_bytes_get_size (root->storage_key_name));
  g_byte_array_append (bytes, g_bytes_get_data (root->fingerprint_key, NULL),
                       (guint) g_bytes_get_size (root->fingerprint_key));
  g_autoptr (GBytes) bound = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  const CmkSecretIdentity identity = { .kind = CMK_SECRET_ROOT, .id = root->store_id };
  return cmk_secret_identity_encode (&identity, &root->store_id, bound);
}

CmkRootSecret *
cmk_root_secret_make (CmkTpmSession *session, GBytes *storage_key_name, const CmkUuid *store_id, GError **error)
{
  g_autoptr (CmkRootSecret) root = g_new0 (CmkRootSecret, 1);
  root->store_id = *store_id;
  root->storage_key_name = g_bytes_ref (storage_key_name);
  root->fingerprint_key = cmk_tpm_create_fingerprint_key (session, CMK_TPM_MORE, error);
  root->secret = root->fingerprint_key != NULL ? cmk_random_secret (CMK_DATA_KEY_SIZE, error) : NULL;
  g_autoptr (CmkSecret) data_key = root->secret != NULL ? cmk_random_secret (CMK_DATA_KEY_SIZE, error) : NULL;
  root->sealed_key = data_key != NULL ? cmk_tpm_seal (session, data_key, CMK_TPM_LAST, error) : NULL;
  if (root->sealed_key == NULL)
    return NULL;
  g_autoptr (GBytes) identity = encode_identity (root);
  root->envelope = cmk_envelope_seal (data_key, identity, root->secret, error);
  return root->envelope != NULL ? g_steal_pointer (&root) : NULL;
}

gboolean
cmk_root_secret_put (CmkStore *store, const CmkRootSecret *root, GError **error)
{
  g_autoptr (GBytes) store_id = g_bytes_new (root->store_id.bytes, sizeof root->store_id.bytes);
  return cmk_store_put_meta (store, META_STORE_ID, store_id, error) &&
         cmk_store_put_meta (store, META_ROOT_NAME, root->storage_key_name, error) &&
         cmk_store_put_meta (store, META_ROOT_SEALED_KEY, root->sealed_key, error) &&
         cmk_store_put_meta (store, META_ROOT_ENVELOPE, root->envelope, error) &&
         cmk_store_put_meta (store, META_FINGERPRINT_KEY, root->fingerprint_key, error);
}

static gboolean
read_meta (CmkStore *store, const char *name, GBytes **ret_value, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  *ret_value = cmk_store_get_meta (store, name, &local_error);
  if (*ret_value == NULL && local_error == NULL)
    g_set_error (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                 "the store has lost its %s: restore the state directory from a backup", name);
  else if (*ret_value == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return *ret_value != NULL;
}

CmkRootSecret *
cmk_root_secret_read (CmkStore *store, GError **error)
{
  g_autoptr (GBytes) store_id = cmk_store_get_meta (store, META_STORE_ID, error);
  if (store_id == NULL)
    return NULL;
  g_autoptr (CmkRootSecret) root = g_new0 (CmkRootSecret, 1);
  if (!read_meta (store, META_ROOT_NAME, &root->storage_key_name, error) ||
      !read_meta (store, META_ROOT_SEALED_KEY, &root->sealed_key, error) ||
      !read_meta (store, META_ROOT_ENVELOPE, &root->envelope, error) ||
      !read_meta (store, META_FINGERPRINT_KEY, &root->fingerprint_key, error))
    return NULL;
  if (g_bytes_get_size (store_id) != sizeof root->store_id.bytes)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                           "the store's id is damaged: restore the state directory from a backup");
      return NULL;
    }
  memcpy (root->store_id.bytes, g_bytes_get_data (store_id, NULL), sizeof root->store_id.bytes);
  return g_steal_pointer (&root);
}

gboolean
cmk_root_secret_open (CmkRootSecret *root, CmkTpmSession *session, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkSecret) data_key = cmk_tpm_unseal (session, root->sealed_key, NULL, CMK_TPM_MORE, &local_error);
  /* The name of the storage root key was right, so it is the record that is not what this TPM sealed. */
  if (g_error_matches (local_error, CMK_ERROR, CMK_ERROR_TPM_CHANGED))
    local_error->code = CMK_ERROR_STATE_CORRUPTED;
  g_autoptr (GBytes) identity = encode_identity (root);
  if (data_key != NULL)
    root->secret = cmk_envelope_open (data_key, identity, root->envelope, &local_error);
  if (root->secret == NULL)
    g_propagate_prefixed_error (error, g_steal_pointer (&local_error), "the root secret of the store: ");
  return root->secret != NULL;
}
