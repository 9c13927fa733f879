/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "interruption.h"

#define SHOW_AFTER_MS   1000
#define MAX_LINE_CHARS  256
#define MAX_PART_CHARS  32
#define BAR_CHARS       20
#define NARROW_TERMINAL 80

static struct
{
  const char *what; /* NULL: nothing is under way */
  CmkProgressUnit unit;
  uint64_t done;
  uint64_t total;
  int64_t begun_at;
  int64_t shown_at;
  volatile bool is_shown;
} progress;

static int64_t
now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  return (int64_t) time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Also inside a signal handler. */
static void
wipe_line (void)
{
  static const char wipe[] = "\r\033[K";

  if (!progress.is_shown)
    return;
  progress.is_shown = false;
  if (write (STDERR_FILENO, wipe, sizeof wipe - 1) < 0)
    return;
}

/* "1.4 GiB" */
static void
format_bytes (uint64_t bytes, char *ret_text)
{
  static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double amount = (double) bytes;
  size_t unit = 0;

  for (; amount >= 1024; unit++)
    amount /= 1024;
  snprintf (ret_text, MAX_PART_CHARS, "%.*f %s", unit > 0, amount, units[unit]);
}

static void
format_amount (uint64_t amount, char *ret_text)
{
  if (progress.unit == CMK_PROGRESS_BYTES)
    format_bytes (amount, ret_text);
  else
    snprintf (ret_text, MAX_PART_CHARS, "%" PRIu64, amount);
}

/* A line that is broken at the edge of the terminal could not be wiped. */
static int
count_columns (void)
{
  struct winsize size;

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
    return NARROW_TERMINAL - 1;
  return size.ws_col - 1;
}

static void
show (void)
{
  char line[MAX_LINE_CHARS], done[MAX_PART_CHARS], total[MAX_PART_CHARS], bar[BAR_CHARS + 1];
  double part = progress.total > 0 ? (double) progress.done / (double) progress.total : 0;
  int columns = count_columns ();

  format_amount (progress.done, done);
  format_amount (progress.total, total);
  for (int i = 0; i < BAR_CHARS; i++)
    bar[i] = i < part * BAR_CHARS ? '#' : '-';
  bar[BAR_CHARS] = '\0';

  if (progress.unit == CMK_PROGRESS_TIME)
    snprintf (line, sizeof line, "cmkctl: %s, %" PRId64 " s", progress.what, (now () - progress.begun_at) / 1000);
  else if (progress.total == 0)
    snprintf (line, sizeof line, "cmkctl: %s, %s", progress.what, done);
  else
    snprintf (line, sizeof line, "cmkctl: %s [%s] %s of %s", progress.what, bar, done, total);

  progress.is_shown = true;
  dprintf (STDERR_FILENO, "\r\033[K%.*s", columns, line);
}

bool
cmk_progress_begin (const char *what, CmkProgressUnit unit, uint64_t total)
{
  if (progress.what != NULL)
    return false;
  progress.what = what;
  progress.unit = unit;
  progress.done = 0;
  progress.total = total;
  progress.begun_at = progress.shown_at = now ();
  return true;
}

void
cmk_progress_wait (void)
{
  int64_t time = now ();

  if (progress.what == NULL || time - progress.begun_at < SHOW_AFTER_MS ||
      (progress.is_shown && time - progress.shown_at < CMK_PROGRESS_INTERVAL_MS) || !isatty (STDERR_FILENO))
    return;
  cmk_interruption_add (wipe_line);
  show ();
  progress.shown_at = time;
}

void
cmk_progress_update (uint64_t done)
{
  progress.done = done;
  cmk_progress_wait ();
}

void
cmk_progress_hide (void)
{
  wipe_line ();
}

void
cmk_progress_end (void)
{
  wipe_line ();
  progress.what = NULL;
}
