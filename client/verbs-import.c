/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs of the import flow: parameters, wrapping, import, and taking the material away again. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "base64.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "input.h"
#include "output.h"
#include "wrap.h"

#define CMK_WRAP_MODULE "cmkctl-wrap.so"

#define DEFAULT_ALGORITHM     "RSAES_OAEP_SHA_256"
#define DEFAULT_WRAPPING_SPEC "RSA_2048"
#define PEM_LINE_CHARS        64

/* More than fits under the longest wrapping key, and than any key is long. */
#define MAX_MATERIAL_BYTES   4096
#define MAX_PUBLIC_KEY_BYTES 16384

/* The module beside the program, as in a build tree, else where it is installed. By its path: a run path would have the
 * dynamic linker look there for every library of every call. It stays loaded. */
static void *
open_module (void)
{
  char path[PATH_MAX + sizeof CMK_WRAP_MODULE];
  ssize_t length = readlink ("/proc/self/exe", path, PATH_MAX);
  char *slash = length > 0 ? memrchr (path, '/', (size_t) length) : NULL;

  if (slash != NULL)
    {
      memcpy (slash + 1, CMK_WRAP_MODULE, sizeof CMK_WRAP_MODULE);
      if (access (path, R_OK) == 0)
        return dlopen (path, RTLD_NOW | RTLD_LOCAL);
    }
  return dlopen (CMK_WRAP_DIRECTORY "/" CMK_WRAP_MODULE, RTLD_NOW | RTLD_LOCAL);
}

static int
load_wrap (CmkWrapFunction **ret_wrap)
{
  void *module = open_module ();
  void *symbol = module != NULL ? dlsym (module, CMK_WRAP_FUNCTION) : NULL;

  if (symbol == NULL)
    return cmk_fail (CMK_EXIT_REFUSED, "cannot load what wraps (%s): is cmkctl installed completely?", dlerror ());

  /* ISO C has no conversion from a data to a function pointer; POSIX promises that their bits are the same. */
  memcpy (ret_wrap, &symbol, sizeof symbol);
  return CMK_EXIT_DONE;
}

static int
wrap (const char *algorithm, const CmkBuffer *public_key, const CmkBuffer *material, CmkBuffer *ret_wrapped)
{
  CmkWrapFunction *wrap_material = NULL;
  const char *problem;
  int code = load_wrap (&wrap_material);

  if (code != CMK_EXIT_DONE)
    return code;
  problem = wrap_material (algorithm, public_key, material, ret_wrapped);
  return problem == NULL ? CMK_EXIT_DONE : cmk_fail (CMK_EXIT_REFUSED, "%s", problem);
}

static int
read_material (const char *path, CmkBuffer *ret_material)
{
  int code = cmk_input_read (path, "key material", MAX_MATERIAL_BYTES, ret_material);

  if (code == CMK_EXIT_DONE && ret_material->size == 0)
    return cmk_fail (CMK_EXIT_REFUSED, "the key material '%s' is empty", path);
  return code;
}

static int
get_parameters (const CmkArguments *arguments, CmkBus *bus, CmkValue *ret_answer)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_IMPORT, "GetParametersForImport");

  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_string (call, cmk_arguments_get (arguments, "algorithm", DEFAULT_ALGORITHM));
  cmk_call_add_string (call, cmk_arguments_get (arguments, "wrapping-spec", DEFAULT_WRAPPING_SPEC));
  cmk_call_begin_options (call);
  return cmk_call_send (call, bus, ret_answer);
}

