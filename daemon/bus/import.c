/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base/error.h"
#include "base64.h"
#include "bus/answer.h"
#include "bus/arguments.h"
#include "bus/pair-wait.h"
#include "cmkd.h"
#include "kms/import.h"

#include <string.h>

/* --- GetParametersForImport --- */

static const CmkOption parameters_options[] = {
  { "Attest", "b" },
  { "Nonce", "s" },
  { "Credential", "s" },
  { NULL, NULL },
};

typedef struct
{
  CmkImportParametersRequest parameters;
  CmkPairWait wait;
} ParametersRequest;

static void
free_get_parameters (gpointer data)
{
  ParametersRequest *request = data;
  cmk_pair_wait_clear (&request->wait);
  g_clear_pointer (&request->parameters.attest.nonce, g_bytes_unref);
  g_clear_pointer (&request->parameters.attest.credential, g_bytes_unref);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ParametersRequest, free_get_parameters)

static gboolean
check_wrapping (CmkWrappingAlgorithm algorithm, CmkWrappingKeySpec spec, GError **error)
{
  if (cmk_wrapping_algorithm_fits (algorithm, spec))
    return TRUE;
  g_set_error (
      error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "wrapping_key_spec: %s does not go with wrapping_algorithm %s",
      cmk_spec_name (cmk_wrapping_key_specs, (int) spec), cmk_spec_name (cmk_wrapping_algorithms, (int) algorithm));
  return FALSE;
}

static gboolean
parse_nonce (GVariant *options, GBytes **ret_nonce, GError **error)
{
  gboolean attest = FALSE;
  const char *text = NULL;
  g_variant_lookup (options, "Attest", "b", &attest);
  g_variant_lookup (options, "Nonce", "&s", &text);
  if (attest != (text != NULL))
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                           "Nonce: goes with Attest true, and Attest needs one: 16 to 64 random bytes of your own, so "
                           "that what the TPM says cannot be older than they are");
      return FALSE;
    }
  if (!attest)
    return TRUE;
  g_autoptr (GBytes) nonce = cmk_arguments_decode ("Nonce", text, CMK_BASE64_CHARS (CMKD_MAX_NONCE_BYTES), error);
  if (nonce == NULL)
    return FALSE;
  gsize size = g_bytes_get_size (nonce);
  if (size < CMKD_MIN_NONCE_BYTES || size > CMKD_MAX_NONCE_BYTES)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "Nonce: must be %d to %d bytes long before Base64",
                   CMKD_MIN_NONCE_BYTES, CMKD_MAX_NONCE_BYTES);
      return FALSE;
    }
  *ret_nonce = g_steal_pointer (&nonce);
  return TRUE;
}

static gboolean
parse_attestation (GVariant *options, CmkAttestationRequest *request, GError **error)
{
  const char *text;
  if (!parse_nonce (options, &request->nonce, error))
    return FALSE;
  if (!g_variant_lookup (options, "Credential", "&s", &text))
    return TRUE;
  if (request->nonce == NULL)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "Credential: goes with Attest true");
      return FALSE;
    }
  request->credential = cmk_arguments_decode ("Credential", text, CMKD_MAX_CREDENTIAL_CHARS, error);
  return request->credential != NULL;
}

static ParametersRequest *
parse_get_parameters (const char *key_id, const char *wrapping_algorithm, const char *wrapping_key_spec,
                      GVariant *options, GError **error)
{
  g_autoptr (ParametersRequest) request = g_new0 (ParametersRequest, 1);
  CmkImportParametersRequest *parameters = &request->parameters;
  int algorithm, spec;
  if (!cmk_arguments_parse_key_id ("key_id", key_id, &parameters->key_id, error) ||
      !cmk_arguments_parse_choice ("wrapping_algorithm", wrapping_algorithm, cmk_wrapping_algorithms, &algorithm,
                                   error) ||
      !cmk_arguments_parse_choice ("wrapping_key_spec", wrapping_key_spec, cmk_wrapping_key_specs, &spec, error) ||
      !cmk_arguments_check_options (options, parameters_options, error) ||
      !parse_attestation (options, &parameters->attest, error) ||
      !check_wrapping ((CmkWrappingAlgorithm) algorithm, (CmkWrappingKeySpec) spec, error))
    return NULL;
  parameters->algorithm = (CmkWrappingAlgorithm) algorithm;
  parameters->wrapping_spec = (CmkWrappingKeySpec) spec;
  return g_steal_pointer (&request);
}

