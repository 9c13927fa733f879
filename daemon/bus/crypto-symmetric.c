/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "bus/answer.h"
#include "bus/arguments.h"
#include "cmkd.h"
#include "kms/use-symmetric.h"

/* One request struct serves the methods of this interface; each fills what it has. */
typedef struct
{
  CmkKeyReference key;    /* the destination, for ReEncrypt */
  gboolean has_key;       /* Decrypt: KeyId was given */
  GBytes *context;        /* of what is made, or of what is opened when nothing is made */
  GBytes *source_context; /* ReEncrypt */
  CmkSecret *plaintext;   /* Encrypt */
  GBytes *blob;           /* Decrypt, ReEncrypt */
  guint size;             /* GenerateDataKey */
} UseRequest;

static void
free_use (gpointer data)
{
  UseRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_clear_pointer (&request->context, g_bytes_unref);
  g_clear_pointer (&request->source_context, g_bytes_unref);
  g_clear_pointer (&request->plaintext, cmk_secret_free);
  g_clear_pointer (&request->blob, g_bytes_unref);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (UseRequest, free_use)

/* --- Encrypt --- */

static const CmkOption encrypt_options[] = { { "EncryptionContext", "a{ss}" }, { NULL, NULL } };

static UseRequest *
parse_encrypt (const char *key, const char *plaintext, GVariant *options, GError **error)
{
  g_autoptr (UseRequest) request = g_new0 (UseRequest, 1);
  if (!cmk_arguments_parse_key ("key", key, &request->key, error))
    return NULL;
  request->plaintext = cmk_arguments_decode_secret ("plaintext", plaintext, CMKD_MAX_PLAINTEXT_BYTES, error);
  if (request->plaintext == NULL || !cmk_arguments_check_options (options, encrypt_options, error))
    return NULL;
  request->context = cmk_arguments_get_context (options, "EncryptionContext", error);
  return request->context != NULL ? g_steal_pointer (&request) : NULL;
}

static gboolean
run_encrypt (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
             GError **error)
{
  const UseRequest *request = data;
  CmkUuid key_id;
  g_autoptr (GBytes) blob =
      cmk_use_encrypt (kms, caller, effort, &request->key, request->context, request->plaintext, &key_id, error);
  if (blob == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_bytes (answer, "CiphertextBlob", blob);
  return TRUE;
}

static const CmkMethod encrypt = {
  .name = "Encrypt",
  .run = run_encrypt,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_use,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_encrypt (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
            const char *plaintext, GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_encrypt (key, plaintext, options, &error);
  cmk_calls_begin (calls, invocation, &encrypt, request, error);
  return TRUE;
}

/* --- Decrypt --- */

static const CmkOption decrypt_options[] = { { "EncryptionContext", "a{ss}" }, { "KeyId", "s" }, { NULL, NULL } };

static UseRequest *
parse_decrypt (const char *blob, GVariant *options, GError **error)
{
  g_autoptr (UseRequest) request = g_new0 (UseRequest, 1);
  const char *key;
  request->blob = cmk_arguments_decode ("ciphertext_blob", blob, 0, error);
  if (request->blob == NULL || !cmk_arguments_check_options (options, decrypt_options, error))
    return NULL;
  request->has_key = g_variant_lookup (options, "KeyId", "&s", &key);
  if (request->has_key && !cmk_arguments_parse_key ("KeyId", key, &request->key, error))
    return NULL;
  request->context = cmk_arguments_get_context (options, "EncryptionContext", error);
  return request->context != NULL ? g_steal_pointer (&request) : NULL;
}

static gboolean
run_decrypt (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
             GError **error)
{
  const UseRequest *request = data;
  CmkUuid key_id;
  g_autoptr (CmkSecret) plaintext = cmk_use_decrypt (kms, caller, effort, request->blob, request->context,
                                                     request->has_key ? &request->key : NULL, &key_id, error);
  if (plaintext == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  return cmk_answer_put_secret (answer, "Plaintext", plaintext, error);
}

static const CmkMethod decrypt = {
  .name = "Decrypt",
  .run = run_decrypt,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_use,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_decrypt (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *blob,
            GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_decrypt (blob, options, &error);
  cmk_calls_begin (calls, invocation, &decrypt, request, error);
  return TRUE;
}

/* --- ReEncrypt --- */

static const CmkOption re_encrypt_options[] = {
  { "SourceEncryptionContext", "a{ss}" },
  { "DestinationEncryptionContext", "a{ss}" },
  { NULL, NULL },
};

static UseRequest *
parse_re_encrypt (const char *blob, const char *destination_key, GVariant *options, GError **error)
{
  g_autoptr (UseRequest) request = g_new0 (UseRequest, 1);
  request->blob = cmk_arguments_decode ("ciphertext_blob", blob, 0, error);
  if (request->blob == NULL || !cmk_arguments_parse_key ("destination_key", destination_key, &request->key, error) ||
      !cmk_arguments_check_options (options, re_encrypt_options, error))
    return NULL;
  request->source_context = cmk_arguments_get_context (options, "SourceEncryptionContext", error);
  if (request->source_context == NULL)
    return NULL;
  request->context = cmk_arguments_get_context (options, "DestinationEncryptionContext", error);
  return request->context != NULL ? g_steal_pointer (&request) : NULL;
}

static gboolean
run_re_encrypt (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
                GError **error)
{
  const UseRequest *request = data;
  CmkUuid source_key_id, key_id;
  g_autoptr (GBytes) blob = cmk_use_re_encrypt (kms, caller, effort, request->blob, request->source_context,
                                                &request->key, request->context, &source_key_id, &key_id, error);
  if (blob == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_key_id (answer, "SourceKeyId", &source_key_id);
  cmk_answer_put_bytes (answer, "CiphertextBlob", blob);
  return TRUE;
}

static const CmkMethod re_encrypt = {
  .name = "ReEncrypt",
  .run = run_re_encrypt,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_use,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_re_encrypt (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *blob,
               const char *destination_key, GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_re_encrypt (blob, destination_key, options, &error);
  cmk_calls_begin (calls, invocation, &re_encrypt, request, error);
  return TRUE;
}

/* --- GenerateDataKey, GenerateDataKeyWithoutPlaintext --- */

static const CmkOption data_key_options[] = {
  { "KeySpec", "s" },
  { "NumberOfBytes", "u" },
  { "EncryptionContext", "a{ss}" },
  { NULL, NULL },
};

/* The value is the size. */
static const CmkSpecName data_key_specs[] = { { 32, "AES_256" }, { 16, "AES_128" }, { 0, NULL } };

static UseRequest *
parse_data_key (const char *key, GVariant *options, GError **error)
{
  g_autoptr (UseRequest) request = g_new0 (UseRequest, 1);
  int spec_size = 32;
  if (!cmk_arguments_parse_key ("key", key, &request->key, error) ||
      !cmk_arguments_check_options (options, data_key_options, error) ||
      !cmk_arguments_get_choice (options, "KeySpec", data_key_specs, &spec_size, error))
    return NULL;
  request->size = (guint) spec_size;
  if (!cmk_arguments_get_uint (options, "NumberOfBytes", 1, CMKD_MAX_DATA_KEY_BYTES, &request->size, error))
    return NULL;
  request->context = cmk_arguments_get_context (options, "EncryptionContext", error);
  return request->context != NULL ? g_steal_pointer (&request) : NULL;
}

static CmkSecret *
make_data_key (CmkKms *kms, const CmkCaller *caller, const UseRequest *request, CmkEffort effort, GVariantDict *answer,
               GError **error)
{
  CmkUuid key_id;
  g_autoptr (GBytes) blob = NULL;
  CmkSecret *data_key = cmk_use_generate_data_key (kms, caller, effort, &request->key, request->context, request->size,
                                                   &blob, &key_id, error);
  if (data_key == NULL)
    return NULL;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_bytes (answer, "CiphertextBlob", blob);
  return data_key;
}

static gboolean
run_generate_data_key (CmkKms *kms, const CmkCaller *caller, gpointer request, CmkEffort effort, GVariantDict *answer,
                       GError **error)
{
  g_autoptr (CmkSecret) data_key = make_data_key (kms, caller, request, effort, answer, error);
  return data_key != NULL && cmk_answer_put_secret (answer, "Plaintext", data_key, error);
}

static gboolean
run_generate_data_key_without_plaintext (CmkKms *kms, const CmkCaller *caller, gpointer request, CmkEffort effort,
                                         GVariantDict *answer, GError **error)
{
  g_autoptr (CmkSecret) data_key = make_data_key (kms, caller, request, effort, answer, error);
  return data_key != NULL;
}

static const CmkMethod generate_data_key = {
  .name = "GenerateDataKey",
  .run = run_generate_data_key,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_use,
  .weight = CMK_AUDIT_USE,
};

static const CmkMethod generate_data_key_without_plaintext = {
  .name = "GenerateDataKeyWithoutPlaintext",
  .run = run_generate_data_key_without_plaintext,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_use,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_generate_data_key (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
                      GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_data_key (key, options, &error);
  cmk_calls_begin (calls, invocation, &generate_data_key, request, error);
  return TRUE;
}

static gboolean
on_generate_data_key_without_plaintext (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation,
                                        const char *key, GVariant *options, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_data_key (key, options, &error);
  cmk_calls_begin (calls, invocation, &generate_data_key_without_plaintext, request, error);
  return TRUE;
}

void
cmk_bus_serve_symmetric (CmkDBusCrypto *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-encrypt", G_CALLBACK (on_encrypt), calls);
  g_signal_connect (skeleton, "handle-decrypt", G_CALLBACK (on_decrypt), calls);
  g_signal_connect (skeleton, "handle-re-encrypt", G_CALLBACK (on_re_encrypt), calls);
  g_signal_connect (skeleton, "handle-generate-data-key", G_CALLBACK (on_generate_data_key), calls);
  g_signal_connect (skeleton, "handle-generate-data-key-without-plaintext",
                    G_CALLBACK (on_generate_data_key_without_plaintext), calls);
}
