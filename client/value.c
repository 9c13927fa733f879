/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "exit-code.h"

void
cmk_value_clear (CmkValue *value)
{
  for (size_t i = 0; i < value->n_items; i++)
    cmk_value_clear (&value->items[i]);
  if (value->kind == CMK_VALUE_STRING && value->string != NULL)
    {
      explicit_bzero (value->string, strlen (value->string));
      free (value->string);
    }
  free (value->items);
  free (value->name);
  *value = (CmkValue) { 0 };
}

CmkValue *
cmk_value_append (CmkValue *value, const char *name)
{
  /* Room grows in powers of two, so that it need not be remembered. */
  if ((value->n_items & (value->n_items - 1)) == 0)
    value->items = cmk_reallocate (value->items, (value->n_items > 0 ? 2 * value->n_items : 1) * sizeof *value);

  value->items[value->n_items] = (CmkValue) { .name = name != NULL ? cmk_duplicate (name) : NULL };
  return &value->items[value->n_items++];
}

void
cmk_value_append_text (CmkValue *value, const char *name, const char *text)
{
  CmkValue *item = cmk_value_append (value, name);

  item->kind = CMK_VALUE_STRING;
  item->string = cmk_duplicate (text);
}

void
cmk_value_append_printf (CmkValue *list, const char *format, ...)
{
  _cleanup_ (cmk_freep) char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  cmk_require_memory (vasprintf (&text, format, arguments) >= 0);
  va_end (arguments);
  cmk_value_append_text (list, NULL, text);
}

static CmkValue *
find (const CmkValue *map, const char *name)
{
  for (size_t i = 0; i < map->n_items; i++)
    if (strcmp (map->items[i].name, name) == 0)
      return &map->items[i];
  return NULL;
}

void
cmk_value_merge (CmkValue *to, CmkValue *from)
{
  for (size_t i = 0; i < from->n_items; i++)
    if (to->kind == CMK_VALUE_MAP && find (to, from->items[i].name) != NULL)
      cmk_value_clear (&from->items[i]);
    else
      *cmk_value_append (to, NULL) = from->items[i];
  from->n_items = 0;
}

void
cmk_value_remove (CmkValue *map, const char *name)
{
  CmkValue *item = find (map, name);

  if (item == NULL)
    return;
  cmk_value_clear (item);
  *item = map->items[map->n_items - 1];
  map->n_items--;
}

CmkValue *
cmk_value_get (const CmkValue *map, const char *name, CmkValueKind kind)
{
  CmkValue *item = map->kind == CMK_VALUE_MAP ? find (map, name) : NULL;

  return item != NULL && item->kind == kind ? item : NULL;
}

const char *
cmk_value_get_string (const CmkValue *map, const char *name)
{
  const CmkValue *item = cmk_value_get (map, name, CMK_VALUE_STRING);

  return item != NULL ? item->string : NULL;
}

int
cmk_value_fail_without (const char *name)
{
  return cmk_fail (CMK_EXIT_REFUSED, "the daemon's answer has no %s: cmkctl and cmkd must be of the same version",
                   name);
}

int
cmk_value_require (const CmkValue *answer, const char *name, const char **ret_text)
{
  const char *text = cmk_value_get_string (answer, name);

  if (text == NULL)
    return cmk_value_fail_without (name);
  *ret_text = text;
  return CMK_EXIT_DONE;
}
