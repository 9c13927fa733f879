/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that use a key by a named algorithm: signatures, MACs and public-key encryption. What they make is raw
 * data, as openssl takes it, so that it can be checked and opened elsewhere. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "describe.h"
#include "exit-code.h"
#include "input.h"
#include "output.h"

/* The longest plaintext is that of SM2PKE. */
#define MAX_PLAINTEXT_BYTES CMKD_MAX_SM2_PLAINTEXT_BYTES

static const char *const outputs[] = { "out", NULL };

/* Write the field @name of @answer as data: raw, or with --base64 or on a terminal, which raw data would upset, as
 * Base64. With --json all of @answer is printed. */
static int
write_data (const CmkArguments *arguments, CmkValue *answer, const char *name)
{
  bool is_shown = strcmp (cmk_arguments_get (arguments, "out", "-"), "-") == 0 && isatty (STDOUT_FILENO);
  bool is_text = cmk_arguments_has (arguments, "base64") || is_shown;

  return cmk_arguments_write_answer (arguments, answer, name, is_text ? cmk_output_write_line : cmk_output_write_data);
}

/* Say whether the field @name of @answer is true; what is not @what is refused. */
static int
report_validity (const CmkArguments *arguments, const CmkValue *answer, const char *name, const char *what)
{
  const CmkValue *validity = cmk_value_get (answer, name, CMK_VALUE_BOOLEAN);

  if (validity == NULL)
    return cmk_value_fail_without (name);
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (answer);
  else if (validity->boolean)
    printf ("The %s is valid.\n", what);
  return validity->boolean ? CMK_EXIT_DONE
                           : cmk_fail (CMK_EXIT_REFUSED,
                                       "the %s is not valid: message, key or algorithm are not those "
                                       "it was made with, or it was altered",
                                       what);
}

/* Read --in, raw data of at most @limit bytes, as Base64. */
static int
read_data (const CmkArguments *arguments, const char *what, size_t limit, CmkBuffer *ret_text)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = { 0 };
  int code = cmk_input_read (cmk_arguments_get (arguments, "in", "-"), what, limit, &data);

  if (code == CMK_EXIT_DONE)
    *ret_text = cmk_buffer_encode (&data);
  return code;
}

/* Open the bus and call @method with the key, the Base64 texts @first and @second (or NULL) and the algorithm; a method
 * of signatures takes options besides. */
static int
call (const CmkArguments *arguments, const char *method, CmkUse use, const CmkBuffer *first, const CmkBuffer *second,
      CmkValue *ret_answer)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_call_freep) CmkCall *message = cmk_call_new (CMKD_INTERFACE_CRYPTO, method);
  const char *algorithm = NULL;
  int code = cmk_arguments_open_bus (arguments, &bus);

  if (code == CMK_EXIT_DONE)
    code = cmk_describe_algorithm (arguments, bus, arguments->operands[0], use, &algorithm);
  if (code != CMK_EXIT_DONE)
    return code;

  cmk_call_set_secret (message);
  cmk_call_add_string (message, arguments->operands[0]);
  cmk_call_add_string (message, (const char *) first->data);
  if (second != NULL)
    cmk_call_add_string (message, (const char *) second->data);
  cmk_call_add_string (message, algorithm);
  if (use == CMK_USE_SIGN)
    {
      cmk_call_begin_options (message);
      cmk_call_add_text_option (message, "MessageType", cmk_arguments_has (arguments, "digest") ? "DIGEST" : NULL);
    }
  return cmk_call_send (message, bus, ret_answer);
}

static int
run_sign (const CmkArguments *arguments)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer message = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = read_data (arguments, "message", CMKD_MAX_MESSAGE_BYTES, &message);
  if (code == CMK_EXIT_DONE)
    code = call (arguments, "Sign", CMK_USE_SIGN, &message, NULL, &answer);
  return code == CMK_EXIT_DONE ? write_data (arguments, &answer, "Signature") : code;
}

