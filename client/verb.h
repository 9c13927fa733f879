/* SPDX-License-Identifier: Apache-2.0
 *
 * What a verb of cmkctl is: its place in the help, the options it takes, and what it does. Each group of verbs is one
 * file and exports one table that ends with a verb without a name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct CmkArguments CmkArguments;

typedef struct
{
  const char *name;     /* without the dashes */
  const char *argument; /* placeholder of its argument in the help; NULL for a flag */
  const char *help;
  bool is_repeatable;
} CmkOption;

typedef struct
{
  const char *name;
  const char *operands;     /* placeholders of what follows the verb, "" if nothing does; "..." at the end: and more */
  size_t n_operands;        /* the fewest, if there may be more or some can be left out */
  const char *summary;      /* one line of `cmkctl --help` */
  const char *description;  /* paragraph of `cmkctl VERB --help` */
  const char *examples;     /* command lines under "Example:" of `cmkctl VERB --help`, one a line */
  const CmkOption *options; /* of its own, ends with one without a name; NULL if there are none */
  int (*run) (const CmkArguments *arguments);
} CmkVerb;

extern const CmkVerb cmk_key_verbs[];
extern const CmkVerb cmk_name_verbs[];
extern const CmkVerb cmk_grant_verbs[];
extern const CmkVerb cmk_import_verbs[];
extern const CmkVerb cmk_attestation_verbs[];
extern const CmkVerb cmk_crypto_verbs[];
extern const CmkVerb cmk_file_verbs[];
extern const CmkVerb cmk_asymmetric_verbs[];
extern const CmkVerb cmk_service_verbs[];
extern const CmkVerb cmk_recover_verbs[];
extern const CmkVerb cmk_log_verbs[];
extern const CmkVerb cmk_complete_verbs[];

/* All of these, in the order of the help; ends with NULL. */
extern const CmkVerb *const cmk_verb_groups[];
