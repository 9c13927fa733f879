/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs for what people call keys by: aliases, and tags. */
#include <string.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "listing.h"
#include "output.h"

typedef struct
{
  const char *name;
  const char *operands; /* that follow it */
  size_t min_operands;
  size_t max_operands;
  const char *method;
} AliasAction;

static const AliasAction alias_actions[] = {
  { "create", " ALIAS KEY", 2, 2, "CreateAlias" },
  { "update", " ALIAS KEY", 2, 2, "UpdateAlias" },
  { "delete", " ALIAS", 1, 1, "DeleteAlias" },
  { "list", " [KEY]", 0, 1, "ListAliases" },
};

static const AliasAction *
find_action (const char *name)
{
  for (size_t i = 0; i < sizeof alias_actions / sizeof *alias_actions; i++)
    if (strcmp (alias_actions[i].name, name) == 0)
      return &alias_actions[i];
  return NULL;
}

static int
list_aliases (const CmkArguments *arguments, const AliasAction *action)
{
  static const char *const columns[] = { "AliasName", "KeyId" };
  const CmkListFilter filter = { "KeyId", arguments->n_operands > 1 ? arguments->operands[1] : NULL };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_list_all (arguments, action->method, "Aliases", &filter, 1, &answer);

  if (code != CMK_EXIT_DONE)
    return code;
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&answer);
  else
    cmk_output_print_table (cmk_value_get (&answer, "Aliases", CMK_VALUE_LIST), columns,
                            sizeof columns / sizeof *columns);
  return CMK_EXIT_DONE;
}

static int
send_alias (const CmkArguments *arguments, const AliasAction *action)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, action->method);

  for (size_t i = 1; i < arguments->n_operands; i++)
    cmk_call_add_string (call, arguments->operands[i]);
  return cmk_arguments_send_and_print (arguments, call);
}

static int
run_alias (const CmkArguments *arguments)
{
  const AliasAction *action = find_action (arguments->operands[0]);
  size_t n_operands = arguments->n_operands - 1;

  if (action == NULL)
    return cmk_arguments_fail (arguments, "alias takes create, update, delete or list");
  if (n_operands < action->min_operands || n_operands > action->max_operands)
    return cmk_arguments_fail (arguments, "alias %s takes%s", action->name, action->operands);
  if (strcmp (action->name, "list") == 0)
    return list_aliases (arguments, action);
  if (cmk_arguments_has (arguments, "limit"))
    return cmk_arguments_fail (arguments, "--limit is for alias list");
  return send_alias (arguments, action);
}

static int
run_tag (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "TagResource");

  for (size_t i = 1; i < arguments->n_operands; i++)
    if (strchr (arguments->operands[i], '=') == NULL)
      return cmk_arguments_fail (arguments, "a tag is NAME=VALUE");
  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_pairs (call, arguments->operands + 1, arguments->n_operands - 1);
  return cmk_arguments_send_and_print (arguments, call);
}

static int
run_untag (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "UntagResource");

  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_strings (call, arguments->operands + 1, arguments->n_operands - 1);
  return cmk_arguments_send_and_print (arguments, call);
}

static const CmkOption alias_options[] = {
  { "limit", "NUMBER", "list no more aliases than this; default: all", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_name_verbs[] = {
  { "alias", "ACTION ...", 1, "create, update, delete or list aliases",
    "Give a key a name of your own, which other verbs then take for KEY (but not those that import). An alias is "
    "alias/\n"
    "and up to 255 letters, digits, '_', '/' and '-'; a key has at most 50. Other users do not see it.\n"
    "\n"
    "  cmkctl alias create ALIAS KEY      a new one\n"
    "  cmkctl alias update ALIAS KEY      let it mean another key\n"
    "  cmkctl alias delete ALIAS          the key stays\n"
    "  cmkctl alias list [KEY]            all that you have, or those of one key",
    "cmkctl alias create alias/backup $KEY\n"
    "cmkctl encrypt alias/backup --in secret.txt --out secret.blob",
    alias_options, run_alias },
  { "tag", "KEY NAME=VALUE...", 2, "tag a key",
    "Give a key tags, or the tags it has other values: names of 1 to 128 characters with values of up to 256, at most\n"
    "20 to a key. Tags are no secret and mean nothing to cmkd.",
    "cmkctl tag alias/backup team=storage \"owner=Ada Lovelace\"", NULL, run_tag },
  { "untag", "KEY NAME...", 2, "take tags from a key",
    "Take the tags of these names from a key, those of them that it has.", "cmkctl untag alias/backup team owner", NULL,
    run_untag },
  { 0 },
};
