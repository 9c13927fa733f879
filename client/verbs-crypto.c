/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that use a key. Raw data and Base64 blobs pass through files and streams, never through arguments. */
#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "decrypt.h"
#include "exit-code.h"
#include "input.h"
#include "output.h"

static const char *const outputs[] = { "out", NULL };
static const char *const data_key_outputs[] = { "plaintext", "out", NULL };

static int
send_for_blob (const CmkArguments *arguments, CmkCall *call)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_send (arguments, call, &answer);

  return code == CMK_EXIT_DONE
             ? cmk_arguments_write_answer (arguments, &answer, "CiphertextBlob", cmk_output_write_line)
             : code;
}

static int
run_encrypt (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_CRYPTO, "Encrypt");
  _cleanup_ (cmk_buffer_clear) CmkBuffer plaintext = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer text = { 0 };
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = cmk_input_read (cmk_arguments_get (arguments, "in", "-"), "plaintext", CMKD_MAX_PLAINTEXT_BYTES, &plaintext);
  if (code != CMK_EXIT_DONE)
    return code;
  text = cmk_buffer_encode (&plaintext);

  cmk_call_set_secret (call);
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_string (call, (const char *) text.data);
  cmk_call_begin_options (call);
  code = cmk_arguments_add_pairs (arguments, "context", call, "EncryptionContext");
  return code == CMK_EXIT_DONE ? send_for_blob (arguments, call) : code;
}

static int
run_decrypt (const CmkArguments *arguments)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer blob = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = cmk_input_read_base64 (cmk_arguments_get (arguments, "in", "-"), "ciphertext blob", &blob);
  if (code == CMK_EXIT_DONE)
    code = cmk_decrypt (arguments, &blob, &answer);
  return code == CMK_EXIT_DONE ? cmk_arguments_write_answer (arguments, &answer, "Plaintext", cmk_output_write_secret)
                               : code;
}

static int
run_re_encrypt (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_CRYPTO, "ReEncrypt");
  _cleanup_ (cmk_buffer_clear) CmkBuffer blob = { 0 };
  bool is_same = cmk_arguments_has (arguments, "context");
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code != CMK_EXIT_DONE)
    return code;
  if (is_same &&
      (cmk_arguments_has (arguments, "source-context") || cmk_arguments_has (arguments, "destination-context")))
    return cmk_arguments_fail (arguments, "--context stands for --source-context and --destination-context at once");

  code = cmk_input_read_base64 (cmk_arguments_get (arguments, "in", "-"), "ciphertext blob", &blob);
  if (code != CMK_EXIT_DONE)
    return code;

  cmk_call_add_string (call, (const char *) blob.data);
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_begin_options (call);
  code = cmk_arguments_add_pairs (arguments, is_same ? "context" : "source-context", call, "SourceEncryptionContext");
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_add_pairs (arguments, is_same ? "context" : "destination-context", call,
                                    "DestinationEncryptionContext");
  return code == CMK_EXIT_DONE ? send_for_blob (arguments, call) : code;
}

/* Where the two halves of a data key go: nowhere unseen, and not both into one stream. */
static int
check_data_key (const CmkArguments *arguments)
{
  bool has_plaintext = cmk_arguments_has (arguments, "plaintext");
  bool is_json = cmk_arguments_has (arguments, "json");

  if (cmk_arguments_has (arguments, "spec") && cmk_arguments_has (arguments, "bytes"))
    return cmk_arguments_fail (arguments, "give either --spec or --bytes");
  if (cmk_arguments_has (arguments, "without-plaintext"))
    return has_plaintext ? cmk_arguments_fail (arguments, "--without-plaintext leaves nothing for --plaintext")
                         : cmk_arguments_check_outputs (arguments, outputs);
  if (!has_plaintext && !is_json)
    return cmk_arguments_fail (arguments,
                               "say with --plaintext where the key goes, or use --without-plaintext or --json");
  return cmk_arguments_check_outputs (arguments, data_key_outputs);
}

