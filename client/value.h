/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer of the daemon holds, free of libdbus: a tree of named values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum
{
  CMK_VALUE_NONE,
  CMK_VALUE_STRING,
  CMK_VALUE_BOOLEAN,
  CMK_VALUE_SIGNED,
  CMK_VALUE_UNSIGNED,
  CMK_VALUE_REAL,
  CMK_VALUE_LIST, /* items without names */
  CMK_VALUE_MAP,  /* items with names */
} CmkValueKind;

typedef struct CmkValue
{
  CmkValueKind kind;
  char *name; /* of an item of a map, else NULL */
  union
  {
    char *string;
    bool boolean;
    int64_t integer;
    uint64_t natural;
    double real;
  };
  struct CmkValue *items;
  size_t n_items;
} CmkValue;

/* Free what @value holds, strings wiped first (one of them may be a plaintext), and leave it CMK_VALUE_NONE. */
void cmk_value_clear (CmkValue *value);

/* Append an item without a value to a list, @name NULL, or map. Its address is good until the next item is appended. */
CmkValue *cmk_value_append (CmkValue *value, const char *name);

/* Append a copy of the string @text. */
void cmk_value_append_text (CmkValue *value, const char *name, const char *text);

/* An item of a list, as printf() writes it. */
void cmk_value_append_printf (CmkValue *list, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/* Move the items of @from, a list or map, to the end of @to, those left out whose name @to has already. */
void cmk_value_merge (CmkValue *to, CmkValue *from);

/* Clear the item @name of the map @map, if there is one, and leave it out from now on. */
void cmk_value_remove (CmkValue *map, const char *name);

/* The item @name of the map @map, NULL if there is none or it is of another kind. */
CmkValue *cmk_value_get (const CmkValue *map, const char *name, CmkValueKind kind);

/* The string @name of the map @map, NULL if there is none. */
const char *cmk_value_get_string (const CmkValue *map, const char *name);

/* CMK_EXIT_REFUSED, said on stderr: the answer has no @name. */
int cmk_value_fail_without (const char *name);

/* The string @name of the answer @answer, said on stderr to be missing if it is. */
int cmk_value_require (const CmkValue *answer, const char *name, const char **ret_text);
