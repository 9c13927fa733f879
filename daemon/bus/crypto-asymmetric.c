/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base/error.h"
#include "base64.h"
#include "bus/answer.h"
#include "bus/arguments.h"
#include "cmkd.h"
#include "kms/use-asymmetric.h"

/* --- Sign, Verify --- */

static const CmkOption signing_options[] = { { "MessageType", "s" }, { NULL, NULL } };

typedef struct
{
  CmkSigningRequest signing;
  GBytes *signature; /* Verify */
} SigningRequest;

static void
free_signing (gpointer data)
{
  SigningRequest *request = data;
  cmk_key_reference_clear (&request->signing.key);
  g_clear_pointer (&request->signing.message, g_bytes_unref);
  g_clear_pointer (&request->signature, g_bytes_unref);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SigningRequest, free_signing)

static gboolean
check_digest_length (const CmkSigningRequest *signing, GError **error)
{
  gsize expected = cmk_signing_algorithm_digest_bytes (signing->algorithm);
  if (signing->type == CMK_MESSAGE_RAW || g_bytes_get_size (signing->message) == expected)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
               "message: with MessageType DIGEST %s takes the %" G_GSIZE_FORMAT " bytes of a digest",
               cmk_spec_name (cmk_signing_algorithms, (int) signing->algorithm), expected);
  return FALSE;
}

static gboolean
parse_algorithm_and_type (const char *algorithm_name, GVariant *options, CmkSigningRequest *signing, GError **error)
{
  int algorithm;
  int type = CMK_MESSAGE_RAW;
  if (!cmk_arguments_parse_choice ("algorithm", algorithm_name, cmk_signing_algorithms, &algorithm, error) ||
      !cmk_arguments_check_options (options, signing_options, error) ||
      !cmk_arguments_get_choice (options, "MessageType", cmk_message_types, &type, error))
    return FALSE;
  signing->algorithm = (CmkSigningAlgorithm) algorithm;
  signing->type = (CmkMessageType) type;
  return check_digest_length (signing, error);
}

/* @signature is NULL for Sign. */
static SigningRequest *
parse_signing (const char *key, const char *message, const char *signature, const char *algorithm, GVariant *options,
               GError **error)
{
  g_autoptr (SigningRequest) request = g_new0 (SigningRequest, 1);
  CmkSigningRequest *signing = &request->signing;
  if (!cmk_arguments_parse_key ("key", key, &signing->key, error))
    return NULL;
  signing->message = cmk_arguments_decode ("message", message, CMK_BASE64_CHARS (CMKD_MAX_MESSAGE_BYTES), error);
  if (signing->message == NULL)
    return NULL;
  if (signature != NULL)
    {
      request->signature =
          cmk_arguments_decode ("signature", signature, CMK_BASE64_CHARS (CMKD_MAX_MESSAGE_BYTES), error);
      if (request->signature == NULL)
        return NULL;
    }
  return parse_algorithm_and_type (algorithm, options, signing, error) ? g_steal_pointer (&request) : NULL;
}

