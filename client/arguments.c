/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "exit-code.h"
#include "output.h"

const CmkOption cmk_common_options[] = {
  { "system", NULL, "talk to cmkd on the system bus (default)", false },
  { "session", NULL, "talk to cmkd on the session bus", false },
  { "address", "ADDRESS", "talk to cmkd on the bus at this D-Bus address", false },
  { "host", "HOST", "talk to cmkd on the system bus of machine or user@machine, by ssh", false },
  { "no-ask-password", NULL, "ask nobody to authenticate: what needs it is refused", false },
  { "json", NULL, "print the answer as one JSON object", false },
  { "help", NULL, "show this help, as -h does", false },
  { "version", NULL, "show the version", false },
  { NULL, NULL, NULL, false },
};

int
cmk_arguments_fail (const CmkArguments *arguments, const char *format, ...)
{
  _cleanup_ (cmk_freep) char *problem = NULL;
  va_list list;

  va_start (list, format);
  cmk_require_memory (vasprintf (&problem, format, list) >= 0);
  va_end (list);
  return cmk_fail (CMK_EXIT_USAGE, "%s: see `cmkctl%s%s --help`", problem, arguments->verb != NULL ? " " : "",
                   arguments->verb != NULL ? arguments->verb->name : "");
}

static const CmkOption *
find_option (const CmkOption *options, const char *name, size_t length)
{
  for (; options != NULL && options->name != NULL; options++)
    if (strncmp (options->name, name, length) == 0 && options->name[length] == '\0')
      return options;
  return NULL;
}

const CmkOption *
cmk_arguments_find_option (const CmkVerb *verb, const char *name, size_t length)
{
  const CmkOption *option = find_option (cmk_common_options, name, length);

  return option != NULL || verb == NULL ? option : find_option (verb->options, name, length);
}

const CmkVerb *
cmk_arguments_find_verb (const char *name)
{
  for (const CmkVerb *const *group = cmk_verb_groups; *group != NULL; group++)
    for (const CmkVerb *verb = *group; verb->name != NULL; verb++)
      if (strcmp (verb->name, name) == 0)
        return verb;
  return NULL;
}

/* Take the option at @word, and its argument from @next if it is not in the same word; *@ret_used says whether. */
static int
take_option (CmkArguments *arguments, const char *word, const char *next, bool *ret_used)
{
  const char *name = word + 2;
  size_t length = strcspn (name, "=");
  const char *value = name[length] == '=' ? name + length + 1 : NULL;
  const CmkOption *option = cmk_arguments_find_option (arguments->verb, name, length);

  *ret_used = false;
  if (option == NULL)
    return cmk_arguments_fail (arguments, "unknown option '--%.*s'", (int) length, name);
  if (option->argument == NULL && value != NULL)
    return cmk_arguments_fail (arguments, "option '--%s' takes no argument", option->name);
  if (!option->is_repeatable && cmk_arguments_was_given (arguments, option))
    return cmk_arguments_fail (arguments, "option '--%s' was given twice", option->name);
  if (option->argument != NULL && value == NULL)
    {
      if (next == NULL)
        return cmk_arguments_fail (arguments, "option '--%s' needs an argument %s", option->name, option->argument);
      value = next;
      *ret_used = true;
    }

  arguments->given[arguments->n_given++] = (CmkGiven) { option, value };
  return CMK_EXIT_DONE;
}

static void
ask_for_help (CmkArguments *arguments)
{
  arguments->given[arguments->n_given++] =
      (CmkGiven) { find_option (cmk_common_options, "help", strlen ("help")), NULL };
}

static int
take_operand (CmkArguments *arguments, const char *word)
{
  if (arguments->verb == NULL && strcmp (word, "help") == 0)
    {
      ask_for_help (arguments);
      return CMK_EXIT_DONE;
    }
  if (arguments->verb != NULL)
    {
      arguments->operands[arguments->n_operands++] = word;
      return CMK_EXIT_DONE;
    }
  arguments->verb = cmk_arguments_find_verb (word);
  return arguments->verb != NULL ? CMK_EXIT_DONE : cmk_arguments_fail (arguments, "unknown verb '%s'", word);
}

static bool
takes_more (const CmkVerb *verb)
{
  size_t length = strlen (verb->operands);

  return length > 3 && strcmp (verb->operands + length - 3, "...") == 0;
}

static size_t
count_operands (const CmkVerb *verb)
{
  size_t n_words = verb->operands[0] != '\0';

  for (const char *c = verb->operands; *c != '\0'; c++)
    n_words += *c == ' ';
  return n_words;
}