/* RFC 7468: the Base64 in lines of 64 between its two labels. */
static int
write_pem (const char *path, const char *base64)
{
  _cleanup_ (cmk_freep) char *text = NULL;
  size_t size;
  FILE *stream = open_memstream (&text, &size);

  cmk_require_memory (stream != NULL);
  fputs ("-----BEGIN PUBLIC KEY-----\n", stream);
  for (size_t left = strlen (base64); left > 0;)
    {
      size_t line = left < PEM_LINE_CHARS ? left : PEM_LINE_CHARS;

      fprintf (stream, "%.*s\n", (int) line, base64);
      base64 += line;
      left -= line;
    }
  fputs ("-----END PUBLIC KEY-----\n", stream);
  cmk_require_memory (fclose (stream) == 0);
  return cmk_output_write (path, false, text, size);
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
    code = cmk_arguments_has (arguments, "pem") ? write_pem (key_path, key)
                                                : cmk_output_write_decoded (key_path, false, key);
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
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  bool is_json = cmk_arguments_has (arguments, "json");
  int code = cmk_arguments_check_outputs (arguments, "public-key", "token");

  if (code != CMK_EXIT_DONE)
    return code;
  if (!is_json && !(cmk_arguments_has (arguments, "public-key") && cmk_arguments_has (arguments, "token")))
    return cmk_arguments_fail (arguments, "say with --public-key and --token where to put them, or use --json");

  code = cmk_arguments_open_bus (arguments, &bus);
  if (code == CMK_EXIT_DONE)
    code = get_parameters (arguments, bus, &answer);
  if (code == CMK_EXIT_DONE)
    code = write_parameters (arguments, &answer);
  if (code != CMK_EXIT_DONE)
    return code;

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
  _cleanup_ (cmk_buffer_clear) CmkBuffer public_key = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer material = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer wrapped = { 0 };
  const char *key_path = cmk_arguments_get (arguments, "public-key", NULL);
  int code = cmk_arguments_check_inputs (arguments, "public-key", "in");

  if (code != CMK_EXIT_DONE)
    return code;
  if (key_path == NULL)
    return cmk_arguments_fail (arguments, "--public-key is missing");
  if (cmk_arguments_has (arguments, "json"))
    return cmk_arguments_fail (arguments, "wrap asks no daemon and has no answer for --json");

  code = cmk_input_read (key_path, "public key", MAX_PUBLIC_KEY_BYTES, &public_key);
  if (code == CMK_EXIT_DONE)
    code = read_material (cmk_arguments_get (arguments, "in", "-"), &material);
  if (code == CMK_EXIT_DONE)
    code = wrap (cmk_arguments_get (arguments, "algorithm", DEFAULT_ALGORITHM), &public_key, &material, &wrapped);
  if (code != CMK_EXIT_DONE)
    return code;
  return cmk_output_write (cmk_arguments_get (arguments, "out", "-"), false, wrapped.data, wrapped.size);
}

/* What the last step sends: the wrapped material and the token, both Base64. */
typedef struct
{
  CmkBuffer encrypted;
  CmkBuffer token;
} Import;

static void
import_clear (Import *import)
{
  cmk_buffer_clear (&import->encrypted);
  cmk_buffer_clear (&import->token);
}

static CmkBuffer
copy_text (const char *text)
{
  CmkBuffer copy = cmk_buffer_new (strlen (text));

  memcpy (copy.data, text, copy.capacity);
  copy.size = copy.capacity;
  return copy;
}

/* The steps before the last, for --material. */
static int
prepare (const CmkArguments *arguments, CmkBus *bus, const CmkBuffer *material, Import *ret_import)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer public_key = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer wrapped = { 0 };
  const char *key, *token;
  int code = get_parameters (arguments, bus, &answer);

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
  code = wrap (cmk_arguments_get (arguments, "algorithm", DEFAULT_ALGORITHM), &public_key, material, &wrapped);
  if (code != CMK_EXIT_DONE)
    return code;

  ret_import->encrypted = cmk_buffer_encode (&wrapped);
  ret_import->token = copy_text (token);
  return CMK_EXIT_DONE;
}

static int
finish (const CmkArguments *arguments, CmkBus *bus, const Import *import)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_IMPORT, "ImportKeyMaterial");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *expires = cmk_arguments_get (arguments, "expires", NULL);
  int64_t expiry;
  int code;

  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_string (call, (const char *) import->encrypted.data);
  cmk_call_add_string (call, (const char *) import->token.data);
  cmk_call_begin_options (call);
  if (expires != NULL)
    {
      code = cmk_input_parse_expiry (expires, (int64_t) time (NULL), &expiry);
      if (code != CMK_EXIT_DONE)
        return code;
      cmk_call_add_time_option (call, "KeyMaterialExpireUnix", expiry);
    }
  cmk_call_add_text_option (call, "Sequence", cmk_arguments_get (arguments, "sequence", NULL));

  code = cmk_call_send (call, bus, &answer);
  if (code == CMK_EXIT_DONE)
    cmk_output_print_answer (&answer, cmk_arguments_has (arguments, "json"));
  return code;
}

