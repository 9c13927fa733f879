/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line, taken apart by the tables of verb.h, and the help made of them. */
#pragma once

#include <stdint.h>

#include "bus.h"
#include "verb.h"

typedef struct
{
  const CmkOption *option;
  const char *value; /* NULL of a flag */
} CmkGiven;

struct CmkArguments
{
  const CmkVerb *verb; /* NULL if none was named, which only --help and --version allow */
  const char **operands;
  size_t n_operands;
  CmkGiven *given;
  size_t n_given;
};

/* Those that every verb has; ends with one without a name. */
extern const CmkOption cmk_common_options[];

/* The option of @verb (NULL: those of every verb only) whose name is the @length characters at @name, NULL if none
 * is. */
const CmkOption *cmk_arguments_find_option (const CmkVerb *verb, const char *name, size_t length);

const CmkVerb *cmk_arguments_find_verb (const char *name);

/* Take @argv apart. Options may stand before and after the verb and
 * its operands, as --name VALUE or --name=VALUE; "--" ends them. With --help or --version nothing may be missing. */
int cmk_arguments_parse (int argc, char *argv[], CmkArguments *ret_arguments);
void cmk_arguments_clear (CmkArguments *arguments);

bool cmk_arguments_was_given (const CmkArguments *arguments, const CmkOption *option);

/* Was the option or flag @name given? */
bool cmk_arguments_has (const CmkArguments *arguments, const char *name);

/* The argument of the option @name, @fallback if it was not given. */
const char *cmk_arguments_get (const CmkArguments *arguments, const char *name, const char *fallback);

/* The argument of the option @name as a number of 1 to @highest; @ret_number stays as it is if it was not given. */
int cmk_arguments_get_number (const CmkArguments *arguments, const char *name, uint32_t highest, uint32_t *ret_number);

/* Refuse that more than one of the options @names, files to read, means standard input; @names ends with NULL. */
int cmk_arguments_check_inputs (const CmkArguments *arguments, const char *const *names);

/* Refuse that more than one of the options @names, files to write, and --json means standard output. */
int cmk_arguments_check_outputs (const CmkArguments *arguments, const char *const *names);

/* Add the arguments NAME=VALUE of the repeatable option @name to @call as its option @wire_name. */
int cmk_arguments_add_pairs (const CmkArguments *arguments, const char *name, CmkCall *call, const char *wire_name);

/* Connect to the bus that --system, --session or --address chose. */
int cmk_arguments_open_bus (const CmkArguments *arguments, CmkBus **ret_bus);

/* The same, for a verb of one @call: connect, send it and wait for the answer. */
int cmk_arguments_send (const CmkArguments *arguments, CmkCall *call, CmkValue *ret_answer);

/* The same, and print the answer as --json says. */
int cmk_arguments_send_and_print (const CmkArguments *arguments, CmkCall *call);

/* Have @write write the text @name of @answer to the argument of --out, by default standard output; with --json all of
 * the answer goes there. */
int cmk_arguments_write_answer (const CmkArguments *arguments, CmkValue *answer, const char *name,
                                int (*write) (const char *path, const char *text));

/* CMK_EXIT_USAGE with @problem and the way to the help of the verb. */
int cmk_arguments_fail (const CmkArguments *arguments, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/* Print the help of the verb, or of cmkctl if there is none. */
void cmk_arguments_print_help (const CmkArguments *arguments);
