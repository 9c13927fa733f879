/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs of the import flow: parameters, wrapping, import, and taking the material away again. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "describe.h"
#include "exit-code.h"
#include "import.h"
#include "import-many.h"
#include "input.h"
#include "output.h"
#include "wrapping.h"

#define MAX_PUBLIC_KEY_BYTES 16384
#define NONCE_BYTES          32 /* every TPM takes */

/* Both Base64; empty if there is none. */
typedef struct
{
  CmkBuffer nonce;
  CmkBuffer credential;
} Attest;

static void
attest_clear (Attest *attest)
{
  cmk_buffer_clear (&attest->nonce);
  cmk_buffer_clear (&attest->credential);
}

static CmkImportJob
describe_job (const CmkArguments *arguments)
{
  return (CmkImportJob) {
    .key_id = arguments->operands[0],
    .algorithm = cmk_arguments_get (arguments, "algorithm", NULL),
    .wrapping_spec = cmk_arguments_get (arguments, "wrapping-spec", NULL),
  };
}

/* Get parameters for the WrappingAlgorithm @algorithm; attested ones if @attest has a nonce. */
static int
get_parameters (const CmkArguments *arguments, CmkBus *bus, const char *algorithm, const Attest *attest,
                CmkValue *ret_answer)
{
  const CmkImportJob job = describe_job (arguments);
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_import_ask_parameters (&job, algorithm);

  if (attest->nonce.size > 0)
    cmk_call_add_flag_option (call, "Attest");
  cmk_call_add_text_option (call, "Nonce", (const char *) attest->nonce.data);
  cmk_call_add_text_option (call, "Credential", (const char *) attest->credential.data);
  return cmk_call_send (call, bus, ret_answer);
}

static int
choose_nonce (const char *path, CmkBuffer *ret_nonce)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer nonce = { 0 };

  if (strcmp (path, "auto") != 0)
    return cmk_input_read_base64 (path, "nonce", ret_nonce);
  nonce = cmk_buffer_new (NONCE_BYTES);
  if (getrandom (nonce.data, NONCE_BYTES, 0) != NONCE_BYTES)
    return cmk_fail (CMK_EXIT_REFUSED, "the system gives out no random numbers");
  nonce.size = NONCE_BYTES;
  *ret_nonce = cmk_buffer_encode (&nonce);
  return CMK_EXIT_DONE;
}

/* What --attest sends: the text of --nonce, or a nonce of our own, and the credential, if there is one. Nothing without
 * --attest. */
static int
read_attest (const CmkArguments *arguments, Attest *ret_attest)
{
  static const char *const inputs[] = { "nonce", "credential", NULL };
  bool is_wanted = cmk_arguments_has (arguments, "attest");
  const char *nonce = cmk_arguments_get (arguments, "nonce", NULL);
  const char *credential = cmk_arguments_get (arguments, "credential", NULL);
  int code;

  if (!is_wanted && nonce == NULL && credential == NULL)
    return CMK_EXIT_DONE;
  if (!is_wanted || nonce == NULL || !cmk_arguments_has (arguments, "json"))
    return cmk_arguments_fail (arguments, "--attest and --nonce go together, and with --json: verify-attestation needs "
                                          "the whole answer");
  code = cmk_arguments_check_inputs (arguments, inputs);
  if (code == CMK_EXIT_DONE)
    code = choose_nonce (nonce, &ret_attest->nonce);
  if (code == CMK_EXIT_DONE && credential != NULL)
    code = cmk_input_read_base64 (credential, "credential", &ret_attest->credential);
  return code;
}

/* The same algorithm that wrap chooses for material of this key. */
static int
choose_algorithm (const CmkArguments *arguments, CmkBus *bus, const char **ret_algorithm)
{
  const CmkImportJob job = describe_job (arguments);
  const CmkSpec *spec = NULL;
  int code;

  *ret_algorithm = cmk_arguments_get (arguments, "algorithm", NULL);
  if (*ret_algorithm != NULL)
    return CMK_EXIT_DONE;
  code = cmk_describe_spec (bus, arguments->operands[0], &spec);
  if (code == CMK_EXIT_DONE)
    *ret_algorithm = cmk_spec_wrapping_algorithm (spec->kind, cmk_import_is_under_sm2 (&job));
  return code;
}

