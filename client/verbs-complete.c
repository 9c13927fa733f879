/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb that the completions of the shells call: what may come next is told by the tables of verb.h, and by the
 * daemon for keys and aliases. Each shell has only a few lines of its own, and all have the same answers. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "buffer.h"
#include "choices.h"
#include "cmkd.h"
#include "exit-code.h"
#include "grantee.h"
#include "listing.h"
#include "output.h"
#include "text.h"

#define MOST_KEYS        1000
#define PATIENCE_SECONDS 2
#define UUID_CHARS       36

/* The command line so far. */
typedef struct
{
  CmkArguments arguments; /* what stands before the last word */
  const CmkOption *open;  /* the last word is the argument of this option */
  bool has_options_ended;
  const char *prefix; /* printed before each candidate: "--name=" where the option and its argument are one word */
  int prefix_length;
  const char *word; /* the beginning of what is looked for */
} Line;

static void
print_candidate (const Line *line, const char *text, const char *description)
{
  _cleanup_ (cmk_freep) char *shown = NULL;

  if (strncmp (text, line->word, strlen (line->word)) != 0)
    return;
  shown = cmk_text_clean (description);
  printf ("%.*s%s\t%s\n", line->prefix_length, line->prefix, text, shown);
}

/* What ends up on a command line must mean nothing to a shell, whoever it was that answered. */
static bool
is_id (const char *text)
{
  return strlen (text) == UUID_CHARS && strspn (text, "0123456789abcdef-") == UUID_CHARS;
}

static bool
is_key (const char *text)
{
  static const char in_alias[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/-";

  if (strncmp (text, CMKD_ALIAS_PREFIX, strlen (CMKD_ALIAS_PREFIX)) == 0)
    return strspn (text, in_alias) == strlen (text);
  return is_id (text);
}

static void
print_options (const Line *line, const CmkOption *options)
{
  for (; options != NULL && options->name != NULL; options++)
    {
      char name[64];

      snprintf (name, sizeof name, "--%s", options->name);
      if (options->is_repeatable || !cmk_arguments_was_given (&line->arguments, options))
        print_candidate (line, name, options->help);
    }
}

static void
print_verbs (const Line *line)
{
  for (const CmkVerb *const *group = cmk_verb_groups; *group != NULL; group++)
    for (const CmkVerb *verb = *group; verb->name != NULL; verb++)
      print_candidate (line, verb->name, verb->summary);
}

/* One of @words, or where commas may stand between several of them the next one. */
static void
print_words (Line *line, const char *words, bool is_list)
{
  const char *comma = is_list ? strrchr (line->word, ',') : NULL;
  _cleanup_ (cmk_freep) char *copy = cmk_duplicate (words);
  char *rest = NULL;

  if (comma != NULL)
    {
      line->prefix = line->prefix_length > 0 ? line->prefix : line->word;
      line->prefix_length = (int) (comma + 1 - line->prefix);
      line->word = comma + 1;
    }
  for (const char *word = strtok_r (copy, " ", &rest); word != NULL; word = strtok_r (NULL, " ", &rest))
    print_candidate (line, word, "");
}

/* The field @field of each item that @method lists. @described_by is a field of it, too. */
static int
print_listed (const Line *line, CmkBus *bus, const char *method, const char *list, const char *field,
              const char *described_by)
{
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  int code = cmk_list_up_to (bus, method, list, NULL, 0, MOST_KEYS, &answer);
  const CmkValue *items = cmk_value_get (&answer, list, CMK_VALUE_LIST);

  for (size_t i = 0; code == CMK_EXIT_DONE && i < items->n_items; i++)
    {
      const char *text = cmk_value_get_string (&items->items[i], field);
      const char *description = cmk_value_get_string (&items->items[i], described_by);

      if (text != NULL && is_key (text))
        print_candidate (line, text, description != NULL ? description : "");
    }
  return code;
}

/* The daemon's Import interface takes ids only. */
static bool
takes_alias (const CmkVerb *verb)
{
  return strcmp (verb->name, "get-parameters") != 0 && strcmp (verb->name, "import") != 0 &&
         strcmp (verb->name, "delete-material") != 0;
}

/* *@ret_bus stays NULL where none is asked. */
static int
open_bus (const Line *line, CmkBus **ret_bus)
{
  const char *address = cmk_arguments_get (&line->arguments, "address", "unix:");
  int code;

  /* Nobody expects of the Tab key that it runs a program: ssh, which may have to ask for a password, or one that an
   * address names that was not even sent off yet. Addresses are a list. */
  if (cmk_arguments_has (&line->arguments, "host") || strncmp (address, "unix:", 5) != 0 ||
      strchr (address, ';') != NULL)
    return CMK_EXIT_DONE;
  code = cmk_arguments_open_bus (&line->arguments, ret_bus);
  if (code == CMK_EXIT_DONE)
    cmk_bus_set_aside (*ret_bus, PATIENCE_SECONDS);
  return code;
}

static int
print_keys (const Line *line, bool has_ids, bool has_aliases)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  int code = open_bus (line, &bus);

  if (bus == NULL)
    return code;
  if (has_ids)
    code = print_listed (line, bus, "ListKeys", "Keys", "KeyId", "Description");
  if (code == CMK_EXIT_DONE && has_aliases)
    code = print_listed (line, bus, "ListAliases", "Aliases", "AliasName", "KeyId");
  return code;
}

