/* SPDX-License-Identifier: Apache-2.0
 *
 * The one construct for every secret: a sealed data key and an envelope. */
#include "kms/vault-internal.h"

#include "crypto/crypto.h"
#include "crypto/envelope.h"

#include <string.h>

gboolean
cmk_vault_seal (CmkVault *vault, CmkTpmSession *session, const CmkSecretIdentity *identity, const CmkSecret *payload,
                CmkTpmPlace place, GBytes **ret_sealed_key, GBytes **ret_envelope, GError **error)
{
  g_autoptr (CmkSecret) data_key = cmk_random_secret (CMK_DATA_KEY_SIZE, error);
  if (data_key == NULL)
    return FALSE;
  g_autoptr (GBytes) sealed_key = cmk_tpm_seal (session, data_key, place, error);
  if (!cmk_vault_note_tpm (vault, sealed_key != NULL, error))
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
  if (!cmk_vault_note_tpm (vault, data_key != NULL, error))
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
  if (!cmk_vault_note_tpm (vault, made, error))
    return NULL;
  return g_bytes_new (fingerprint, sizeof fingerprint);
}