static int
write_parameters (const CmkArguments *arguments, const CmkValue *answer)
{
  const char *key_path = cmk_arguments_get (arguments, "public-key", NULL);
  const char *token_path = cmk_arguments_get (arguments, "token", NULL);
  const char *key, *token;
  int code = cmk_value_require (answer, "PublicKey", &key);

  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (answer, "ImportToken", &token);
  if (code == CMK_EXIT_DONE && key_path != NULL)
    code = cmk_arguments_has (arguments, "pem") ? cmk_output_write_pem (key_path, key)
                                                : cmk_output_write_data (key_path, key);
  if (code == CMK_EXIT_DONE && token_path != NULL)
    code = cmk_output_write_line (token_path, token);
  return code;
}

static void
print_token_end (const CmkValue *answer)
{
  const CmkValue *end = cmk_value_get (answer, "TokenExpireTime", CMK_VALUE_SIGNED);
  _cleanup_ (cmk_freep) char *time = cmk_output_format_time (end != NULL ? end->integer : 0);

  printf ("TokenExpireTime  %s\n", time);
}

static int
run_get_parameters (const CmkArguments *arguments)
{
  static const char *const outputs[] = { "public-key", "token", NULL };
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (attest_clear) Attest attest = { 0 };
  bool is_json = cmk_arguments_has (arguments, "json");
  const char *algorithm;
  int code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = read_attest (arguments, &attest);
  if (code != CMK_EXIT_DONE)
    return code;
  if (!is_json && !(cmk_arguments_has (arguments, "public-key") && cmk_arguments_has (arguments, "token")))
    return cmk_arguments_fail (arguments, "say with --public-key and --token where to put them, or use --json");

  code = cmk_arguments_open_bus (arguments, &bus);
  if (code == CMK_EXIT_DONE)
    code = choose_algorithm (arguments, bus, &algorithm);
  if (code == CMK_EXIT_DONE)
    code = get_parameters (arguments, bus, algorithm, &attest, &answer);
  if (code == CMK_EXIT_DONE)
    code = write_parameters (arguments, &answer);
  if (code != CMK_EXIT_DONE)
    return code;

  if (attest.nonce.size > 0)
    cmk_value_append_text (&answer, "Nonce", (const char *) attest.nonce.data);
  if (is_json)
    cmk_output_print_json (&answer);
  else if (strcmp (cmk_arguments_get (arguments, "public-key", ""), "-") != 0 &&
           strcmp (cmk_arguments_get (arguments, "token", ""), "-") != 0)
    print_token_end (&answer);
  return CMK_EXIT_DONE;
}

static int
run_wrap (const CmkArguments *arguments)
{
  static const char *const inputs[] = { "public-key", "in", NULL };
  static const char *const outputs[] = { "out", "private-key-out", NULL };
  _cleanup_ (cmk_buffer_clear) CmkBuffer public_key = { 0 };
  _cleanup_ (cmk_material_clear) CmkMaterial material = { 0 };
  _cleanup_ (cmk_wrapped_clear) CmkWrapped wrapped = { 0 };
  const char *key_path = cmk_arguments_get (arguments, "public-key", NULL);
  const char *private_key_path = cmk_arguments_get (arguments, "private-key-out", NULL);
  CmkWrapJob job = { cmk_arguments_get (arguments, "algorithm", NULL), &public_key, &material,
                     private_key_path != NULL ? CMK_WRAP_IN_TWO : CMK_WRAP_IN_ONE };
  int code;

  if (key_path == NULL)
    return cmk_arguments_fail (arguments, "--public-key is missing");
  if (cmk_arguments_has (arguments, "host"))
    return cmk_arguments_fail (arguments, "wrap asks no daemon, here or on another --host");
  if (cmk_arguments_has (arguments, "json"))
    return cmk_arguments_fail (arguments, "wrap asks no daemon and has no answer for --json");
  code = cmk_arguments_check_inputs (arguments, inputs);
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_check_outputs (arguments, outputs);

  if (code == CMK_EXIT_DONE)
    code = cmk_input_read (key_path, "public key", MAX_PUBLIC_KEY_BYTES, &public_key);
  if (code == CMK_EXIT_DONE)
    code = cmk_wrapping_read_material (cmk_arguments_get (arguments, "in", "-"), false, &material);
  if (code == CMK_EXIT_DONE)
    code = cmk_wrapping_run (&job, &wrapped);
  if (code == CMK_EXIT_DONE && private_key_path != NULL)
    code = cmk_output_write (private_key_path, false, wrapped.private_key.data, wrapped.private_key.size);
  if (code == CMK_EXIT_DONE)
    code = cmk_output_write (cmk_arguments_get (arguments, "out", "-"), false, wrapped.material.data,
                             wrapped.material.size);
  return code;
}

