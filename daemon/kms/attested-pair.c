/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/attested-pair.h"

#include "base/error.h"
#include "crypto/signature.h"
#include "kms/resident.h"
#include "kms/vault-internal.h"
#include "tpm/attestation.h"
#include "tpm/credential.h"
#include "tpm/endorsement.h"

#include <string.h>

/* Of the store: the name of the storage root key that it is under, which is that of the TPM, and its blob. Custodians
 * know the TPM by this key, so it is kept as long as the TPM. */
#define FACT "attestation-key"

void
cmk_attestation_clear (CmkAttestation *attestation)
{
  g_clear_pointer (&attestation->public_area, g_bytes_unref);
  g_clear_pointer (&attestation->creation_data, g_bytes_unref);
  g_clear_pointer (&attestation->statement, g_bytes_unref);
  g_clear_pointer (&attestation->signature, g_bytes_unref);
  g_clear_pointer (&attestation->attestation_key, g_bytes_unref);
  g_clear_pointer (&attestation->attestation_key_area, g_bytes_unref);
  g_clear_pointer (&attestation->endorsement_certificate, g_bytes_unref);
  g_clear_pointer (&attestation->credential_secret, g_bytes_unref);
}

static CmkResidentKind
kind_of (CmkWrappingKeySpec spec)
{
  return spec == CMK_WRAPPING_KEY_RSA_2048 ? CMK_RESIDENT_RSA_2048 : CMK_RESIDENT_RSA_3072;
}

gboolean
cmk_attested_pair_check (CmkVault *vault, CmkWrappingKeySpec spec, const CmkAttestationRequest *request, GError **error)
{
  if (spec != CMK_WRAPPING_KEY_RSA_2048 && spec != CMK_WRAPPING_KEY_RSA_3072)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
                   "Attest: the TPM makes wrapping keys of RSA_2048 and RSA_3072 only, not %s",
                   cmk_spec_name (cmk_wrapping_key_specs, (int) spec));
      return FALSE;
    }
  if (request->credential != NULL && !cmk_tpm_check_credential (request->credential, error))
    return FALSE;
  return cmk_vault_note_tpm (
      vault, cmk_vault_connect_tpm (vault, error) && cmk_tpm_can_attest (vault->tpm, kind_of (spec), error), error);
}

/* --- the attestation key --- */

static GBytes *
make_attestation_key (CmkVault *vault, CmkTpmSession *session, GError **error)
{
  g_autoptr (GBytes) key = cmk_tpm_attestation_key_create (session, CMK_TPM_MORE, error);
  if (!cmk_vault_note_tpm (vault, key != NULL, error))
    return NULL;
  g_autoptr (GByteArray) fact = g_byte_array_new ();
  for (GBytes *const *part = (GBytes *const[]) { vault->storage_key_name, key, NULL }; *part != NULL; part++)
    g_byte_array_append (fact, g_bytes_get_data (*part, NULL), (guint) g_bytes_get_size (*part));
  g_autoptr (GBytes) value = g_byte_array_free_to_bytes (g_steal_pointer (&fact));
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (vault->store, error);
  if (transaction == NULL || !cmk_store_put_fact (vault->store, FACT, value, error) ||
      !cmk_store_commit (transaction, error))
    return NULL;
  return g_steal_pointer (&key);
}

static GBytes *
get_attestation_key (CmkVault *vault, CmkTpmSession *session, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) fact = cmk_store_get_fact (vault->store, FACT, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  gsize name_size, size = fact != NULL ? g_bytes_get_size (fact) : 0;
  gconstpointer name = g_bytes_get_data (vault->storage_key_name, &name_size);
  if (size > name_size && memcmp (g_bytes_get_data (fact, NULL), name, name_size) == 0)
    return g_bytes_new_from_bytes (fact, name_size, size - name_size);
  return make_attestation_key (vault, session, error);
}

/* --- making --- */

/* A signature that does not verify is kept back: a fault of the chip's could give the attestation key away. */
static gboolean
put_signature (const CmkTpmAttestation *made, CmkAttestation *attestation, GError **error)
{
  gboolean valid = FALSE;
  attestation->signature = cmk_signature_encode_ecdsa (made->signature, CMK_TPM_ATTESTATION_SIGNATURE_SIZE / 2, error);
  if (attestation->signature == NULL ||
      !cmk_signature_check (attestation->attestation_key, CMK_SIGNING_ECDSA_SHA_256, CMK_MESSAGE_RAW, made->attest,
                            attestation->signature, &valid, error))
    return FALSE;
  if (!valid)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE,
                         "the TPM has given a wrong signature of its attestation key: try again");
  return valid;
}

