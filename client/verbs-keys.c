/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs for keys as such: what there is, and whether it may be used. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "import-many.h"
#include "listing.h"
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
    return cmk_value_fail_without ("KeyMetadata");
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
  cmk_call_add_text_option (call, "ProtectionLevel", cmk_arguments_get (arguments, "protection-level", NULL));
  cmk_call_add_text_option (call, "Description", cmk_arguments_get (arguments, "description", NULL));
  cmk_call_add_text_option (call, "Alias", cmk_arguments_get (arguments, "alias", NULL));
  cmk_call_add_text_option (call, "KeyId", cmk_arguments_get (arguments, "key-id", NULL));
  code = cmk_arguments_add_pairs (arguments, "tag", call, "Tags");
  if (code != CMK_EXIT_DONE)
    return code;

  code = send_for_metadata (arguments, call, &answer, &metadata);
  if (code == CMK_EXIT_DONE)
    code = cmk_value_require (metadata, "KeyId", &id);
  if (code != CMK_EXIT_DONE)
    return code;

  /* The id alone, so that a script can keep it: KEY=$(cmkctl create). */
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&answer);
  else
    cmk_output_print_text (id);
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

/* Does @name say anything in one of the maps in @list, that is more than 0 or nothing? */
static bool
is_used (const CmkValue *list, const char *name)
{
  for (size_t i = 0; i < list->n_items; i++)
    {
      const CmkValue *map = &list->items[i];
      const CmkValue *time = cmk_value_get (map, name, CMK_VALUE_SIGNED);
      const CmkValue *texts = cmk_value_get (map, name, CMK_VALUE_LIST);
      const CmkValue *pairs = cmk_value_get (map, name, CMK_VALUE_MAP);

      if ((time != NULL && time->integer != 0) || (texts != NULL && texts->n_items > 0) ||
          (pairs != NULL && pairs->n_items > 0))
        return true;
    }
  return false;
}

/* Where a key was imported from is as wide as half a terminal, and the same but for its end: show has it. */
static void
leave_out_files (CmkValue *keys)
{
  for (size_t i = 0; i < keys->n_items; i++)
    {
      CmkValue *tags = cmk_value_get (&keys->items[i], "Tags", CMK_VALUE_MAP);

      if (tags != NULL)
        cmk_value_remove (tags, CMK_IMPORT_FILE_TAG);
    }
}

/* What few keys have takes no column where none has it. */
static void
print_keys (CmkValue *keys, bool is_here)
{
  static const char *const always[] = { "KeyId", "KeyState", "KeySpec", "Origin", "MaterialExpireTime" };
  static const char *const if_used[] = { "DeleteDate", "Aliases", "Tags" };
  const char *columns[sizeof always / sizeof *always + sizeof if_used / sizeof *if_used + 2];
  size_t n_columns = sizeof always / sizeof *always;

  leave_out_files (keys);
  memcpy (columns, always, sizeof always);
  if (cmk_list_name_owners (keys, is_here))
    columns[n_columns++] = "Owner";
  for (size_t i = 0; i < sizeof if_used / sizeof *if_used; i++)
    if (is_used (keys, if_used[i]))
      columns[n_columns++] = if_used[i];
  columns[n_columns++] = "Description";
  cmk_output_print_table (keys, columns, n_columns);
}

static int
run_list (const CmkArguments *arguments)
{
  const CmkListFilter filters[] = {
    { "KeyState", cmk_arguments_get (arguments, "state", NULL) },
    { "KeySpec", cmk_arguments_get (arguments, "spec", NULL) },
    { "Origin", cmk_arguments_get (arguments, "origin", NULL) },
  };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_list_all (arguments, "ListKeys", "Keys", filters, sizeof filters / sizeof *filters, &answer);

  if (code != CMK_EXIT_DONE)
    return code;
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&answer);
  else
    print_keys (cmk_value_get (&answer, "Keys", CMK_VALUE_LIST), !cmk_arguments_has (arguments, "host"));
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
run_schedule_deletion (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "ScheduleKeyDeletion");
  uint32_t days = 0;
  int code = cmk_arguments_get_number (arguments, "days", UINT32_MAX, &days);

  if (code != CMK_EXIT_DONE)
    return code;
  if (cmk_arguments_has (arguments, "days") &&
      (days < CMKD_MIN_PENDING_WINDOW_DAYS || days > CMKD_MAX_PENDING_WINDOW_DAYS))
    return cmk_arguments_fail (arguments, "--days takes a number from %d to %d", CMKD_MIN_PENDING_WINDOW_DAYS,
                               CMKD_MAX_PENDING_WINDOW_DAYS);
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_begin_options (call);
  if (days > 0)
    cmk_call_add_number_option (call, "PendingWindowInDays", days);
  return cmk_arguments_send_and_print (arguments, call);
}