/* One of the ways to import, and nothing of the others. */
static int
check_import (const CmkArguments *arguments)
{
  static const char *const inputs[] = { "encrypted", "encrypted-private-key", "token", NULL };
  const char *expires = cmk_arguments_get (arguments, "expires", "never");
  int64_t expiry;
  bool is_whole = cmk_arguments_has (arguments, "material");
  bool is_last_step = cmk_arguments_has (arguments, "encrypted") && cmk_arguments_has (arguments, "token");
  bool is_some_of_last_step = cmk_arguments_has (arguments, "encrypted") || cmk_arguments_has (arguments, "token") ||
                              cmk_arguments_has (arguments, "encrypted-private-key");
  int code = cmk_input_parse_expiry (expires, (int64_t) time (NULL), &expiry);

  if (code != CMK_EXIT_DONE)
    return code;
  if (arguments->n_operands == 0)
    return cmk_arguments_fail (arguments, "say which KEY, or import many with --from");
  if (cmk_arguments_has (arguments, "spec") || cmk_arguments_has (arguments, "usage"))
    return cmk_arguments_fail (arguments, "--spec and --usage are for the keys that --from makes; KEY has its own");
  if (is_whole ? is_some_of_last_step : !is_last_step)
    return cmk_arguments_fail (arguments, "give either --material, or --encrypted and --token");
  if (!is_whole && (cmk_arguments_has (arguments, "algorithm") || cmk_arguments_has (arguments, "wrapping-spec")))
    return cmk_arguments_fail (arguments,
                               "--algorithm and --wrapping-spec go with --material; the token names its own");
  return cmk_arguments_check_inputs (arguments, inputs);
}

/* What was wrapped elsewhere. */
static int
read_import (const CmkArguments *arguments, CmkImport *ret_import)
{
  const char *private_key_path = cmk_arguments_get (arguments, "encrypted-private-key", NULL);
  int code = cmk_input_read_wrapped (cmk_arguments_get (arguments, "encrypted", NULL), "encrypted material",
                                     &ret_import->encrypted);

  if (code == CMK_EXIT_DONE && private_key_path != NULL)
    code = cmk_input_read_wrapped (private_key_path, "encrypted private key", &ret_import->private_key);
  if (code == CMK_EXIT_DONE)
    code = cmk_input_read_base64 (cmk_arguments_get (arguments, "token", NULL), "import token", &ret_import->token);
  return code;
}

/* What is no material for the key is told before it is wrapped, where we may look at the key. */
static int
import_material (CmkBus *bus, const CmkImportJob *job, const CmkMaterial *material, CmkValue *ret_answer)
{
  const CmkSpec *spec = cmk_describe_spec_if_seen (bus, job->key_id);
  int code = spec != NULL ? cmk_import_check (spec, material) : CMK_EXIT_DONE;

  return code == CMK_EXIT_DONE ? cmk_import_material (bus, job, material, ret_answer) : code;
}

static int
run_import (const CmkArguments *arguments)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_material_clear) CmkMaterial material = { 0 };
  _cleanup_ (cmk_import_clear) CmkImport import = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *material_path = cmk_arguments_get (arguments, "material", NULL);
  CmkImportJob job;
  int code;

  if (cmk_arguments_has (arguments, "from"))
    return cmk_import_many (arguments);
  code = check_import (arguments);
  if (code != CMK_EXIT_DONE)
    return code;
  job = describe_job (arguments);
  job.expires = cmk_arguments_get (arguments, "expires", NULL);
  job.sequence = cmk_arguments_get (arguments, "sequence", NULL);

  code = material_path != NULL ? cmk_wrapping_read_material (material_path, false, &material)
                               : read_import (arguments, &import);
  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_open_bus (arguments, &bus);
  if (code == CMK_EXIT_DONE)
    code = material_path != NULL ? import_material (bus, &job, &material, &answer)
                                 : cmk_import_send (bus, &job, &import, &answer);
  if (code == CMK_EXIT_DONE)
    cmk_output_print_answer (&answer, cmk_arguments_has (arguments, "json"));
  return code;
}

static int
run_delete_material (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_IMPORT, "DeleteKeyMaterial");

  cmk_call_add_string (call, arguments->operands[0]);
  return cmk_arguments_send_and_print (arguments, call);
}

