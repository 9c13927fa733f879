/* SPDX-License-Identifier: Apache-2.0
 *
 * How long the calls take that FILE lists, in rounds that take turns:
 *
 *     calls ADDRESS ROUNDS CALLS FILE
 *
 * Each line of FILE is a case, its words separated by tabs; the last one has no newline:
 *
 *     NAME INTERFACE METHOD ARGUMENTS          a call of cmkd or of the echo server; ARGUMENTS as GVariant text
 *     NAME libcrypto METHOD ALGORITHM KEY-FILE MESSAGE INPUT
 *                                              what that call cannot do without, see operation.h
 *
 * Prints a line for each case: its name, then microseconds of each call, separated by tabs. */
#include <stdlib.h>

#include "case.h"
#include "echo.h"
#include "operation.h"

typedef struct
{
  Case *cases;
  Operation **operations; /* NULL where a case is a call */
  guint n_cases;
} Plan;

static Call
parse_call (char **words)
{
  g_autoptr (GError) error = NULL;
  GVariant *arguments = g_variant_parse (NULL, words[2], NULL, NULL, &error);
  if (arguments == NULL)
    g_error ("%s: %s", words[1], error->message);
  Call call = kms_method (words[0], words[1], arguments);
  g_variant_unref (arguments);
  if (g_str_equal (words[0], ECHO_NAME))
    {
      call.destination = ECHO_NAME;
      call.path = ECHO_PATH;
    }
  return call;
}

/* @lines, whose words the plan borrows. */
static Plan
make_plan (char ***lines, guint n_lines)
{
  Plan plan = { g_new (Case, n_lines), g_new0 (Operation *, n_lines), n_lines };
  for (guint i = 0; i < n_lines; i++)
    {
      char **words = lines[i];
      gboolean alone = g_str_equal (words[1], "libcrypto");
      g_assert_cmpuint (g_strv_length (words), ==, alone ? 7 : 4);
      plan.cases[i] = case_new (words[0], alone ? (Call) { 0 } : parse_call (words + 1));
      plan.operations[i] = alone ? operation_new (words + 2) : NULL;
    }
  return plan;
}

static void
measure_operation (const Operation *operation, Case *measured, guint times)
{
  for (guint i = 0; i < times; i++)
    {
      double start = now_micros ();
      operation_run (operation);
      case_add (measured, now_micros () - start);
    }
}

static void
run (GDBusConnection *bus, const Plan *plan, guint calls)
{
  for (guint i = 0; i < plan->n_cases; i++)
    if (plan->operations[i] != NULL)
      measure_operation (plan->operations[i], &plan->cases[i], calls);
    else
      case_measure_times (bus, &plan->cases[i], calls);
}

int
main (int argc, char **argv)
{
  if (argc != 5)
    return 2;
  g_autofree char *text = NULL;
  if (!g_file_get_contents (argv[4], &text, NULL, NULL))
    g_error ("cannot read %s", argv[4]);
  g_auto (GStrv) texts = g_strsplit (text, "\n", -1);
  guint n_lines = g_strv_length (texts);
  g_autofree char ***lines = g_new (char **, n_lines);
  for (guint i = 0; i < n_lines; i++)
    lines[i] = g_strsplit (texts[i], "\t", -1);

  g_autoptr (GDBusConnection) bus = kms_connect (argv[1]);
  Plan plan = make_plan (lines, n_lines);
  for (int round = 0; round < atoi (argv[2]); round++)
    run (bus, &plan, (guint) atoi (argv[3]));
  case_print_all (plan.cases, plan.n_cases);
  for (guint i = 0; i < n_lines; i++)
    {
      operation_free (plan.operations[i]);
      g_strfreev (lines[i]);
    }
  g_free (plan.cases);
  g_free (plan.operations);
  return EXIT_SUCCESS;
}