static void
put_attestation (GVariantDict *answer, const CmkAttestation *attestation)
{
  cmk_answer_put_bytes (answer, "WrappingKeyPublicArea", attestation->public_area);
  cmk_answer_put_bytes (answer, "CreationData", attestation->creation_data);
  cmk_answer_put_bytes (answer, "AttestationData", attestation->statement);
  cmk_answer_put_bytes (answer, "AttestationSignature", attestation->signature);
  cmk_answer_put_bytes (answer, "AttestationKey", attestation->attestation_key);
  cmk_answer_put_bytes (answer, "AttestationKeyPublicArea", attestation->attestation_key_area);
  if (attestation->endorsement_certificate != NULL)
    cmk_answer_put_bytes (answer, "EndorsementKeyCertificate", attestation->endorsement_certificate);
  if (attestation->credential_secret != NULL)
    cmk_answer_put_bytes (answer, "CredentialSecret", attestation->credential_secret);
}

static gboolean
run_get_parameters (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort,
                    GVariantDict *answer, GError **error)
{
  ParametersRequest *request = data;
  const CmkImportParametersRequest *wanted = &request->parameters;
  CmkImportParameters parameters = { 0 };
  if (!cmk_import_get_parameters (kms, caller, wanted, g_steal_pointer (&request->wait.pair), &parameters, error))
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &wanted->key_id);
  cmk_answer_put_bytes (answer, "ImportToken", parameters.token);
  cmk_answer_put_bytes (answer, "PublicKey", parameters.public_key);
  g_variant_dict_insert (answer, "TokenExpireTime", "x", parameters.expires_at);
  g_variant_dict_insert (answer, "WrappingAlgorithm", "s",
                         cmk_spec_name (cmk_wrapping_algorithms, (int) wanted->algorithm));
  g_variant_dict_insert (answer, "WrappingKeySpec", "s",
                         cmk_spec_name (cmk_wrapping_key_specs, (int) wanted->wrapping_spec));
  if (wanted->attest.nonce != NULL)
    put_attestation (answer, &parameters.attestation);
  cmk_import_parameters_clear (&parameters);
  return TRUE;
}

static void
wait_for_pair (CmkCall *call, CmkKms *kms, const CmkCaller *caller, gpointer data)
{
  ParametersRequest *request = data;
  const CmkImportParametersRequest *wanted = &request->parameters;
  cmk_pair_wait_begin (&request->wait, call, kms, caller, wanted->wrapping_spec, &wanted->key_id);
}

static gboolean
is_attested (gconstpointer data)
{
  return ((const ParametersRequest *) data)->parameters.attest.nonce != NULL;
}

static const CmkMethod get_parameters = {
  .name = "GetParametersForImport",
  .rate = CMK_RATE_PARAMETERS,
  .run = run_get_parameters,
  .wait = wait_for_pair,
  .is_long = is_attested,
  .free_request = free_get_parameters,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_get_parameters_for_import (G_GNUC_UNUSED CmkDBusImport *skeleton, GDBusMethodInvocation *invocation,
                              const char *key_id, const char *wrapping_algorithm, const char *wrapping_key_spec,
                              GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  ParametersRequest *request = parse_get_parameters (key_id, wrapping_algorithm, wrapping_key_spec, options, &error);
  cmk_calls_begin (calls, invocation, &get_parameters, request, error);
  return TRUE;
}

/* --- ImportKeyMaterial --- */

static const CmkOption import_options[] = {
  { "KeyMaterialExpireUnix", "x" },
  { "EncryptedPrivateKey", "s" },
  { "Sequence", "s" },
  { NULL, NULL },
};

typedef struct
{
  CmkImportRequest import;
  char *sequence; /* NULL: none was sent */
} ImportRequest;

static void
free_import (gpointer data)
{
  ImportRequest *request = data;
  g_clear_pointer (&request->import.encrypted_key_material, g_bytes_unref);
  g_clear_pointer (&request->import.import_token, g_bytes_unref);
  g_clear_pointer (&request->import.encrypted_private_key, g_bytes_unref);
  g_free (request->sequence);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImportRequest, free_import)

static gboolean
check_sequence (const char *sequence, GError **error)
{
  gboolean fits = strlen (sequence) == CMKD_SEQUENCE_CHARS;
  for (const char *c = sequence; fits && *c != '\0'; c++)
    fits = g_ascii_isalnum (*c) || *c == '-';
  if (!fits)
    g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                         "Sequence: must be 36 characters of 0-9, A-Z, a-z and -");
  return fits;
}

