/* SPDX-License-Identifier: Apache-2.0
 *
 * One thing that is measured: a call, and how long each time took. Cases take turns, so that what else the machine does
 * falls on all alike. */
#pragma once

#include "kms-client.h"

typedef struct
{
  const char *name;
  Call call;
  GArray *micros;
} Case;

/* Takes @call, which is empty for what is no call of one kind. */
Case case_new (const char *name, Call call);

GVariant *case_measure (GDBusConnection *bus, Case *measured);
void case_measure_times (GDBusConnection *bus, Case *measured, guint times);

/* One time, taken elsewhere. */
void case_add (Case *measured, double micros);

/* A line for each: its name, then all its times, separated by tabs. Frees what they hold. */
void case_print_all (Case *cases, gsize n_cases);

double now_micros (void);