static int
check (const CmkArguments *arguments)
{
  if (cmk_arguments_has (arguments, "help") || cmk_arguments_has (arguments, "version"))
    return CMK_EXIT_DONE;
  if (arguments->verb == NULL)
    return cmk_arguments_fail (arguments, "a verb is missing");
  if (arguments->n_operands < arguments->verb->n_operands ||
      (arguments->n_operands > count_operands (arguments->verb) && !takes_more (arguments->verb)))
    return cmk_arguments_fail (arguments, "%s takes %s", arguments->verb->name,
                               arguments->verb->operands[0] == '\0' ? "no operands" : arguments->verb->operands);
  if (cmk_arguments_has (arguments, "system") + cmk_arguments_has (arguments, "session") +
          cmk_arguments_has (arguments, "address") + cmk_arguments_has (arguments, "host") >
      1)
    return cmk_arguments_fail (arguments, "only one of --system, --session, --address and --host can be meant");
  return CMK_EXIT_DONE;
}

int
cmk_arguments_parse (int argc, char *argv[], CmkArguments *ret_arguments)
{
  bool options_ended = false;

  *ret_arguments = (CmkArguments) { .operands = cmk_allocate ((size_t) argc * sizeof (char *)),
                                    .given = cmk_allocate ((size_t) argc * sizeof (CmkGiven)) };

  for (int i = 1; i < argc; i++)
    {
      int code;
      bool used = false;

      if (!options_ended && strcmp (argv[i], "--") == 0)
        {
          options_ended = true;
          continue;
        }
      if (options_ended || argv[i][0] != '-' || argv[i][1] == '\0')
        code = take_operand (ret_arguments, argv[i]);
      else if (strcmp (argv[i], "-h") == 0)
        {
          ask_for_help (ret_arguments);
          continue;
        }
      else if (argv[i][1] != '-')
        code = cmk_arguments_fail (ret_arguments, "unknown option '%s'", argv[i]);
      else
        code = take_option (ret_arguments, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
      if (code != CMK_EXIT_DONE)
        return code;
      i += used;
    }
  return check (ret_arguments);
}

void
cmk_arguments_clear (CmkArguments *arguments)
{
  free (arguments->operands);
  free (arguments->given);
}

/* A name that is in no table would be a slip in a verb, not on the command line. */
static void
require_known (const CmkArguments *arguments, const char *name)
{
  assert (cmk_arguments_find_option (arguments->verb, name, strlen (name)) != NULL);
}

bool
cmk_arguments_was_given (const CmkArguments *arguments, const CmkOption *option)
{
  for (size_t i = 0; i < arguments->n_given; i++)
    if (arguments->given[i].option == option)
      return true;
  return false;
}

bool
cmk_arguments_has (const CmkArguments *arguments, const char *name)
{
  return cmk_arguments_get (arguments, name, NULL) != NULL;
}

const char *
cmk_arguments_get (const CmkArguments *arguments, const char *name, const char *fallback)
{
  require_known (arguments, name);
  for (size_t i = 0; i < arguments->n_given; i++)
    if (strcmp (arguments->given[i].option->name, name) == 0)
      return arguments->given[i].option->argument != NULL ? arguments->given[i].value : "";
  return fallback;
}

int
cmk_arguments_get_number (const CmkArguments *arguments, const char *name, uint32_t highest, uint32_t *ret_number)
{
  const char *text = cmk_arguments_get (arguments, name, NULL);
  uint64_t number = 0;

  if (text == NULL)
    return CMK_EXIT_DONE;
  for (const char *digit = text; *digit != '\0' && number <= highest; digit++)
    number = *digit >= '0' && *digit <= '9' ? number * 10 + (uint64_t) (*digit - '0') : UINT64_MAX;
  if (number == 0 || number > highest)
    return cmk_arguments_fail (arguments, "--%s takes a number from 1 to %u", name, highest);
  *ret_number = (uint32_t) number;
  return CMK_EXIT_DONE;
}

/* Verbs with an option --in or --out take the standard stream where it is not given; an answer as JSON takes that of
 * --out for itself. */
static bool
is_stream (const CmkArguments *arguments, const char *name)
{
  bool is_default = strcmp (name, "in") == 0 || (strcmp (name, "out") == 0 && !cmk_arguments_has (arguments, "json"));

  return strcmp (cmk_arguments_get (arguments, name, is_default ? "-" : ""), "-") == 0;
}

int
cmk_arguments_check_inputs (const CmkArguments *arguments, const char *const *names)
{
  const char *stream = NULL;

  for (; *names != NULL; names++)
    {
      if (!is_stream (arguments, *names))
        continue;
      if (stream != NULL)
        return cmk_arguments_fail (arguments, "only one of --%s and --%s can come from standard input", stream, *names);
      stream = *names;
    }
  return CMK_EXIT_DONE;
}

int
cmk_arguments_check_outputs (const CmkArguments *arguments, const char *const *names)
{
  int n_streams = cmk_arguments_has (arguments, "json");

  for (; *names != NULL; names++)
    n_streams += is_stream (arguments, *names);
  return n_streams > 1 ? cmk_arguments_fail (arguments, "more than one thing would go to standard output")
                       : CMK_EXIT_DONE;
}

int
cmk_arguments_add_pairs (const CmkArguments *arguments, const char *name, CmkCall *call, const char *wire_name)
{
  const char **pairs = cmk_allocate ((arguments->n_given + 1) * sizeof *pairs);
  size_t n_pairs = 0;
  int code = CMK_EXIT_DONE;

  require_known (arguments, name);
  for (size_t i = 0; i < arguments->n_given && code == CMK_EXIT_DONE; i++)
    {
      const char *value = arguments->given[i].value;

      if (strcmp (arguments->given[i].option->name, name) != 0)
        continue;
      if (strchr (value, '=') == NULL)
        code = cmk_arguments_fail (arguments, "--%s takes NAME=VALUE", name);
      pairs[n_pairs++] = value;
    }
  if (code == CMK_EXIT_DONE)
    cmk_call_add_pairs_option (call, wire_name, pairs, n_pairs);
  free (pairs);
  return code;
}

int
cmk_arguments_open_bus (const CmkArguments *arguments, CmkBus **ret_bus)
{
  CmkBusKind kind = cmk_arguments_has (arguments, "address")   ? CMK_BUS_ADDRESS
                    : cmk_arguments_has (arguments, "host")    ? CMK_BUS_HOST
                    : cmk_arguments_has (arguments, "session") ? CMK_BUS_SESSION
                                                               : CMK_BUS_SYSTEM;
  const char *where = cmk_arguments_get (arguments, kind == CMK_BUS_HOST ? "host" : "address", NULL);
  int code = cmk_bus_open (kind, where, ret_bus);

  if (code == CMK_EXIT_DONE && cmk_arguments_has (arguments, "no-ask-password"))
    cmk_bus_ask_nobody (*ret_bus);
  return code;
}

int
cmk_arguments_send (const CmkArguments *arguments, CmkCall *call, CmkValue *ret_answer)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  int code = cmk_arguments_open_bus (arguments, &bus);

  return code == CMK_EXIT_DONE ? cmk_call_send (call, bus, ret_answer) : code;
}

