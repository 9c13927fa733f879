/* SPDX-License-Identifier: Apache-2.0 */
#include "case.h"

#include <stdio.h>
#include <time.h>

Case
case_new (const char *name, Call call)
{
  return (Case) { .name = name, .call = call, .micros = g_array_new (FALSE, FALSE, sizeof (double)) };
}

double
now_micros (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

void
case_add (Case *measured, double micros)
{
  g_array_append_val (measured->micros, micros);
}

GVariant *
case_measure (GDBusConnection *bus, Case *measured)
{
  double start = now_micros ();
  GVariant *answer = kms_call (bus, &measured->call);
  case_add (measured, now_micros () - start);
  return answer;
}

void
case_measure_times (GDBusConnection *bus, Case *measured, guint times)
{
  for (guint i = 0; i < times; i++)
    g_variant_unref (case_measure (bus, measured));
}

void
case_print_all (Case *cases, gsize n_cases)
{
  for (gsize i = 0; i < n_cases; i++)
    {
      printf ("%s", cases[i].name);
      for (guint j = 0; j < cases[i].micros->len; j++)
        printf ("\t%.1f", g_array_index (cases[i].micros, double, j));
      printf ("\n");
      g_array_unref (cases[i].micros);
      call_clear (&cases[i].call);
    }
}
