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

/* Give those of the keys @keys that are somebody else's, and all others with them, an Owner: the name of its Creator
 * where cmkd runs on this machine, else his uid. None has one where all are the caller's; whether that is so of keys of
 * one Creator on another machine is not to be known. */
bool cmk_list_name_owners (CmkValue *keys, bool is_here);

/* What the method @method of the Keys interface lists in the field @field and that @filters let through, the first
 * @limit of it. The answer is that of the last page, the items of all pages in it. */
int cmk_list_up_to (CmkBus *bus, const char *method, const char *field, const CmkListFilter *filters, size_t n_filters,
                    uint32_t limit, CmkValue *ret_answer);

/* The same, up to the argument of --limit, for a verb that does nothing else. */
int cmk_list_all (const CmkArguments *arguments, const char *method, const char *field, const CmkListFilter *filters,
                  size_t n_filters, CmkValue *ret_answer);