#define ALGORITHM_HELP "wrapping algorithm, see cmkctl(1); default: what suits "
#define SPEC_HELP      "RSA_2048 (default), RSA_3072, RSA_4096 or EC_SM2"

static const CmkOption get_parameters_options[] = {
  { "algorithm", "ALGORITHM", ALGORITHM_HELP "the key", false },
  { "wrapping-spec", "SPEC", SPEC_HELP, false },
  { "public-key", "FILE", "write the wrapping public key here, as DER", false },
  { "pem", NULL, "write the public key as PEM", false },
  { "token", "FILE", "write the import token here", false },
  { "attest", NULL, "have the TPM make the wrapping key, and vouch for it; see verify-attestation", false },
  { "nonce", "FILE", "with --attest: 16 to 64 random bytes of the custodian's, Base64; auto: some of our own", false },
  { "credential", "FILE", "with --attest: a credential for the TPM to open, Base64", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption wrap_options[] = {
  { "public-key", "FILE", "the wrapping public key, DER or PEM", false },
  { "algorithm", "ALGORITHM", ALGORITHM_HELP "public key and material", false },
  { "in", "FILE", "the key material: a private key, PEM or DER, or raw; default: standard input", false },
  { "out", "FILE", "the wrapped material, or temporary key; default: standard output", false },
  { "private-key-out", "FILE", "the private key under a temporary key, which goes to --out", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption import_options[] = {
  { "from", "DIRECTORY", "import the material of every file in here, each into a key of its own", false },
  { "spec", "KEY-SPEC", "with --from: what the keys are for which there is no key yet; default: AES_256", false },
  { "usage", "USAGE", "with --from: what these keys are for; default: by the spec", false },
  { "material", "FILE", "the key material, a private key, PEM or DER, or raw: get parameters, wrap and import", false },
  { "algorithm", "ALGORITHM", "with --material: " ALGORITHM_HELP "the material", false },
  { "wrapping-spec", "SPEC", "with --material: " SPEC_HELP, false },
  { "encrypted", "FILE", "wrapped material, as such or Base64: only import it", false },
  { "encrypted-private-key", "FILE", "with --encrypted: what wrap wrote to --private-key-out", false },
  { "token", "FILE", "with --encrypted: the import token", false },
  { "expires", "TIME", "30d, 12h, 2030-01-31T12:00:00Z, @1893456000 or never (default)", false },
  { "sequence", "SERIAL", "36 characters that the journal and the answer shall carry", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_import_verbs[] = {
  { "get-parameters", "KEY", 1, "get a wrapping key and an import token",
    "Get a public key to wrap material under, and the token that goes with it. Both are good for 24 hours and for\n"
    "this key alone.",
    "cmkctl get-parameters $KEY --public-key wrapping.der --token token", get_parameters_options, run_get_parameters },
  { "wrap", "", 0, "wrap key material (needs no daemon)",
    "Encrypt key material under a wrapping public key. Needs no daemon: the material need not be on the machine that\n"
    "imports it. A private key may be PKCS#8, PKCS#1 or SEC1; for its passphrase you are asked. Without --algorithm "
    "it\n"
    "is what get-parameters chooses: under an RSA key RSAES_OAEP_SHA_256 for raw material and "
    "RSA_AES_KEY_WRAP_SHA_256\n"
    "for a private key; under an SM2 key SM2PKE, and SM2PKE_SM4_ECB for an SM2 key.",
    "cmkctl wrap --public-key wrapping.der --in material.bin --out wrapped.bin", wrap_options, run_wrap },
  { "import", "KEY", 0, "import key material",
    "Import key material into a key of origin EXTERNAL, either in one step with --material, or, with --encrypted and\n"
    "--token, what was wrapped elsewhere. The first import binds the key to this material for ever; a later one may\n"
    "only bring the same again, and sets or clears its expiry. With --from each file NAME.key, .bin, .pem or .der of "
    "a\n"
    "directory becomes the key alias/NAME; run again, it goes on with what is not imported yet.",
    "cmkctl import $KEY --material material.bin --expires 365d\n"
    "cmkctl import $KEY --encrypted wrapped.bin --token token\n"
    "cmkctl import --from keys --spec HMAC_256 --expires 365d",
    import_options, run_import },
  { "delete-material", "KEY", 1, "erase the material of a key",
    "Erase the imported material of a key, which then cannot be used until the same material is imported again.\n"
    "There is no way back without a copy of it.",
    "cmkctl delete-material $KEY", NULL, run_delete_material },
  { 0 },
};
