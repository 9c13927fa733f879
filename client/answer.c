/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <string.h>

/* A buffer ends with a NUL byte, which is in no token. */
typedef struct
{
  const char *next;
  const char *end;
} Text;

static void
skip_space (Text *text)
{
  while (*text->next != '\0' && strchr (" \t\r\n", *text->next) != NULL)
    text->next++;
}

static bool
take_char (Text *text, char c)
{
  skip_space (text);
  if (*text->next != c || text->next == text->end)
    return false;
  text->next++;
  return true;
}

/* An owned copy of the string that follows, NULL if none does. */
static char *
take_string (Text *text)
{
  const char *start;
  char *string;
  size_t size;

  if (!take_char (text, '"'))
    return NULL;
  start = text->next;
  while (*text->next >= ' ' && *text->next <= '~' && *text->next != '"' && *text->next != '\\')
    text->next++;
  if (*text->next != '"')
    return NULL;
  size = (size_t) (text->next++ - start);
  string = cmk_allocate (size + 1);
  memcpy (string, start, size);
  string[size] = '\0';
  return string;
}

/* A number, true, false or null. */
static bool
skip_word (Text *text)
{
  size_t size;

  skip_space (text);
  size = strspn (text->next, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
  text->next += size;
  return size > 0;
}

static bool
take_member (Text *text, CmkValue *map)
{
  _cleanup_ (cmk_freep) char *name = take_string (text);
  CmkValue *item;

  if (name == NULL || !take_char (text, ':'))
    return false;
  for (size_t i = 0; i < map->n_items; i++)
    if (strcmp (map->items[i].name, name) == 0)
      return false;
  item = cmk_value_append (map, name);
  skip_space (text);
  if (*text->next != '"')
    return skip_word (text);
  item->string = take_string (text);
  item->kind = item->string != NULL ? CMK_VALUE_STRING : CMK_VALUE_NONE;
  return item->string != NULL;
}

bool
cmk_answer_read (const CmkBuffer *text, CmkValue *ret_map)
{
  Text rest = { (const char *) text->data, (const char *) text->data + text->size };
  CmkValue map = { .kind = CMK_VALUE_MAP };
  bool is_good = take_char (&rest, '{') && take_member (&rest, &map);

  while (is_good && take_char (&rest, ','))
    is_good = take_member (&rest, &map);
  is_good = is_good && take_char (&rest, '}');
  skip_space (&rest);
  if (is_good && rest.next == rest.end)
    {
      *ret_map = map;
      return true;
    }
  cmk_value_clear (&map);
  return false;
}