static int
run_cancel_deletion (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "CancelKeyDeletion");

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
  { "protection-level", "LEVEL", "SOFTWARE (default), or TPM: the key is used inside the TPM only", false },
  { "description", "TEXT", "what the key is for", false },
  { "alias", "ALIAS", "a name that it can be called by: alias/ and letters, digits, '_', '/' and '-'", false },
  { "tag", "NAME=VALUE", "a tag", true },
  { "key-id", "ID", "make a replica of the EXTERNAL key that has this id on another machine", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption list_options[] = {
  { "state", "STATE", "only keys in this state: Enabled, Disabled, PendingImport, PendingDeletion", false },
  { "spec", "SPEC", "only keys of this spec", false },
  { "origin", "ORIGIN", "only keys of this origin: EXTERNAL, CMKD_KMS", false },
  { "limit", "NUMBER", "no more keys than this; default: all", false },
  { NULL, NULL, NULL, false },
};

static const CmkOption schedule_deletion_options[] = {
  { "days", "NUMBER", "days until it is deleted, 7 to 1096; default: 30", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_key_verbs[] = {
  { "create", "", 0, "create a key and print its id",
    "Create a key and print its id. A key of origin EXTERNAL waits in PendingImport until `cmkctl import`. With\n"
    "--key-id it is a replica: once the same material is imported, it opens what the key of that id encrypted "
    "elsewhere.",
    "cmkctl create --alias alias/backup --tag team=storage --tag year=2030\n"
    "cmkctl create --origin EXTERNAL --spec EC_P256 --description \"signs releases\"\n"
    "cmkctl create --origin EXTERNAL --key-id 8f9d3b5e-6c1a-4f27-9d80-0b6f2f8f6a11",
    create_options, run_create },
  { "list", "", 0, "list your keys",
    "List your keys; root sees those of everybody, with their owners. The date of deletion, aliases and tags have "
    "columns\n"
    "if a key has any.",
    "cmkctl list --state PendingImport", list_options, run_list },
  { "show", "KEY", 1, "show what is known of a key",
    "Show what is known of a key, with the aliases that you gave it, its tags, and when it is deleted.",
    "cmkctl show alias/backup", NULL, run_show },
  { "enable", "KEY", 1, "let a key be used again", "Let a disabled key be used again.", "cmkctl enable alias/backup",
    NULL, run_enable },
  { "disable", "KEY", 1, "stop a key from being used",
    "Stop a key from being used, until it is enabled. Its material stays.", "cmkctl disable alias/backup", NULL,
    run_disable },
  { "set-description", "KEY TEXT", 2, "change the description of a key", "Change the description of a key.",
    "cmkctl set-description alias/backup \"backups of this machine\"", NULL, run_set_description },
  { "schedule-deletion", "KEY", 1, "delete a key after some days",
    "Let a key be deleted after some days, with its material, aliases and tags. Until then it cannot be used, and\n"
    "`cmkctl cancel-deletion` brings it back. What it encrypted can then never be opened again, unless the same "
    "material\n"
    "is imported under the same id: see `cmkctl create --help`. To see first who misses it, use `cmkctl disable`.",
    "cmkctl schedule-deletion alias/backup --days 90", schedule_deletion_options, run_schedule_deletion },
  { "cancel-deletion", "KEY", 1, "keep a key that was to be deleted",
    "Keep a key that was to be deleted. It is Enabled or Disabled as before, or PendingImport if its material has\n"
    "expired or was deleted meanwhile.",
    "cmkctl cancel-deletion alias/backup", NULL, run_cancel_deletion },
  { 0 },
};
