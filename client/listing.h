/* SPDX-License-Identifier: Apache-2.0
 *
 * Listings that the daemon hands out in pages. */
#pragma once

#include "arguments.h"

typedef struct
{
  const char *name; /* of the option on the bus */
  const char *text; /* NULL if it was not asked for */
} CmkListFilter;

/* What the method @method of the Keys interface lists in the field @field and that @filters let through, the first @limit of
 * it. The answer is that of the last page, the items of all pages in it. */
int cmk_list_up_to (CmkBus *bus, const char *method, const char *field, const CmkListFilter *filters, size_t n_filters,
                    uint32_t limit, CmkValue *ret_answer);

/* The same, up to the argument of --limit, for a verb that does nothing else. */
int cmk_list_all (const CmkArguments *arguments, const char *method, const char *field, const CmkListFilter *filters,
                  size_t n_filters, CmkValue *ret_answer);
