/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers as tables for people: columns aligned, on a terminal coloured and cut to its width. */
#include "output.h"

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "text.h"

#define COLUMN_GAP 2

typedef struct
{
  bool has_colour;
  int width; /* of the terminal, 0 if there is none */
} Screen;

static Screen
look_at_screen (void)
{
  const char *no_colour = getenv ("NO_COLOR");
  const char *terminal = getenv ("TERM");
  struct winsize size = { 0 };
  Screen screen = { 0 };

  if (!isatty (STDOUT_FILENO))
    return screen;

  screen.has_colour = (no_colour == NULL || *no_colour == '\0') && terminal != NULL && strcmp (terminal, "dumb") != 0;
  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    screen.width = size.ws_col;
  return screen;
}

/* The colour of a state that a reader looks for, "" for any other text. */
static const char *
find_colour (const char *text)
{
  static const struct
  {
    const char *text;
    const char *colour;
  } colours[] = {
    { "Enabled", "\033[32m" },
    { "ok", "\033[32m" },
    { "PendingImport", "\033[33m" },
    { "Disabled", "\033[33m" },
    { "absent", "\033[31m" },
    { "changed", "\033[31m" },
    { "PendingDeletion", "\033[31m" },
    { "failed", "\033[31m" },
    { "lockout", "\033[31m" },
    { "tpm-changed", "\033[31m" },
    { "rolled-back", "\033[31m" },
    { "locked", "\033[31m" },
    { "none", "\033[33m" },
    { "unavailable", "\033[33m" },
  };

  for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
    if (strcmp (colours[i].text, text) == 0)
      return colours[i].colour;
  return "";
}

static bool
is_time (const CmkValue *value)
{
  size_t length = value->name != NULL ? strlen (value->name) : 0;

  return value->kind == CMK_VALUE_SIGNED && length >= 4 &&
         (strcmp (value->name + length - 4, "Time") == 0 || strcmp (value->name + length - 4, "Date") == 0);
}

static void print_plain (FILE *stream, const CmkValue *value);

static void
print_items (FILE *stream, const CmkValue *value)
{
  for (size_t i = 0; i < value->n_items; i++)
    {
      if (i > 0)
        fputs (", ", stream);
      if (value->kind == CMK_VALUE_MAP)
        fprintf (stream, "%s=", value->items[i].name);
      print_plain (stream, &value->items[i]);
    }
}

static void
print_plain (FILE *stream, const CmkValue *value)
{
  _cleanup_ (cmk_freep) char *time = NULL;

  switch (value->kind)
    {
    case CMK_VALUE_STRING:
      fputs (value->string, stream);
      return;
    case CMK_VALUE_BOOLEAN:
      fputs (value->boolean ? "yes" : "no", stream);
      return;
    case CMK_VALUE_SIGNED:
      if (is_time (value))
        {
          time = cmk_output_format_time (value->integer);
          fputs (time, stream);
        }
      else
        fprintf (stream, "%" PRId64, value->integer);
      return;
    case CMK_VALUE_UNSIGNED:
      fprintf (stream, "%" PRIu64, value->natural);
      return;
    case CMK_VALUE_REAL:
      fprintf (stream, "%g", value->real);
      return;
    case CMK_VALUE_LIST:
    case CMK_VALUE_MAP:
      print_items (stream, value);
      return;
    case CMK_VALUE_NONE:
      return;
    }
}

/* @value, which may be missing, as an owned text. */
static char *
to_text (const CmkValue *value)
{
  char *text = NULL;
  size_t size;
  FILE *stream = open_memstream (&text, &size);

  cmk_require_memory (stream != NULL);
  if (value != NULL)
    print_plain (stream, value);
  cmk_require_memory (fclose (stream) == 0);
  return text;
}

/* Bytes and columns of the character at @text. What would steer the terminal, or is no character, has width -1. */
static size_t
measure (const char *text, int *ret_width)
{
  uint32_t character;
  size_t length = cmk_text_decode (text, &character);

  if (character == CMK_TEXT_NO_CHARACTER || cmk_text_is_control (character))
    *ret_width = -1;
  else if (character < 0x80)
    *ret_width = 1;
  else
    {
      /* Loading a locale costs as much as a tenth of a call: only for those who need it. */
      (void) setlocale (LC_CTYPE, "C.UTF-8");
      *ret_width = wcwidth ((wchar_t) character);
    }
  return length;
}

static int
count_columns (const char *text)
{
  int columns = 0;
  int width;

  for (; *text != '\0'; columns += width < 0 ? 1 : width)
    text += measure (text, &width);
  return columns;
}

/* Print @text, filled up to @columns; 0 = as it is. With @limit > 0 only so many columns of it. */
static void
print_cell (const Screen *screen, const char *text, const char *colour, int columns, int limit)
{
  bool is_coloured = screen->has_colour && *colour != '\0';
  int used = 0;

  if (is_coloured)
    fputs (colour, stdout);
  while (*text != '\0')
    {
      int width;
      size_t length = measure (text, &width);
      bool is_last = text[length] == '\0';

      if (limit > 0 && used + (width < 0 ? 1 : width) > (is_last ? limit : limit - 1))
        {
          fputs ("…", stdout);
          break;
        }
      if (width < 0)
        putchar ('?');
      else
        fwrite (text, 1, length, stdout);
      used += width < 0 ? 1 : width;
      text += length;
    }
  if (is_coloured)
    fputs ("\033[0m", stdout);
  if (columns > used)
    printf ("%*s", columns - used, "");
}

