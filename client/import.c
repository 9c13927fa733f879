/* SPDX-License-Identifier: Apache-2.0 */
#include "import.h"

#include <string.h>
#include <time.h>

#include "base64.h"
#include "cmkd.h"
#include "exit-code.h"
#include "input.h"
#include "wrapping.h"

#define SM2_WRAPPING_SPEC "EC_SM2"
#define RSA_WRAPPING_SPEC "RSA_2048"

void
cmk_import_clear (CmkImport *import)
{
  cmk_buffer_clear (&import->encrypted);
  cmk_buffer_clear (&import->private_key);
  cmk_buffer_clear (&import->token);
}

bool
cmk_import_is_under_sm2 (const CmkImportJob *job)
{
  if (job->wrapping_spec != NULL)
    return strcmp (job->wrapping_spec, SM2_WRAPPING_SPEC) == 0;
  return job->algorithm != NULL && strncmp (job->algorithm, "SM2", 3) == 0;
}

int
cmk_import_check (const CmkSpec *spec, const CmkMaterial *material)
{
  if (material->kind != spec->kind)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "this is no material for a key of %s: is it the right file, for the right key or --spec?",
                     spec->name);
  if (spec->material_bytes > 0 && material->data.size != spec->material_bytes)
    return cmk_fail (CMK_EXIT_REFUSED, "material for a key of %s has %zu bytes, and this has %zu", spec->name,
                     spec->material_bytes, material->data.size);
  return CMK_EXIT_DONE;
}

CmkCall *
cmk_import_ask_parameters (const CmkImportJob *job, const char *algorithm)
{
  CmkCall *call = cmk_call_new (CMKD_INTERFACE_IMPORT, "GetParametersForImport");
  const char *fitting = cmk_import_is_under_sm2 (job) ? SM2_WRAPPING_SPEC : RSA_WRAPPING_SPEC;

  cmk_call_add_string (call, job->key_id);
  cmk_call_add_string (call, algorithm);
  cmk_call_add_string (call, job->wrapping_spec != NULL ? job->wrapping_spec : fitting);
  cmk_call_begin_options (call);
  return call;
}

static CmkBuffer
copy_text (const char *text)
{
  CmkBuffer copy = cmk_buffer_new (strlen (text));

  memcpy (copy.data, text, copy.capacity);
  copy.size = copy.capacity;
  return copy;
}

/* The steps before the last. */
static int
prepare (CmkBus *bus, const CmkImportJob *job, const CmkMaterial *material, CmkImport *ret_import)
{
  const char *fitting = cmk_spec_wrapping_algorithm (material->kind, cmk_import_is_under_sm2 (job));
  const char *algorithm = job->algorithm != NULL ? job->algorithm : fitting;
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_import_ask_parameters (job, algorithm);
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer public_key = { 0 };
  _cleanup_ (cmk_wrapped_clear) CmkWrapped wrapped = { 0 };
  const CmkWrapJob wrap_job = { algorithm, &public_key, material, CMK_WRAP_AS_NEEDED };
  const char *key, *token;
  int code = cmk_call_send (call, bus, &answer);

  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&answer, "PublicKey", &key);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&answer, "ImportToken", &token);
  if (code != CMK_EXIT_DONE)
    return code;

  public_key = cmk_buffer_new (CMK_BASE64_BYTES (strlen (key)));
  if (!cmk_base64_decode (key, strlen (key), public_key.data, &public_key.size))
    return cmk_fail (CMK_EXIT_REFUSED,
                     "the daemon's public key is not Base64: cmkctl and cmkd must be of the same version");
  code = cmk_wrapping_run (&wrap_job, &wrapped);
  if (code != CMK_EXIT_DONE)
    return code;

  ret_import->encrypted = cmk_buffer_encode (&wrapped.material);
  if (wrapped.private_key.size > 0)
    ret_import->private_key = cmk_buffer_encode (&wrapped.private_key);
  ret_import->token = copy_text (token);
  return CMK_EXIT_DONE;
}

int
cmk_import_send (CmkBus *bus, const CmkImportJob *job, const CmkImport *import, CmkValue *ret_answer)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_IMPORT, "ImportKeyMaterial");
  int64_t expiry;
  int code;

  cmk_call_add_string (call, job->key_id);
  cmk_call_add_string (call, (const char *) import->encrypted.data);
  cmk_call_add_string (call, (const char *) import->token.data);
  cmk_call_begin_options (call);
  if (job->expires != NULL)
    {
      code = cmk_input_parse_expiry (job->expires, (int64_t) time (NULL), &expiry);
      if (code != CMK_EXIT_DONE)
        return code;
      cmk_call_add_time_option (call, "KeyMaterialExpireUnix", expiry);
    }
  cmk_call_add_text_option (call, "EncryptedPrivateKey", (const char *) import->private_key.data);
  cmk_call_add_text_option (call, "Sequence", job->sequence);
  return cmk_call_send (call, bus, ret_answer);
}

int
cmk_import_material (CmkBus *bus, const CmkImportJob *job, const CmkMaterial *material, CmkValue *ret_answer)
{
  _cleanup_ (cmk_import_clear) CmkImport import = { 0 };
  int code = prepare (bus, job, material, &import);

  return code == CMK_EXIT_DONE ? cmk_import_send (bus, job, &import, ret_answer) : code;
}
