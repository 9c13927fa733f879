/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base64.h"
#include "bus/answer.h"
#include "bus/arguments.h"
#include "cmkd.h"
#include "kms/use-mac.h"

typedef struct
{
  CmkKeyReference key;
  CmkMacAlgorithm algorithm;
  GBytes *message;
  GBytes *mac; /* VerifyMac */
} MacRequest;

static void
free_mac (gpointer data)
{
  MacRequest *request = data;
  cmk_key_reference_clear (&request->key);
  g_clear_pointer (&request->message, g_bytes_unref);
  g_clear_pointer (&request->mac, g_bytes_unref);
  g_free (request);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MacRequest, free_mac)

/* @mac is NULL for GenerateMac. */
static MacRequest *
parse_mac (const char *key, const char *message, const char *mac, const char *algorithm_name, GError **error)
{
  g_autoptr (MacRequest) request = g_new0 (MacRequest, 1);
  int algorithm;
  if (!cmk_arguments_parse_key ("key", key, &request->key, error))
    return NULL;
  request->message = cmk_arguments_decode ("message", message, CMK_BASE64_CHARS (CMKD_MAX_MESSAGE_BYTES), error);
  if (request->message == NULL)
    return NULL;
  if (mac != NULL)
    {
      request->mac = cmk_arguments_decode ("mac", mac, CMK_BASE64_CHARS (CMKD_MAX_MESSAGE_BYTES), error);
      if (request->mac == NULL)
        return NULL;
    }
  if (!cmk_arguments_parse_choice ("algorithm", algorithm_name, cmk_mac_algorithms, &algorithm, error))
    return NULL;
  request->algorithm = (CmkMacAlgorithm) algorithm;
  return g_steal_pointer (&request);
}

static gboolean
run_generate_mac (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
                  GError **error)
{
  const MacRequest *request = data;
  CmkUuid key_id;
  g_autoptr (GBytes) mac =
      cmk_use_generate_mac (kms, caller, effort, &request->key, request->algorithm, request->message, &key_id, error);
  if (mac == NULL)
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  cmk_answer_put_bytes (answer, "Mac", mac);
  return TRUE;
}

static gboolean
run_verify_mac (CmkKms *kms, const CmkCaller *caller, gpointer data, CmkEffort effort, GVariantDict *answer,
                GError **error)
{
  const MacRequest *request = data;
  CmkUuid key_id;
  gboolean valid;
  if (!cmk_use_verify_mac (kms, caller, effort, &request->key, request->algorithm, request->message, request->mac,
                           &valid, &key_id, error))
    return FALSE;
  cmk_answer_put_key_id (answer, "KeyId", &key_id);
  g_variant_dict_insert (answer, "MacValid", "b", valid);
  return TRUE;
}

static const CmkMethod generate_mac = {
  .name = "GenerateMac",
  .run = run_generate_mac,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_mac,
  .weight = CMK_AUDIT_USE,
};

static const CmkMethod verify_mac = {
  .name = "VerifyMac",
  .run = run_verify_mac,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .free_request = free_mac,
  .weight = CMK_AUDIT_USE,
};

static gboolean
on_generate_mac (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
                 const char *message, const char *algorithm, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_mac (key, message, NULL, algorithm, &error);
  cmk_calls_begin (calls, invocation, &generate_mac, request, error);
  return TRUE;
}

static gboolean
on_verify_mac (G_GNUC_UNUSED CmkDBusCrypto *skeleton, GDBusMethodInvocation *invocation, const char *key,
               const char *message, const char *mac, const char *algorithm, CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_mac (key, message, mac, algorithm, &error);
  cmk_calls_begin (calls, invocation, &verify_mac, request, error);
  return TRUE;
}

void
cmk_bus_serve_mac (CmkDBusCrypto *skeleton, CmkCalls *calls)
{
  g_signal_connect (skeleton, "handle-generate-mac", G_CALLBACK (on_generate_mac), calls);
  g_signal_connect (skeleton, "handle-verify-mac", G_CALLBACK (on_verify_mac), calls);
}