static gboolean
describe (const CmkTpmAttestation *made, GBytes *attestation_key, CmkAttestation *attestation, GError **error)
{
  attestation->public_area = g_bytes_ref (made->public_area);
  attestation->creation_data = g_bytes_ref (made->creation_data);
  attestation->statement = g_bytes_ref (made->attest);
  attestation->attestation_key_area = g_bytes_ref (made->attestation_key_area);
  attestation->attestation_key = cmk_resident_public_der (attestation_key, CMK_KEY_SPEC_EC_P256, error);
  return attestation->attestation_key != NULL && put_signature (made, attestation, error);
}

static gboolean
put_certificate (CmkVault *vault, CmkTpmSession *session, CmkAttestation *attestation, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  attestation->endorsement_certificate = cmk_tpm_endorsement_certificate (session, &local_error);
  if (cmk_vault_note_tpm (vault, local_error == NULL, &local_error))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
put_secret (CmkVault *vault, CmkTpmSession *session, GBytes *attestation_key, GBytes *credential,
            CmkAttestation *attestation, GError **error)
{
  if (credential == NULL)
    return TRUE;
  attestation->credential_secret = cmk_tpm_activate_credential (session, attestation_key, credential, error);
  return cmk_vault_note_tpm (vault, attestation->credential_secret != NULL, error);
}

static CmkWrappingPair *
new_pair (CmkWrappingKeySpec spec, GBytes *object, GError **error)
{
  g_autoptr (GBytes) public_key = cmk_resident_public_der (object, cmk_wrapping_key_spec_key (spec), error);
  if (public_key == NULL)
    return NULL;
  CmkWrappingPair *pair = g_new0 (CmkWrappingPair, 1);
  pair->id = cmk_uuid_new ();
  pair->spec = spec;
  pair->public_key = g_steal_pointer (&public_key);
  pair->sealed_key = g_bytes_new (NULL, 0);
  pair->envelope = g_bytes_ref (object);
  return pair;
}

CmkWrappingPair *
cmk_attested_pair_make (CmkVault *vault, CmkWrappingKeySpec spec, const CmkAttestationRequest *request,
                        CmkAttestation *ret_attestation, GError **error)
{
  g_auto (CmkTpmAttestation) made = { 0 };
  g_auto (CmkAttestation) attestation = { 0 };
  g_autoptr (CmkTpmSession) session = cmk_vault_begin_session (vault, error);
  g_autoptr (GBytes) attestation_key = session != NULL ? get_attestation_key (vault, session, error) : NULL;
  if (attestation_key == NULL || !put_certificate (vault, session, &attestation, error))
    return NULL;
  if (!put_secret (vault, session, attestation_key, request->credential, &attestation, error))
    return NULL;
  g_autofree char *cache_name = cmk_object_contexts_name (attestation_key);
  g_autoptr (GBytes) object = cmk_tpm_create_attested (session, kind_of (spec), request->nonce, attestation_key,
                                                       cache_name, CMK_TPM_LAST, &made, error);
  if (!cmk_vault_note_tpm (vault, object != NULL, error) || !describe (&made, attestation_key, &attestation, error))
    return NULL;
  CmkWrappingPair *pair = new_pair (spec, object, error);
  if (pair == NULL)
    return NULL;
  *ret_attestation = attestation;
  attestation = (CmkAttestation) { 0 };
  return pair;
}

/* --- use --- */

gboolean
cmk_attested_pair_is (const CmkImportSetRecord *set)
{
  return g_bytes_get_size (set->sealed_key) == 0;
}

void
cmk_attested_hold_clear (CmkAttestedHold *hold)
{
  g_clear_pointer (&hold->object, g_bytes_unref);
}

/* Used once in most cases: no context is kept. */
static gboolean
decrypt (gpointer data, const guint8 *input, gsize size, guint8 *ret_output, GError **error)
{
  const CmkAttestedHold *hold = data;
  return cmk_vault_note_tpm (
      hold->vault,
      cmk_tpm_resident_rsa (hold->session, hold->object, NULL, input, size, CMK_TPM_MORE, ret_output, error), error);
}

CmkPrivateKey *
cmk_attested_pair_open (CmkAttestedHold *hold, CmkWrappingKeySpec spec, GError **error)
{
  CmkKeySpec key_spec = cmk_wrapping_key_spec_key (spec);
  g_autoptr (GBytes) public_key = cmk_resident_public_der (hold->object, key_spec, error);
  hold->holder = (CmkPrivateKeyHolder) { .rsa = decrypt, .data = hold };
  return public_key != NULL ? cmk_private_key_held (key_spec, public_key, &hold->holder, error) : NULL;
}
