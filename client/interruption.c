/* SPDX-License-Identifier: Apache-2.0 */
#include "interruption.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>

#define MAX_CLEAN_UPS 4

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static void (*volatile clean_ups[MAX_CLEAN_UPS]) (void);

/* The signal is blocked until this returns, and then ends the program as it should have: the caller sees by what. */
static void
on_signal (int signal_number)
{
  for (size_t i = 0; i < MAX_CLEAN_UPS; i++)
    if (clean_ups[i] != NULL)
      clean_ups[i]();
  signal (signal_number, SIG_DFL);
  raise (signal_number);
}

/* Who started us with a signal ignored, as nohup does, wants it so. */
static void
listen (void)
{
  struct sigaction action = { .sa_handler = on_signal };
  struct sigaction old;

  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    sigaddset (&action.sa_mask, signals[i]);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
      sigaction (signals[i], &action, NULL);
}

void
cmk_interruption_add (void (*clean_up) (void))
{
  size_t i = 0;

  while (i < MAX_CLEAN_UPS && clean_ups[i] != NULL && clean_ups[i] != clean_up)
    i++;
  assert (i < MAX_CLEAN_UPS);
  clean_ups[i] = clean_up;
  listen ();
}