/* Those of the key that comes before. */
static int
print_grants (const Line *line)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, "ListGrants");
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  const char *key = line->arguments.operands[0];
  const CmkValue *grants;
  int code = is_key (key) ? open_bus (line, &bus) : CMK_EXIT_DONE;

  if (bus == NULL)
    return code;
  cmk_call_add_string (call, key);
  code = cmk_call_send (call, bus, &answer);
  grants = cmk_value_get (&answer, "Grants", CMK_VALUE_LIST);
  for (size_t i = 0; grants != NULL && i < grants->n_items; i++)
    {
      const char *id = cmk_value_get_string (&grants->items[i], "GrantId");
      _cleanup_ (cmk_freep) char *grantee = cmk_grantee_describe (&grants->items[i]);

      if (id != NULL && is_id (id))
        print_candidate (line, id, grantee);
    }
  return code;
}

static void
print_users (const Line *line)
{
  for (const struct passwd *user = getpwent (); user != NULL; user = getpwent ())
    print_candidate (line, user->pw_name, user->pw_gecos != NULL ? user->pw_gecos : "");
  endpwent ();
}

static void
print_groups (const Line *line)
{
  for (const struct group *group = getgrent (); group != NULL; group = getgrent ())
    print_candidate (line, group->gr_name, "");
  endgrent ();
}

static int
print_values (Line *line, const char *placeholder)
{
  const CmkVerb *verb = line->arguments.verb;
  const char *choices = verb != NULL ? cmk_choices_find (verb, placeholder) : NULL;

  if (choices != NULL)
    print_words (line, choices, strcmp (placeholder, "OPERATION") == 0);
  else if (strcmp (placeholder, "FILE") == 0 || strcmp (placeholder, "ANSWER") == 0)
    puts (":files");
  else if (strcmp (placeholder, "DIRECTORY") == 0)
    puts (":directories");
  else if (strcmp (placeholder, "USER") == 0)
    print_users (line);
  else if (strcmp (placeholder, "GROUP") == 0)
    print_groups (line);
  else if (strcmp (placeholder, "KEY") == 0)
    return print_keys (line, true, takes_alias (verb));
  else if (strcmp (placeholder, "ALIAS") == 0)
    return print_keys (line, false, true);
  else if (strcmp (placeholder, "GRANT-ID") == 0)
    return print_grants (line);
  return CMK_EXIT_DONE;
}