static gboolean
parse_import_options (GVariant *options, ImportRequest *request, GError **error)
{
  if (!cmk_arguments_check_options (options, import_options, error))
    return FALSE;
  g_variant_lookup (options, "KeyMaterialExpireUnix", "x", &request->import.expires_at);
  if (g_variant_lookup (options, "Sequence", "s", &request->sequence) && !check_sequence (request->sequence, error))
    return FALSE;
  const char *text;
  if (!g_variant_lookup (options, "EncryptedPrivateKey", "&s", &text))
    return TRUE;
  request->import.encrypted_private_key =
      cmk_arguments_decode ("EncryptedPrivateKey", text, CMKD_MAX_PRIVATE_KEY_CHARS, error);
  return request->import.encrypted_private_key != NULL;
}

static ImportRequest *
parse_import (const char *key_id, const char *encrypted_key_material, const char *import_token, GVariant *options,
              GError **error)
{
  g_autoptr (ImportRequest) request = g_new0 (ImportRequest, 1);
  CmkImportRequest *import = &request->import;
  if (!cmk_arguments_parse_key_id ("key_id", key_id, &import->key_id, error))
    return NULL;
  import->encrypted_key_material = cmk_arguments_decode ("encrypted_key_material", encrypted_key_material, 0, error);
  if (import->encrypted_key_material == NULL)
    return NULL;
  import->import_token = cmk_arguments_decode ("import_token", import_token, CMKD_MAX_TOKEN_CHARS, error);
  if (import->import_token == NULL || !parse_import_options (options, request, error))
    return NULL;
  return g_steal_pointer (&request);
}

static gboolean
run_import (CmkKms *kms, const CmkCaller *caller, gpointer data, G_GNUC_UNUSED CmkEffort effort, GVariantDict *answer,
            GError **error)
{
  const ImportRequest *request = data;
  g_autoptr (CmkKeyRecord) record = cmk_import_key_material (kms, caller, &request->import, error);
  if (record == NULL)
    return FALSE;
  cmk_answer_put_state (answer, record);
  g_variant_dict_insert (answer, "MaterialExpireTime", "x", record->expires_at);
  if (request->sequence != NULL)
    g_variant_dict_insert (answer, "Sequence", "s", request->sequence);
  return TRUE;
}

static void
tell_sequence (gconstpointer request, CmkAuditFact *ret_facts)
{
  ret_facts[0] = (CmkAuditFact) { "CMKD_SEQUENCE", "sequence", g_strdup (((const ImportRequest *) request)->sequence) };
}

static const CmkMethod import_key_material = {
  .name = "ImportKeyMaterial",
  .rate = CMK_RATE_IMPORTS,
  .run = run_import,
  .tell_facts = tell_sequence,
  .free_request = free_import,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_import_key_material (G_GNUC_UNUSED CmkDBusImport *skeleton, GDBusMethodInvocation *invocation, const char *key_id,
                        const char *encrypted_key_material, const char *import_token, GVariant *options,
                        CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  ImportRequest *request = parse_import (key_id, encrypted_key_material, import_token, options, &error);
  cmk_calls_begin (calls, invocation, &import_key_material, request, error);
  return TRUE;
}

/* --- DeleteKeyMaterial --- */

static CmkUuid *
parse_delete (const char *key_id, GError **error)
{
  CmkUuid id;
  return cmk_arguments_parse_key_id ("key_id", key_id, &id, error) ? g_memdup2 (&id, sizeof id) : NULL;
}

static gboolean
run_delete (CmkKms *kms, const CmkCaller *caller, gpointer key_id, G_GNUC_UNUSED CmkEffort effort, GVariantDict *answer,
            GError **error)
{
  g_autoptr (CmkKeyRecord) record = cmk_import_delete_key_material (kms, caller, key_id, error);
  if (record == NULL)
    return FALSE;
  cmk_answer_put_state (answer, record);
  return TRUE;
}

static const CmkMethod delete_key_material = {
  .name = "DeleteKeyMaterial",
  .run = run_delete,
  .free_request = g_free,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_delete_key_material (G_GNUC_UNUSED CmkDBusImport *skeleton, GDBusMethodInvocation *invocation, const char *key_id,
                        CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_delete (key_id, &error);
  cmk_calls_begin (calls, invocation, &delete_key_material, request, error);
  return TRUE;
}

void
cmk_bus_serve_import (CmkDBusImport *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-get-parameters-for-import", G_CALLBACK (on_get_parameters_for_import), calls);
  g_signal_connect (skeleton, "handle-import-key-material", G_CALLBACK (on_import_key_material), calls);
  g_signal_connect (skeleton, "handle-delete-key-material", G_CALLBACK (on_delete_key_material), calls);
}