int
cmk_arguments_send_and_print (const CmkArguments *arguments, CmkCall *call)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_arguments_send (arguments, call, &answer);

  if (code == CMK_EXIT_DONE)
    cmk_output_print_answer (&answer, cmk_arguments_has (arguments, "json"));
  return code;
}

int
cmk_arguments_write_answer (const CmkArguments *arguments, CmkValue *answer, const char *name,
                            int (*write) (const char *path, const char *text))
{
  bool is_json = cmk_arguments_has (arguments, "json");
  const char *out = cmk_arguments_get (arguments, "out", is_json ? NULL : "-");
  const char *text;
  int code = cmk_value_require (answer, name, &text);

  if (code == CMK_EXIT_DONE && out != NULL)
    code = write (out, text);
  if (code != CMK_EXIT_DONE || !is_json)
    return code;
  if (out != NULL && strcmp (name, "Plaintext") == 0)
    cmk_value_remove (answer, name);
  cmk_output_print_json (answer);
  return CMK_EXIT_DONE;
}

static void
print_options (const char *title, const CmkOption *options)
{
  if (options == NULL)
    return;
  printf ("\n%s:\n", title);
  for (; options->name != NULL; options++)
    {
      int width = printf ("  --%s%s%s", options->name, options->argument != NULL ? " " : "",
                          options->argument != NULL ? options->argument : "");
      printf ("%*s%s%s\n", width < 32 ? 32 - width : 1, "", options->help,
              options->is_repeatable ? " (may be repeated)" : "");
    }
}

static void
print_examples (const char *examples)
{
  printf ("\nExample:\n");
  for (size_t length; *examples != '\0'; examples += length + (examples[length] != '\0'))
    {
      length = strcspn (examples, "\n");
      printf ("  %.*s\n", (int) length, examples);
    }
}

void
cmk_arguments_print_help (const CmkArguments *arguments)
{
  const CmkVerb *verb = arguments->verb;

  if (verb != NULL)
    {
      printf ("Usage: cmkctl %s [OPTION...]", verb->name);
      if (verb->operands[0] != '\0')
        printf (verb->n_operands == 0 ? " [%s]" : " %s", verb->operands);
      printf ("\n\n%s\n", verb->description);
      print_examples (verb->examples);
      print_options ("Options", verb->options);
      print_options ("Options of every verb", cmk_common_options);
      return;
    }

  printf ("Usage: cmkctl [OPTION...] VERB ...\n\nManage and use the keys of cmkd.\n\nVerbs:\n");
  for (const CmkVerb *const *group = cmk_verb_groups; *group != NULL; group++)
    for (verb = *group; verb->name != NULL; verb++)
      {
        int width = printf ("  %s%s%s", verb->name, verb->operands[0] != '\0' ? " " : "", verb->operands);
        printf ("%*s%s\n", 28 - width, "", verb->summary);
      }
  print_options ("Options of every verb", cmk_common_options);
  printf ("\nExit status: 0 done, 1 refused, 2 usage, 3 no such key, 4 access denied, 5 daemon or TPM not there,\n"
          "6 attestation key not known.\n"
          "See cmkctl(1) and `cmkctl help VERB`.\n");
}
