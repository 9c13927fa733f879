/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"

#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"

/* The text @field of the metadata of @key; it lives as long as *@ret_answer. */
static int
describe (CmkBus *bus, const char *key, const char *field, CmkValue *ret_answer, const char **ret_text)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "DescribeKey");
  const CmkValue *metadata;
  int code;

  cmk_call_add_string (call, key);
  code = cmk_call_send (call, bus, ret_answer);
  if (code != CMK_EXIT_DONE)
    return code;
  metadata = cmk_value_get (ret_answer, "KeyMetadata", CMK_VALUE_MAP);
  if (metadata == NULL)
    return cmk_value_fail_without ("KeyMetadata");
  return cmk_value_require (metadata, field, ret_text);
}

int
cmk_describe_id (CmkBus *bus, const char *key, char **ret_id)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *id;
  int code = describe (bus, key, "KeyId", &answer, &id);

  if (code == CMK_EXIT_DONE)
    *ret_id = cmk_duplicate (id);
  return code;
}

static int
find_spec (CmkBus *bus, const char *key, const CmkSpec **ret_spec)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *name;
  int code = describe (bus, key, "KeySpec", &answer, &name);

  if (code != CMK_EXIT_DONE)
    return code;
  *ret_spec = cmk_spec_find (name);
  if (*ret_spec == NULL)
    return cmk_fail (CMK_EXIT_REFUSED, "the key is of spec %s, which this cmkctl does not know: name the --algorithm",
                     name);
  return CMK_EXIT_DONE;
}

/* With what there was to say as the owned text *@ret_message. */
static int
find_spec_quietly (CmkBus *bus, const char *key, const CmkSpec **ret_spec, char **ret_message)
{
  int code;

  cmk_fail_keep (ret_message);
  code = find_spec (bus, key, ret_spec);
  cmk_fail_keep (NULL);
  return code;
}

int
cmk_describe_spec (CmkBus *bus, const char *key, const CmkSpec **ret_spec)
{
  _cleanup_ (cmk_freep) char *message = NULL;
  int code = find_spec_quietly (bus, key, ret_spec, &message);

  if (code == CMK_EXIT_NO_SUCH_KEY || code == CMK_EXIT_DENIED)
    return cmk_fail (
        code, "%s; if you may use the key but not look at it (no grant of DescribeKey): name the --algorithm", message);
  return code == CMK_EXIT_DONE ? code : cmk_fail (code, "%s", message);
}

const CmkSpec *
cmk_describe_spec_if_seen (CmkBus *bus, const char *key)
{
  _cleanup_ (cmk_freep) char *message = NULL;
  const CmkSpec *spec = NULL;

  return find_spec_quietly (bus, key, &spec, &message) == CMK_EXIT_DONE ? spec : NULL;
}

int
cmk_describe_algorithm (const CmkArguments *arguments, CmkBus *bus, const char *key, CmkUse use,
                        const char **ret_algorithm)
{
  static const char *const uses[] = {
    [CMK_USE_SIGN] = "signatures", [CMK_USE_ENCRYPT] = "public-key encryption", [CMK_USE_MAC] = "MACs"
  };
  const CmkSpec *spec = NULL;
  int code;

  *ret_algorithm = cmk_arguments_get (arguments, "algorithm", NULL);
  if (*ret_algorithm != NULL)
    return CMK_EXIT_DONE;
  code = cmk_describe_spec (bus, key, &spec);
  if (code != CMK_EXIT_DONE)
    return code;

  *ret_algorithm = spec->algorithms[use];
  if (*ret_algorithm == NULL)
    return cmk_fail (CMK_EXIT_REFUSED, "a key of spec %s is not for %s: see `cmkctl show`", spec->name, uses[use]);
  return CMK_EXIT_DONE;
}
