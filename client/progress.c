/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "interruption.h"

#define SHOW_AFTER_MS   1000
#define SHOW_EVERY_MS   250
#define MAX_LINE_CHARS  256
#define MAX_PART_CHARS  32
#define BAR_CHARS       20
#define NARROW_TERMINAL 80
#define MOST_MOMENTS    1000

static struct
{
  const char *what; /* NULL: nothing is under way */
  CmkProgressUnit unit;
  uint64_t total;
  _Atomic uint64_t done;
  int64_t begun_at;
  pthread_t thread;
  bool has_thread;
  bool is_ending;
  atomic_bool is_shown;
  atomic_bool is_drawing;
  atomic_bool is_interrupted; /* nothing is drawn any more */
} progress;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_ending;

static struct timespec
time_after (int64_t ms)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  time.tv_sec += ms / 1000;
  time.tv_nsec += ms % 1000 * 1000000;
  if (time.tv_nsec >= 1000000000)
    {
      time.tv_sec++;
      time.tv_nsec -= 1000000000;
    }
  return time;
}

/* Somebody asks for a secret there, such as polkit's agent for a password: the line is his. Also inside a signal
 * handler. */
static bool
is_secret_asked (void)
{
  struct termios settings;

  return tcgetattr (STDERR_FILENO, &settings) == 0 && (settings.c_lflag & ECHO) == 0;
}

static void
wipe_line (void)
{
  static const char wipe[] = "\r\033[K";

  if (atomic_exchange (&progress.is_shown, false) && !is_secret_asked () &&
      write (STDERR_FILENO, wipe, sizeof wipe - 1) < 0)
    return;
}

/* Inside a signal handler, in the thread that does the work: the other one must not draw when the line was wiped. It
 * draws for a moment only, unless the terminal takes nothing. */
static void
on_interruption (void)
{
  static const struct timespec moment = { .tv_nsec = 1000000 };

  progress.is_interrupted = true;
  for (int i = 0; progress.is_drawing && i < MOST_MOMENTS; i++)
    nanosleep (&moment, NULL);
  wipe_line ();
}

/* "12", or "1.4 GiB" */
static void
format_amount (uint64_t amount, char *ret_text)
{
  static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double scaled = (double) amount;
  size_t unit = 0;

  for (; scaled >= 1024; unit++)
    scaled /= 1024;
  if (progress.unit == CMK_PROGRESS_BYTES)
    snprintf (ret_text, MAX_PART_CHARS, "%.*f %s", unit > 0, scaled, units[unit]);
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
  uint64_t amount = progress.done;
  double part = progress.total > 0 ? (double) amount / (double) progress.total : 0;

  format_amount (amount, done);
  format_amount (progress.total, total);
  for (int i = 0; i < BAR_CHARS; i++)
    bar[i] = i < part * BAR_CHARS ? '#' : '-';
  bar[BAR_CHARS] = '\0';

  if (progress.unit == CMK_PROGRESS_TIME)
    snprintf (line, sizeof line, "%s, %" PRId64 " s", progress.what,
              (int64_t) time_after (0).tv_sec - progress.begun_at);
  else if (progress.total == 0)
    snprintf (line, sizeof line, "%s, %s", progress.what, done);
  else
    snprintf (line, sizeof line, "%s [%s] %s of %s", progress.what, bar, done, total);

  progress.is_shown = true;
  dprintf (STDERR_FILENO, "\r\033[Kcmkctl: %.*s", count_columns () - 8, line);
}

/* False: leave it for good. Whoever asks for a secret while we only wait for an answer says next whether it was
 * right. */
static bool
draw (void)
{
  bool is_asked = is_secret_asked ();

  if (is_asked)
    progress.is_shown = false;
  progress.is_drawing = true;
  if (!is_asked && !progress.is_interrupted)
    show ();
  progress.is_drawing = false;
  return !is_asked || progress.unit != CMK_PROGRESS_TIME;
}

static void *
run (void *unused)
{
  struct timespec next = time_after (SHOW_AFTER_MS);
  bool is_wanted = true;

  pthread_mutex_lock (&mutex);
  while (is_wanted && !progress.is_ending)
    if (pthread_cond_timedwait (&is_ending, &mutex, &next) != 0)
      {
        is_wanted = draw ();
        next = time_after (SHOW_EVERY_MS);
      }
  pthread_mutex_unlock (&mutex);
  return unused;
}

/* Signals are for the thread that does the work. Without a thread nothing is shown. */
static void
start_thread (void)
{
  pthread_condattr_t attributes;
  sigset_t all, old;

  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (&is_ending, &attributes);
  pthread_condattr_destroy (&attributes);

  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, &old);
  progress.has_thread = pthread_create (&progress.thread, NULL, run, NULL) == 0;
  pthread_sigmask (SIG_SETMASK, &old, NULL);
}

bool
cmk_progress_begin (const char *what, CmkProgressUnit unit, uint64_t total)
{
  const char *terminal = getenv ("TERM");

  if (progress.what != NULL)
    return false;
  progress.what = what;
  progress.unit = unit;
  progress.total = total;
  progress.done = 0;
  progress.begun_at = time_after (0).tv_sec;
  progress.is_ending = false;
  if (!isatty (STDERR_FILENO) || terminal == NULL || strcmp (terminal, "dumb") == 0)
    return true;
  cmk_interruption_add (on_interruption);
  start_thread ();
  return true;
}

void
cmk_progress_update (uint64_t done)
{
  atomic_store_explicit (&progress.done, done, memory_order_relaxed);
}

void
cmk_progress_hide (void)
{
  pthread_mutex_lock (&mutex);
  wipe_line ();
}

void
cmk_progress_show (void)
{
  pthread_mutex_unlock (&mutex);
}

void
cmk_progress_end (void)
{
  if (progress.has_thread)
    {
      pthread_mutex_lock (&mutex);
      progress.is_ending = true;
      pthread_cond_signal (&is_ending);
      pthread_mutex_unlock (&mutex);
      pthread_join (progress.thread, NULL);
      pthread_cond_destroy (&is_ending);
      progress.has_thread = false;
    }
  wipe_line ();
  progress.what = NULL;
}