static int
run_data_key (const CmkArguments *arguments)
{
  bool has_plaintext = !cmk_arguments_has (arguments, "without-plaintext");
  _cleanup_ (cmk_call_freep) CmkCall *call =
      cmk_call_new (CMKD_INTERFACE_CRYPTO, has_plaintext ? "GenerateDataKey" : "GenerateDataKeyWithoutPlaintext");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  bool is_json = cmk_arguments_has (arguments, "json");
  const char *out = cmk_arguments_get (arguments, "out", is_json ? NULL : "-");
  const char *plaintext_path = cmk_arguments_get (arguments, "plaintext", NULL);
  const char *plaintext = NULL;
  const char *blob;
  uint32_t bytes = 0;
  int code = check_data_key (arguments);

  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_get_number (arguments, "bytes", CMKD_MAX_DATA_KEY_BYTES, &bytes);
  if (code != CMK_EXIT_DONE)
    return code;

  cmk_call_set_secret (call);
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_begin_options (call);
  cmk_call_add_text_option (call, "KeySpec", cmk_arguments_get (arguments, "spec", NULL));
  if (bytes > 0)
    cmk_call_add_number_option (call, "NumberOfBytes", bytes);
  code = cmk_arguments_add_pairs (arguments, "context", call, "EncryptionContext");
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_send (arguments, call, &answer);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (&answer, "CiphertextBlob", &blob);
  if (code == CMK_EXIT_DONE && has_plaintext)
    code = cmk_value_require (&answer, "Plaintext", &plaintext);

  if (code == CMK_EXIT_DONE && plaintext_path != NULL)
    code = cmk_output_write_secret (plaintext_path, plaintext);
  if (code == CMK_EXIT_DONE && out != NULL)
    code = cmk_output_write_line (out, blob);
  if (code != CMK_EXIT_DONE || !is_json)
    return code;
  if (plaintext_path != NULL)
    cmk_value_remove (&answer, "Plaintext");
  cmk_output_print_json (&answer);
  return CMK_EXIT_DONE;
}

#define CONTEXT_HELP "context that belongs to the ciphertext"

static const CmkOption encrypt_options[] = {
  { "in", "FILE", "the data; default: standard input", false },
  { "out", "FILE", "the ciphertext blob, Base64; default: standard output", false },
  { "context", "NAME=VALUE", CONTEXT_HELP, true },
  { NULL, NULL, NULL, false },
};

static const CmkOption decrypt_options[] = {
  { "in", "FILE", "the ciphertext blob, Base64; default: standard input", false },
  { "out", "FILE", "the data, mode 0600; default: standard output", false },
  { "context", "NAME=VALUE", CONTEXT_HELP, true },
  { "key", "KEY", "take only a blob of this key", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption re_encrypt_options[] = {
  { "in", "FILE", "the ciphertext blob, Base64; default: standard input", false },
  { "out", "FILE", "the new ciphertext blob, Base64; default: standard output", false },
  { "context", "NAME=VALUE", "context of the old and of the new blob", true },
  { "source-context", "NAME=VALUE", "context of the old blob", true },
  { "destination-context", "NAME=VALUE", "context of the new blob", true },
  { NULL, NULL, NULL, false },
};

static const CmkOption data_key_options[] = {
  { "spec", "SPEC", "AES_256 (default) or AES_128", false },
  { "bytes", "NUMBER", "so many bytes, up to 1024", false },
  { "context", "NAME=VALUE", CONTEXT_HELP, true },
  { "plaintext", "FILE", "write the key itself here, raw, mode 0600", false },
  { "out", "FILE", "the encrypted key, Base64; default: standard output", false },
  { "without-plaintext", NULL, "make the encrypted key only", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_crypto_verbs[] = {
  { "encrypt", "KEY", 1, "encrypt up to 6144 bytes", "Encrypt up to 6144 bytes. For more, use encrypt-file.",
    "cmkctl encrypt alias/backup --in secret.txt --out secret.blob --context file=secret.txt", encrypt_options,
    run_encrypt },
  { "decrypt", "", 0, "decrypt what encrypt or data-key made",
    "Decrypt a ciphertext blob. It names its key itself; the context must be the one it was made with.",
    "cmkctl decrypt --in secret.blob --context file=secret.txt", decrypt_options, run_decrypt },
  { "re-encrypt", "KEY", 1, "encrypt a blob anew under KEY",
    "Decrypt a ciphertext blob and encrypt it under KEY, without the data leaving the daemon.",
    "cmkctl re-encrypt alias/archive --in secret.blob --out archived.blob --context file=secret.txt",
    re_encrypt_options, run_re_encrypt },
  { "data-key", "KEY", 1, "make a key to encrypt data with",
    "Make a random key, once as it is, to encrypt data with and forget, and once encrypted under KEY, to keep with\n"
    "the data: `cmkctl decrypt` gives it back.",
    "cmkctl data-key alias/backup --plaintext data.key --out data.blob", data_key_options, run_data_key },
  { 0 },
};