/* One of the two ways to import, and nothing of the other. */
static int
check_import (const CmkArguments *arguments)
{
  const char *expires = cmk_arguments_get (arguments, "expires", "never");
  int64_t expiry;
  bool is_whole = cmk_arguments_has (arguments, "material");
  bool is_last_step = cmk_arguments_has (arguments, "encrypted") && cmk_arguments_has (arguments, "token");
  bool is_some_of_last_step = cmk_arguments_has (arguments, "encrypted") || cmk_arguments_has (arguments, "token");
  int code = cmk_input_parse_expiry (expires, (int64_t) time (NULL), &expiry);

  if (code != CMK_EXIT_DONE)
    return code;
  if (is_whole ? is_some_of_last_step : !is_last_step)
    return cmk_arguments_fail (arguments, "give either --material, or --encrypted and --token");
  if (!is_whole && (cmk_arguments_has (arguments, "algorithm") || cmk_arguments_has (arguments, "wrapping-spec")))
    return cmk_arguments_fail (arguments,
                               "--algorithm and --wrapping-spec go with --material; the token names its own");
  return cmk_arguments_check_inputs (arguments, "encrypted", "token");
}

static int
run_import (const CmkArguments *arguments)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_buffer_clear) CmkBuffer material = { 0 };
  _cleanup_ (import_clear) Import import = { 0 };
  const char *material_path = cmk_arguments_get (arguments, "material", NULL);
  int code = check_import (arguments);

  if (code == CMK_EXIT_DONE && material_path != NULL)
    code = read_material (material_path, &material);
  else if (code == CMK_EXIT_DONE)
    {
      code = cmk_input_read_wrapped (cmk_arguments_get (arguments, "encrypted", NULL), "encrypted material",
                                     &import.encrypted);
      if (code == CMK_EXIT_DONE)
        code = cmk_input_read_base64 (cmk_arguments_get (arguments, "token", NULL), "import token", &import.token);
    }

  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_open_bus (arguments, &bus);
  if (code == CMK_EXIT_DONE && material_path != NULL)
    code = prepare (arguments, bus, &material, &import);
  return code == CMK_EXIT_DONE ? finish (arguments, bus, &import) : code;
}

static int
run_delete_material (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_IMPORT, "DeleteKeyMaterial");

  cmk_call_add_string (call, arguments->operands[0]);
  return cmk_arguments_send_and_print (arguments, call);
}

#define ALGORITHM_HELP "RSAES_OAEP_SHA_256 (default), RSAES_OAEP_SHA_1 or RSAES_PKCS1_V1_5"
#define SPEC_HELP      "RSA_2048 (default), RSA_3072 or RSA_4096"

static const CmkOption get_parameters_options[] = {
  { "algorithm", "ALGORITHM", ALGORITHM_HELP, false },
  { "wrapping-spec", "SPEC", SPEC_HELP, false },
  { "public-key", "FILE", "write the wrapping public key here, as DER", false },
  { "pem", NULL, "write the public key as PEM", false },
  { "token", "FILE", "write the import token here", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption wrap_options[] = {
  { "public-key", "FILE", "the wrapping public key, DER or PEM", false },
  { "algorithm", "ALGORITHM", ALGORITHM_HELP, false },
  { "in", "FILE", "the key material; default: standard input", false },
  { "out", "FILE", "the wrapped material; default: standard output", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption import_options[] = {
  { "material", "FILE", "the key material, - for standard input: get parameters, wrap and import", false },
  { "algorithm", "ALGORITHM", "with --material: " ALGORITHM_HELP, false },
  { "wrapping-spec", "SPEC", "with --material: " SPEC_HELP, false },
  { "encrypted", "FILE", "wrapped material, as such or Base64: only import it", false },
  { "token", "FILE", "with --encrypted: the import token", false },
  { "expires", "TIME", "30d, 12h, 2030-01-31T12:00:00Z, @1893456000 or never (default)", false },
  { "sequence", "SERIAL", "36 characters that the journal and the answer shall carry", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_import_verbs[] = {
  { "get-parameters", "KEY", 1, "get a wrapping key and an import token",
    "Get a public key to wrap material under, and the token that goes with it. Both are good for 24 hours and for\n"
    "this key alone.",
    get_parameters_options, run_get_parameters },
  { "wrap", "", 0, "wrap key material (needs no daemon)",
    "Encrypt key material under a wrapping public key. Needs no daemon: the material need not be on the machine that\n"
    "imports it.",
    wrap_options, run_wrap },
  { "import", "KEY", 1, "import key material",
    "Import key material into a key of origin EXTERNAL, either in one step with --material, or, with --encrypted and\n"
    "--token, what was wrapped elsewhere. The first import binds the key to this material for ever; a later one may\n"
    "only bring the same again, and sets or clears its expiry.",
    import_options, run_import },
  { "delete-material", "KEY", 1, "erase the material of a key",
    "Erase the imported material of a key, which then cannot be used until the same material is imported again.\n"
    "There is no way back without a copy of it.",
    NULL, run_delete_material },
  { 0 },
};