static int
run_verify (const CmkArguments *arguments)
{
  static const char *const inputs[] = { "signature", "in", NULL };
  _cleanup_ (cmk_buffer_clear) CmkBuffer message = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer signature = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *path = cmk_arguments_get (arguments, "signature", NULL);
  int code = cmk_arguments_check_inputs (arguments, inputs);

  if (code != CMK_EXIT_DONE)
    return code;
  if (path == NULL)
    return cmk_arguments_fail (arguments, "--signature is missing");
  code = cmk_input_read_wrapped (path, "signature", &signature);
  if (code == CMK_EXIT_DONE)
    code = read_data (arguments, "message", CMKD_MAX_MESSAGE_BYTES, &message);
  if (code == CMK_EXIT_DONE)
    code = call (arguments, "Verify", CMK_USE_SIGN, &message, &signature, &answer);
  return code == CMK_EXIT_DONE ? report_validity (arguments, &answer, "SignatureValid", "signature") : code;
}

static int
verify_mac (const CmkArguments *arguments, const char *path)
{
  static const char *const inputs[] = { "verify", "in", NULL };
  _cleanup_ (cmk_buffer_clear) CmkBuffer message = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer mac = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_check_inputs (arguments, inputs);

  if (code != CMK_EXIT_DONE)
    return code;
  if (cmk_arguments_has (arguments, "out") || cmk_arguments_has (arguments, "base64"))
    return cmk_arguments_fail (arguments, "--verify leaves nothing for --out and --base64");
  code = cmk_input_read_wrapped (path, "MAC", &mac);
  if (code == CMK_EXIT_DONE)
    code = read_data (arguments, "message", CMKD_MAX_MESSAGE_BYTES, &message);
  if (code == CMK_EXIT_DONE)
    code = call (arguments, "VerifyMac", CMK_USE_MAC, &message, &mac, &answer);
  return code == CMK_EXIT_DONE ? report_validity (arguments, &answer, "MacValid", "MAC") : code;
}

static int
run_mac (const CmkArguments *arguments)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer message = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *mac_path = cmk_arguments_get (arguments, "verify", NULL);
  int code;

  if (mac_path != NULL)
    return verify_mac (arguments, mac_path);
  code = cmk_arguments_check_outputs (arguments, outputs);
  if (code == CMK_EXIT_DONE)
    code = read_data (arguments, "message", CMKD_MAX_MESSAGE_BYTES, &message);
  if (code == CMK_EXIT_DONE)
    code = call (arguments, "GenerateMac", CMK_USE_MAC, &message, NULL, &answer);
  return code == CMK_EXIT_DONE ? write_data (arguments, &answer, "Mac") : code;
}

static int
run_public_key (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *message = cmk_call_new (CMKD_INTERFACE_CRYPTO, "GetPublicKey");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_check_outputs (arguments, outputs);

  cmk_call_add_string (message, arguments->operands[0]);
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_send (arguments, message, &answer);
  if (code != CMK_EXIT_DONE)
    return code;
  return cmk_arguments_write_answer (arguments, &answer, "PublicKey",
                                     cmk_arguments_has (arguments, "der") ? cmk_output_write_data
                                                                          : cmk_output_write_pem);
}

static int
run_asymmetric_encrypt (const CmkArguments *arguments)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer plaintext = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = read_data (arguments, "plaintext", MAX_PLAINTEXT_BYTES, &plaintext);
  if (code == CMK_EXIT_DONE)
    code = call (arguments, "AsymmetricEncrypt", CMK_USE_ENCRYPT, &plaintext, NULL, &answer);
  return code == CMK_EXIT_DONE ? write_data (arguments, &answer, "CiphertextBlob") : code;
}

static int
run_asymmetric_decrypt (const CmkArguments *arguments)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer ciphertext = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = cmk_input_read_wrapped (cmk_arguments_get (arguments, "in", "-"), "ciphertext", &ciphertext);
  if (code == CMK_EXIT_DONE)
    code = call (arguments, "AsymmetricDecrypt", CMK_USE_ENCRYPT, &ciphertext, NULL, &answer);
  return code == CMK_EXIT_DONE ? cmk_arguments_write_answer (arguments, &answer, "Plaintext", cmk_output_write_secret)
                               : code;
}

#define SIGNING_HELP    "RSA_PSS_SHA_256, ECDSA_SHA_256, SM2DSA, ... see cmkctl(1); default: by the key's spec"
#define ENCRYPTION_HELP "RSAES_OAEP_SHA_256, RSAES_OAEP_SHA_1 or SM2PKE; default: by the key's spec"
#define MAC_HELP        "HMAC_SHA_256, HMAC_SHA_384 or HMAC_SHA_512; default: by the key's spec"
#define OUT_HELP        ", raw; default: standard output, Base64 on a terminal"
#define BASE64_HELP     "write it as Base64"