/* The operand of @placeholders that comes next; if the last of them may be repeated, also after all of them. */
static int
print_operand (Line *line)
{
  const char *operands = line->arguments.verb->operands;
  const char *chosen =
      line->arguments.n_operands > 0 ? cmk_choices_operands (line->arguments.verb, line->arguments.operands[0]) : NULL;
  _cleanup_ (cmk_freep) char *copy = cmk_duplicate (chosen != NULL ? chosen : operands);
  char *rest = NULL;
  char *placeholder = strtok_r (copy, " ", &rest);

  for (size_t i = 0; placeholder != NULL && i < line->arguments.n_operands; i++)
    {
      size_t length = strlen (placeholder);

      if (length < 3 || strcmp (placeholder + length - 3, "...") != 0)
        placeholder = strtok_r (NULL, " ", &rest);
    }
  if (placeholder == NULL)
    return CMK_EXIT_DONE;
  placeholder[strcspn (placeholder, ".")] = '\0';
  return print_values (line, placeholder);
}

/* Take in a word that is not the last. What makes no sense is passed over: whoever types it will be told. */
static void
take_word (Line *line, const char *word)
{
  CmkArguments *arguments = &line->arguments;

  if (line->open != NULL)
    arguments->given[arguments->n_given - 1].value = word;
  else if (!line->has_options_ended && strcmp (word, "--") == 0)
    line->has_options_ended = true;
  else if (!line->has_options_ended && strncmp (word, "--", 2) == 0)
    {
      size_t length = strcspn (word + 2, "=");
      const CmkOption *option = cmk_arguments_find_option (arguments->verb, word + 2, length);
      const char *value = word[2 + length] == '=' ? word + 3 + length : NULL;

      if (option == NULL)
        return;
      arguments->given[arguments->n_given++] = (CmkGiven) { option, value != NULL ? value : "" };
      line->open = option->argument != NULL && value == NULL ? option : NULL;
      return;
    }
  else if (arguments->verb != NULL)
    arguments->operands[arguments->n_operands++] = word;
  else
    arguments->verb = cmk_arguments_find_verb (word);
  line->open = NULL;
}

static int
print_candidates (Line *line)
{
  const CmkVerb *verb = line->arguments.verb;
  size_t length = strcspn (line->word, "=");

  if (line->open != NULL)
    return print_values (line, line->open->argument);
  if (!line->has_options_ended && strncmp (line->word, "--", 2) == 0 && line->word[length] == '=')
    {
      const CmkOption *option = cmk_arguments_find_option (verb, line->word + 2, length - 2);

      line->prefix = line->word;
      line->prefix_length = (int) length + 1;
      line->word += length + 1;
      return option != NULL && option->argument != NULL ? print_values (line, option->argument) : CMK_EXIT_DONE;
    }
  if (!line->has_options_ended && *line->word == '-')
    {
      print_options (line, verb != NULL ? verb->options : NULL);
      print_options (line, cmk_common_options);
      return CMK_EXIT_DONE;
    }
  if (verb != NULL)
    return print_operand (line);
  print_verbs (line);
  return CMK_EXIT_DONE;
}

static int
run_complete (const CmkArguments *arguments)
{
  size_t n_words = arguments->n_operands - 1;
  Line line = { .word = arguments->operands[n_words], .prefix = "" };
  int code;

  if (cmk_arguments_has (arguments, "host"))
    return cmk_arguments_fail (arguments, "complete asks no --host: that of the command line comes after --");
  line.arguments.operands = cmk_allocate (arguments->n_operands * sizeof *line.arguments.operands);
  line.arguments.given = cmk_allocate (arguments->n_operands * sizeof *line.arguments.given);
  for (size_t i = 0; i < n_words; i++)
    take_word (&line, arguments->operands[i]);
  code = print_candidates (&line);
  cmk_arguments_clear (&line.arguments);
  return code;
}

const CmkVerb cmk_complete_verbs[] = {
  { "complete", "WORD...", 1, "print what may come next, for a shell",
    "Print what the last WORD of a command line - what follows cmkctl on it - may become: one candidate and what it "
    "is, a\n"
    "tab between them, on a line; \":files\" or \":directories\" where a file or directory is meant. Keys, aliases "
    "and\n"
    "grants are asked of cmkd, which has two seconds to answer. The completions of bash, zsh and fish are made of "
    "this.",
    "cmkctl complete -- import --wr", NULL, run_complete },
  { 0 },
};
