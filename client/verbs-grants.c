/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs by which others come to use a key. */
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"
#include "grantee.h"
#include "output.h"

static int
add_operations (CmkCall *call, const char *list)
{
  _cleanup_ (cmk_freep) char *copy = cmk_duplicate (list);
  const char **names = cmk_allocate ((strlen (list) + 1) * sizeof *names);
  size_t n_names = 0;

  for (char *rest = NULL, *name = strtok_r (copy, ",", &rest); name != NULL; name = strtok_r (NULL, ",", &rest))
    names[n_names++] = name;
  cmk_call_add_strings (call, names, n_names);
  free (names);
  return CMK_EXIT_DONE;
}

static int
run_grant (const CmkArguments *arguments)
{
  const char *user = cmk_arguments_get (arguments, "user", NULL);
  const char *group = cmk_arguments_get (arguments, "group", NULL);
  const char *operations = cmk_arguments_get (arguments, "operations", NULL);
  uint32_t number = 0;
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "GrantKey");

  if (operations == NULL)
    return cmk_arguments_fail (arguments, "say what is allowed: --operations, such as Encrypt,Decrypt");
  if ((user != NULL) == (group != NULL))
    return cmk_arguments_fail (arguments, "say to whom: either --user or --group");
  if (!cmk_grantee_find (user != NULL ? user : group, user != NULL, &number))
    return cmk_arguments_fail (arguments, "--%s takes the name of a %s of this machine, or a number",
                               user != NULL ? "user" : "group", user != NULL ? "user" : "group");
  cmk_call_add_string (call, arguments->operands[0]);
  add_operations (call, operations);
  cmk_call_begin_options (call);
  cmk_call_add_number_option (call, user != NULL ? "User" : "Group", number);
  return cmk_arguments_send_and_print (arguments, call);
}

static int
run_revoke (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "RevokeGrant");

  cmk_call_add_string (call, arguments->operands[0]);
  cmk_call_add_string (call, arguments->operands[1]);
  return cmk_arguments_send_and_print (arguments, call);
}

static void
print_grants (const CmkValue *grants)
{
  static const char *const columns[] = { "GrantId", "Grantee", "CreationDate", "Operations" };

  for (size_t i = 0; i < grants->n_items; i++)
    {
      _cleanup_ (cmk_freep) char *grantee = cmk_grantee_describe (&grants->items[i]);

      cmk_value_append_text (&grants->items[i], "Grantee", grantee);
    }
  cmk_output_print_table (grants, columns, sizeof columns / sizeof *columns);
}

static int
run_grants (const CmkArguments *arguments)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "ListGrants");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const CmkValue *grants;
  int code;

  cmk_call_add_string (call, arguments->operands[0]);
  code = cmk_arguments_send (arguments, call, &answer);
  if (code != CMK_EXIT_DONE)
    return code;
  grants = cmk_value_get (&answer, "Grants", CMK_VALUE_LIST);
  if (cmk_arguments_has (arguments, "json"))
    cmk_output_print_json (&answer);
  else if (grants != NULL)
    print_grants (grants);
  return CMK_EXIT_DONE;
}

static const CmkOption grant_options[] = {
  { "user", "USER", "the user who may, by name or number", false },
  { "group", "GROUP", "the group whose members may, by name or number", false },
  { "operations", "OPERATION", "what they may do, commas between", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_grant_verbs[] = {
  { "grant", "KEY", 1, "let others use a key",
    "Let another user, or the members of a group, do the named operations with a key, and nothing else: to all other\n"
    "calls of theirs the key is not there. They name it by its id. Operations are methods of the bus interface:\n"
    "\n"
    "  DescribeKey, GetPublicKey, Encrypt, Decrypt, ReEncryptFrom, ReEncryptTo, GenerateDataKey,\n"
    "  GenerateDataKeyWithoutPlaintext, Sign, Verify, AsymmetricEncrypt, AsymmetricDecrypt, GenerateMac, VerifyMac,\n"
    "  GetParametersForImport, ImportKeyMaterial, DeleteKeyMaterial, EnableKey, DisableKey\n"
    "\n"
    "Without DescribeKey they cannot look at the key, and sign, verify, mac, asymmetric-encrypt, asymmetric-decrypt "
    "and\n"
    "get-parameters need an --algorithm.",
    "cmkctl grant alias/backup --user ada --operations DescribeKey,Encrypt\n"
    "cmkctl grant alias/backup --group restore --operations Decrypt\n"
    "cmkctl grant alias/release --user ci --operations DescribeKey,Sign,Verify",
    grant_options, run_grant },
  { "revoke", "KEY GRANT-ID", 2, "take a grant back",
    "Take a grant back, at once and for good. `cmkctl grants KEY` shows the ids.",
    "cmkctl revoke alias/backup 0b7a4c1e-3f55-4c7e-9d0b-0d5c1f0a9e42", NULL, run_revoke },
  { "grants", "KEY", 1, "list the grants of a key", "List who else may use a key of yours, and for what.",
    "cmkctl grants alias/backup", NULL, run_grants },
  { 0 },
};
