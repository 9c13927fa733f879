/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs for keys as such: what there is, and whether it may be used. */
#include <stdio.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "output.h"

/* Send @call, which is answered with a KeyMetadata. */
static int
send_for_metadata (const CmkArguments *arguments, CmkCall *call, CmkValue *ret_answer, const CmkValue **ret_metadata)
{
  int code = cmk_arguments_send (arguments, call, ret_answer);

  if (code != CMK_EXIT_DONE)
    return code;
  *ret_metadata = cmk_value_get (ret_answer, "KeyMetadata", CMK_VALUE_MAP);
  if (*ret_metadata == NULL)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "the daemon's answer has no KeyMetadata: cmkctl and cmkd must be of the same version");
  return CMK_EXIT_DONE;
}

static int
run_create (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "CreateKey");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const CmkValue *metadata;
  const char *id;
  int code;

  cmk_call_begin_options (call);
  cmk_call_add_text_option (call, "Origin", cmk_arguments_get (arguments, "origin", NULL));
  cmk_call_add_text_option (call, "KeySpec", cmk_arguments_get (arguments, "spec", NULL));
  cmk_call_add_text_option (call, "KeyUsage", cmk_arguments_get (arguments, "usage", NULL));
  cmk_call_add_text_option (call, "Description", cmk_arguments_get (arguments, "description", NULL));

  code = send_for_metadata (arguments, call, &answer, &metadata);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeyId", &id);
  if (code != CMK_EXIT_DONE)
    return code;

  /* The id alone, so that a script can keep it: KEY=$(cmkctl create). */
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&answer);
  else
    puts (id);
  return CMK_EXIT_DONE;
}

static int
run_show (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "DescribeKey");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const CmkValue *metadata;
  int code;

  cmk_call_add_string (call, arguments->operands[0]);
  code = send_for_metadata (arguments, call, &answer, &metadata);
  if (code != CMK_EXIT_DONE)
    return code;

  cmk_output_print_answer (cmk_arguments_has (arguments, "json") ? &answer : metadata,
                           cmk_arguments_has (arguments, "json"));
  return CMK_EXIT_DONE;
}

static int
list_page (const CmkArguments *arguments, CmkBus *bus, uint32_t limit, const char *marker, CmkValue *ret_page)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "ListKeys");

  cmk_call_begin_options (call);
  cmk_call_add_number_option (call, "Limit", limit);
  cmk_call_add_text_option (call, "Marker", marker);
  cmk_call_add_text_option (call, "KeyState", cmk_arguments_get (arguments, "state", NULL));
  cmk_call_add_text_option (call, "KeySpec", cmk_arguments_get (arguments, "spec", NULL));
  cmk_call_add_text_option (call, "Origin", cmk_arguments_get (arguments, "origin", NULL));
  return cmk_call_send (call, bus, ret_page);
}

/* Up to @limit keys, page by page. The answer is that of the last page, the keys of all pages in it. */
static int
list_pages (const CmkArguments *arguments, CmkBus *bus, uint32_t limit, CmkValue *ret_answer)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue keys = { .kind = CMK_VALUE_LIST };
  const char *marker = NULL;

  do
    {
      size_t left = limit - keys.n_items;
      CmkValue page = { 0 };
      int code =
          list_page (arguments, bus, left < CMKD_MAX_LIST_LIMIT ? (uint32_t) left : CMKD_MAX_LIST_LIMIT, marker, &page);

      cmk_value_clear (&answer);
      answer = page;
      if (code == CMK_EXIT_DONE)
        code = cmk_value_require (&answer, "NextMarker", &marker);
      if (code != CMK_EXIT_DONE)
        return code;
      if (cmk_value_get (&answer, "Keys", CMK_VALUE_LIST) == NULL)
        return cmk_fail (CMK_EXIT_REFUSED,
                         "the daemon's answer has no Keys: cmkctl and cmkd must be of the same version");
      cmk_value_merge (&keys, cmk_value_get (&answer, "Keys", CMK_VALUE_LIST));
    }
  while (*marker != '\0' && keys.n_items < limit);

  cmk_value_merge (cmk_value_get (&answer, "Keys", CMK_VALUE_LIST), &keys);
  *ret_answer = answer;
  answer = (CmkValue) { 0 };
  return CMK_EXIT_DONE;
}

static int
run_list (const CmkArguments *arguments)
{
  static const char *const columns[] = {
    "KeyId", "KeyState", "KeySpec", "Origin", "MaterialExpireTime", "Description"
  };
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  uint32_t limit = UINT32_MAX;
  int code = cmk_arguments_get_number (arguments, "limit", UINT32_MAX, &limit);

  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_open_bus (arguments, &bus);
  if (code == CMK_EXIT_DONE)
    code = list_pages (arguments, bus, limit, &answer);
  if (code != CMK_EXIT_DONE)
    return code;

  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&answer);
  else
    cmk_output_print_table (cmk_value_get (&answer, "Keys", CMK_VALUE_LIST), columns, sizeof columns / sizeof *columns);
  return CMK_EXIT_DONE;
}

static int
run_enable (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "EnableKey");

  cmk_call_add_string (call, arguments->operands[0]);
  return cmk_arguments_send_and_print (arguments, call);
}

static int
run_disable (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "DisableKey");

  cmk_call_add_string (call, arguments->operands[0]);
  return cmk_arguments_send_and_print (arguments, call);
}

static int
run_set_description (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "UpdateKeyDescription");

  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_string (call, arguments->operands[1]);
  return cmk_arguments_send_and_print (arguments, call);
}

static const CmkOption create_options[] = {
  { "origin", "ORIGIN", "CMKD_KMS: cmkd makes the material (default); EXTERNAL: you import it", false },
  { "spec", "SPEC", "AES_256 (default), SM4, HMAC_256/384/512, RSA_2048/3072/4096, EC_P256/P384/P256K/SM2", false },
  { "usage", "USAGE", "ENCRYPT_DECRYPT, SIGN_VERIFY or GENERATE_VERIFY_MAC; default: by the spec", false },
  { "description", "TEXT", "what the key is for", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption list_options[] = {
  { "state", "STATE", "only keys in this state: Enabled, Disabled, PendingImport, PendingDeletion", false },
  { "spec", "SPEC", "only keys of this spec", false },
  { "origin", "ORIGIN", "only keys of this origin: EXTERNAL, CMKD_KMS", false },
  { "limit", "NUMBER", "no more keys than this; default: all", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_key_verbs[] = {
  { "create", "", 0, "create a key and print its id",
    "Create a key and print its id. A key of origin EXTERNAL waits in PendingImport until `cmkctl import`.",
    create_options, run_create },
  { "list", "", 0, "list your keys", "List your keys; root sees those of everybody.", list_options, run_list },
  { "show", "KEY", 1, "show what is known of a key", "Show what is known of a key.", NULL, run_show },
  { "enable", "KEY", 1, "let a key be used again", "Let a disabled key be used again.", NULL, run_enable },
  { "disable", "KEY", 1, "stop a key from being used",
    "Stop a key from being used, until it is enabled. Its material stays.", NULL, run_disable },
  { "set-description", "KEY TEXT", 2, "change the description of a key", "Change the description of a key.", NULL,
    run_set_description },
  { 0 },
};