static const CmkValue *
find_field (const CmkValue *map, const char *name)
{
  for (size_t i = 0; i < map->n_items; i++)
    if (strcmp (map->items[i].name, name) == 0)
      return &map->items[i];
  return NULL;
}

/* As to_text(), of the field @name of @map: no material is none that never expires. */
static char *
field_to_text (const CmkValue *map, const char *name)
{
  const CmkValue *field = find_field (map, name);
  const char *state = cmk_value_get_string (map, "KeyState");

  if (field != NULL && is_time (field) && field->integer == 0 && strcmp (name, "MaterialExpireTime") == 0 &&
      state != NULL && strcmp (state, "PendingImport") == 0)
    return cmk_duplicate ("-");
  return to_text (field);
}

static bool
is_in (const char *const *names, size_t n_names, const char *name)
{
  for (size_t i = 0; i < n_names; i++)
    if (strcmp (names[i], name) == 0)
      return true;
  return false;
}

static void
print_field (const Screen *screen, const CmkValue *map, const char *name, int columns)
{
  _cleanup_ (cmk_freep) char *text = field_to_text (map, name);

  print_cell (screen, name, "\033[1m", columns + COLUMN_GAP, 0);
  print_cell (screen, text, find_colour (text), 0, 0);
  putchar ('\n');
}

void
cmk_output_print_fields (const CmkValue *map)
{
  /* What a reader looks for first; the fields of an answer have no order. */
  static const char *const first[] = {
    "KeyId",       "KeyState",        "MaterialExpireTime", "KeySpec",
    "KeyUsage",    "Origin",          "ProtectionLevel",    "Description",
    "Creator",     "CreationDate",    "DeleteDate",         "Aliases",
    "Tags",        "Version",         "StateStatus",        "TpmState",
    "TpmAdvice",   "TpmManufacturer", "TpmFirmware",        "RootKey",
    "RootKeyName", "StateBytes",      "AnchorState",        "AnchorAdvice",
    "AnchorSteps", "ClockState",      "KeyringStatus",      "KeyringQuota",
  };
  static const size_t n_first = sizeof first / sizeof *first;
  Screen screen = look_at_screen ();
  int columns = 0;

  for (size_t i = 0; i < map->n_items; i++)
    if (count_columns (map->items[i].name) > columns)
      columns = count_columns (map->items[i].name);

  for (size_t i = 0; i < n_first; i++)
    if (find_field (map, first[i]) != NULL)
      print_field (&screen, map, first[i], columns);
  for (size_t i = 0; i < map->n_items; i++)
    if (strcmp (map->items[i].name, "RequestId") != 0 && !is_in (first, n_first, map->items[i].name))
      print_field (&screen, map, map->items[i].name, columns);
}

void
cmk_output_print_text (const char *text)
{
  print_cell (&(const Screen) { 0 }, text, "", 0, 0);
  putchar ('\n');
}

void
cmk_output_print_line (const CmkValue *map)
{
  Screen screen = look_at_screen ();

  for (size_t i = 0; i < map->n_items; i++)
    {
      _cleanup_ (cmk_freep) char *text = to_text (&map->items[i]);

      print_cell (&screen, text, find_colour (text), 0, 0);
      putchar (i + 1 < map->n_items ? ' ' : '\n');
    }
}

void
cmk_output_print_table (const CmkValue *maps, const char *const *names, size_t n_names)
{
  Screen screen = look_at_screen ();
  size_t n_cells = maps->n_items * n_names;
  char **cells = cmk_allocate (n_cells * sizeof *cells);
  int *columns = cmk_allocate (n_names * sizeof *columns);
  int last = screen.width;

  for (size_t i = 0; i < n_names; i++)
    columns[i] = count_columns (names[i]);
  for (size_t i = 0; i < n_cells; i++)
    {
      int width;

      cells[i] = field_to_text (&maps->items[i / n_names], names[i % n_names]);
      width = count_columns (cells[i]);
      if (width > columns[i % n_names])
        columns[i % n_names] = width;
    }

  for (size_t i = 0; i + 1 < n_names; i++)
    last -= columns[i] + COLUMN_GAP;
  if (screen.width > 0 && last < 1)
    last = 1;

  for (size_t i = 0; i < n_names + n_cells; i++)
    {
      const char *text = i < n_names ? names[i] : cells[i - n_names];
      bool is_last = (i + 1) % n_names == 0;

      print_cell (&screen, text, i < n_names ? "\033[1m" : find_colour (text),
                  is_last ? 0 : columns[i % n_names] + COLUMN_GAP, is_last ? last : 0);
      if (is_last)
        putchar ('\n');
    }

  for (size_t i = 0; i < n_cells; i++)
    free (cells[i]);
  free (cells);
  free (columns);
}