static const CmkOption sign_options[] = {
  { "algorithm", "ALGORITHM", SIGNING_HELP, false },
  { "digest", NULL, "what is read is the digest of the message, raw", false },
  { "in", "FILE", "the message; default: standard input", false },
  { "out", "FILE", "the signature" OUT_HELP, false },
  { "base64", NULL, BASE64_HELP, false },
  { NULL, NULL, NULL, false },
};

static const CmkOption verify_options[] = {
  { "algorithm", "ALGORITHM", SIGNING_HELP, false },
  { "digest", NULL, "what is read is the digest of the message, raw", false },
  { "signature", "FILE", "the signature, raw or Base64", false },
  { "in", "FILE", "the message; default: standard input", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption mac_options[] = {
  { "algorithm", "ALGORITHM", MAC_HELP, false },
  { "in", "FILE", "the message; default: standard input", false },
  { "out", "FILE", "the MAC" OUT_HELP, false },
  { "base64", NULL, BASE64_HELP, false },
  { "verify", "FILE", "check this MAC of the message, raw or Base64, instead of making one", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption public_key_options[] = {
  { "out", "FILE", "the public key; default: standard output", false },
  { "der", NULL, "write it as DER, not PEM", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption asymmetric_encrypt_options[] = {
  { "algorithm", "ALGORITHM", ENCRYPTION_HELP, false },
  { "in", "FILE", "the data; default: standard input", false },
  { "out", "FILE", "the ciphertext" OUT_HELP, false },
  { "base64", NULL, BASE64_HELP, false },
  { NULL, NULL, NULL, false },
};

static const CmkOption asymmetric_decrypt_options[] = {
  { "algorithm", "ALGORITHM", ENCRYPTION_HELP, false },
  { "in", "FILE", "the ciphertext, raw or Base64; default: standard input", false },
  { "out", "FILE", "the data, mode 0600; default: standard output", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_asymmetric_verbs[] = {
  { "sign", "KEY", 1, "sign a message, or its digest",
    "Sign a message of up to 6144 bytes, or the digest of a longer one: `openssl dgst -sha256 -binary FILE |\n"
    "cmkctl sign KEY --digest`. `openssl dgst -verify` and `openssl pkeyutl -verify` take the signature.",
    "openssl dgst -sha256 -binary backup.tar | cmkctl sign alias/signer --digest --out backup.sig", sign_options,
    run_sign },
  { "verify", "KEY", 1, "check a signature",
    "Check a signature. The exit status is 0 if it is valid and 1 if it is not.",
    "cmkctl verify alias/signer --in letter.txt --signature letter.sig", verify_options, run_verify },
  { "mac", "KEY", 1, "make or check the MAC of a message",
    "Make the MAC of a message of up to 6144 bytes, or, with --verify, check one: the exit status is then 0 if it is\n"
    "valid and 1 if it is not.",
    "cmkctl mac alias/maker --in letter.txt --out letter.mac\n"
    "cmkctl mac alias/maker --in letter.txt --verify letter.mac",
    mac_options, run_mac },
  { "public-key", "KEY", 1, "write the public key of a key", "Write the public key of an asymmetric key, as PEM.",
    "cmkctl public-key alias/signer --out public.pem", public_key_options, run_public_key },
  { "asymmetric-encrypt", "KEY", 1, "encrypt under a public key",
    "Encrypt under the public key of an RSA or SM2 key. Whoever has the public key can do the same without cmkd:\n"
    "see `cmkctl public-key` and `openssl pkeyutl -encrypt`.",
    "cmkctl asymmetric-encrypt alias/opener --in secret.txt --out secret.rsa", asymmetric_encrypt_options,
    run_asymmetric_encrypt },
  { "asymmetric-decrypt", "KEY", 1, "decrypt what is under a public key",
    "Decrypt what was encrypted under the public key of KEY, here or elsewhere.",
    "cmkctl asymmetric-decrypt alias/opener --in secret.rsa --out secret.txt", asymmetric_decrypt_options,
    run_asymmetric_decrypt },
  { 0 },
};