static gboolean
run_sign (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer, GError **error)
{
  const SigningRequest *request = data;
  CmkUuid key_id;
  g_autoptr (GBytes) signature = cmk_use_sign (kms, caller, effort, &request->signing, &key_id, error);
  if (signature == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_bytes (answer, "Signature", signature);
  return TRUE;
}

static gboolean
run_verify (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer, GError **error)
{
  const SigningRequest *request = data;
  CmkUuid key_id;
  gboolean valid;
  if (!cmk_use_verify (kms, caller, effort, &request->signing, request->signature, &valid, &key_id, error))
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  g_variant_dict_insert (answer, "SignatureValid", "b", valid);
  return TRUE;
}

static const CmkMethod sign = {
  .name = "Sign",
  .run = run_sign,
  .cached = CMK_CACHED_ON_CALCULATOR,
  .free_request = free_signing,
  .weight = CMK_AUDIT_USE,
};

static const CmkMethod verify = {
  .name = "Verify",
  .run = run_verify,
  .cached = CMK_CACHED_ON_CALCULATOR,
  .free_request = free_signing,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_sign (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key, const char *message,
         const char *algorithm, GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_signing (key, message, NULL, algorithm, options, &error);
  cmk_calls_begin (calls, invocation, &sign, request, error);
  return TRUE;
}

static gboolean
on_verify (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
           const char *message, const char *signature, const char *algorithm, GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_signing (key, message, signature, algorithm, options, &error);
  cmk_calls_begin (calls, invocation, &verify, request, error);
  return TRUE;
}

/* --- AsymmetricEncrypt, AsymmetricDecrypt --- */

typedef struct
{
  CmkKeyReference key;
  CmkEncryptionAlgorithm algorithm;
  CmkSecret *plaintext; /* AsymmetricEncrypt */
  GBytes *ciphertext;   /* AsymmetricDecrypt */
} CipherRequest;

static void
free_cipher (gpointer data)
{
  CipherRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_clear_pointer (&request->plaintext, cmk_secret_free);
  g_clear_pointer (&request->ciphertext, g_bytes_unref);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CipherRequest, free_cipher)

static gboolean
parse_cipher_algorithm (const char *algorithm_name, CipherRequest *request, GError **error)
{
  int algorithm;
  if (!cmk_arguments_parse_choice ("algorithm", algorithm_name, cmk_encryption_algorithms, &algorithm, error))
    return FALSE;
  request->algorithm = (CmkEncryptionAlgorithm) algorithm;
  return TRUE;
}

static CipherRequest *
parse_encrypt (const char *key, const char *plaintext, const char *algorithm, GError **error)
{
  g_autoptr (CipherRequest) request = g_new0 (CipherRequest, 1);
  if (!cmk_arguments_parse_key ("key", key, &request->key, error))
    return NULL;
  request->plaintext = cmk_arguments_decode_secret ("plaintext", plaintext, CMKD_MAX_SM2_PLAINTEXT_BYTES, error);
  if (request->plaintext == NULL || !parse_cipher_algorithm (algorithm, request, error))
    return NULL;
  return g_steal_pointer (&request);
}

static CipherRequest *
parse_decrypt (const char *key, const char *ciphertext, const char *algorithm, GError **error)
{
  g_autoptr (CipherRequest) request = g_new0 (CipherRequest, 1);
  if (!cmk_arguments_parse_key ("key", key, &request->key, error))
    return NULL;
  request->ciphertext =
      cmk_arguments_decode ("ciphertext", ciphertext, CMK_BASE64_CHARS (CMKD_MAX_ASYMMETRIC_CIPHERTEXT_BYTES), error);
  if (request->ciphertext == NULL || !parse_cipher_algorithm (algorithm, request, error))
    return NULL;
  return g_steal_pointer (&request);
}

static gboolean
run_encrypt (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
             GError **error)
{
  const CipherRequest *request = data;
  CmkUuid key_id;
  g_autoptr (GBytes) ciphertext = cmk_use_asymmetric_encrypt (kms, caller, effort, &request->key, request->algorithm,
                                                              request->plaintext, &key_id, error);
  if (ciphertext == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_bytes (answer, "CiphertextBlob", ciphertext);
  return TRUE;
}

static gboolean
run_decrypt (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
             GError **error)
{
  const CipherRequest *request = data;
  CmkUuid key_id;
  g_autoptr (CmkSecret) plaintext = cmk_use_asymmetric_decrypt (kms, caller, effort, &request->key, request->algorithm,
                                                                request->ciphertext, &key_id, error);
  if (plaintext == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return cmk_answer_put_secret (answer, "Plaintext", plaintext, error);
}

static const CmkMethod asymmetric_encrypt = {
  .name = "AsymmetricEncrypt",
  .run = run_encrypt,
  .cached = CMK_CACHED_ON_CALCULATOR,
  .free_request = free_cipher,
  .weight = CMK_AUDIT_USE,
};

static const CmkMethod asymmetric_decrypt = {
  .name = "AsymmetricDecrypt",
  .run = run_decrypt,
  .cached = CMK_CACHED_ON_CALCULATOR,
  .free_request = free_cipher,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_asymmetric_encrypt (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
                       const char *plaintext, const char *algorithm, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_encrypt (key, plaintext, algorithm, &error);
  cmk_calls_begin (calls, invocation, &asymmetric_encrypt, request, error);
  return TRUE;
}

static gboolean
on_asymmetric_decrypt (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
                       const char *ciphertext, const char *algorithm, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_decrypt (key, ciphertext, algorithm, &error);
  cmk_calls_begin (calls, invocation, &asymmetric_decrypt, request, error);
  return TRUE;
}

/* --- GetPublicKey --- */

static void
free_reference (gpointer reference)
{
  cmk_key_reference_clear (reference);
  g_free (reference);
}

static gboolean
run_get_public_key (CmkKms *kms, const CmkCaller *caller, gpointer key, G_GNUC_UNUSED CmkEffort effort,
                    GVariantDict *answer, GError **error)
{
  CmkUuid key_id;
  CmkKeySpec spec;
  g_autoptr (GBytes) public_key = cmk_use_public_key (kms, caller, key, &key_id, &spec, error);
  if (public_key == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_bytes (answer, "PublicKey", public_key);
  g_variant_dict_insert (answer, "KeySpec", "s", cmk_spec_name (cmk_key_specs, (int) spec));
  return TRUE;
}

static const CmkMethod get_public_key = {
  .name = "GetPublicKey",
  .run = run_get_public_key,
  .free_request = free_reference,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_get_public_key (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
                   CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  g_autofree CmkKeyReference *reference = g_new0 (CmkKeyReference, 1);
  gboolean parsed = cmk_arguments_parse_key ("key", key, reference, &error);
  cmk_calls_begin (calls, invocation, &get_public_key, parsed ? g_steal_pointer (&reference) : NULL, error);
  return TRUE;
}

void
cmk_bus_serve_asymmetric (CmkDBusCrypto *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-sign", G_CALLBACK (on_sign), calls);
  g_signal_connect (skeleton, "handle-verify", G_CALLBACK (on_verify), calls);
  g_signal_connect (skeleton, "handle-asymmetric-encrypt", G_CALLBACK (on_asymmetric_encrypt), calls);
  g_signal_connect (skeleton, "handle-asymmetric-decrypt", G_CALLBACK (on_asymmetric_decrypt), calls);
  g_signal_connect (skeleton, "handle-get-public-key", G_CALLBACK (on_get_public_key), calls);
}
