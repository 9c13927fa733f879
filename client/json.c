/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers as JSON, RFC 8259. People look at it on terminals, so whatever would steer one is escaped as well. */
#include "output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "text.h"

static void
print_string (const char *text)
{
  putchar ('"');
  while (*text != '\0')
    {
      uint32_t character;
      size_t size = cmk_text_decode (text, &character);

      if (*text == '"' || *text == '\\')
        printf ("\\%c", *text);
      else if (character == CMK_TEXT_NO_CHARACTER || cmk_text_is_control (character))
        printf ("\\u%04x", character);
      else
        fwrite (text, 1, size, stdout);
      text += size;
    }
  putchar ('"');
}

static void
print_value (const CmkValue *value)
{
  const char *brackets = value->kind == CMK_VALUE_MAP ? "{}" : "[]";

  switch (value->kind)
    {
    case CMK_VALUE_STRING:
      print_string (value->string);
      return;
    case CMK_VALUE_BOOLEAN:
      printf (value->boolean ? "true" : "false");
      return;
    case CMK_VALUE_SIGNED:
      printf ("%" PRId64, value->integer);
      return;
    case CMK_VALUE_UNSIGNED:
      printf ("%" PRIu64, value->natural);
      return;
    case CMK_VALUE_REAL:
      /* JSON has no infinity and no NaN. */
      if (isfinite (value->real))
        printf ("%.17g", value->real);
      else
        printf ("null");
      return;
    case CMK_VALUE_NONE:
      printf ("null");
      return;
    case CMK_VALUE_LIST:
    case CMK_VALUE_MAP:
      putchar (brackets[0]);
      for (size_t i = 0; i < value->n_items; i++)
        {
          if (i > 0)
            printf (", ");
          if (value->kind == CMK_VALUE_MAP)
            {
              print_string (value->items[i].name);
              printf (": ");
            }
          print_value (&value->items[i]);
        }
      putchar (brackets[1]);
      return;
    }
}

void
cmk_output_print_json (const CmkValue *value)
{
  print_value (value);
  putchar ('\n');
}
