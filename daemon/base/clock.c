/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "cmkd-journal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define SECOND ((gint64) G_USEC_PER_SEC)
#define HOUR   (3600 * SECOND)

/* No cmkd ran before 2025: all that is known of the time at a first start, unless the kernel knows more. */
#define EARLIEST (1735689600 * SECOND)

/* Clocks that differ by less are taken for the same: less than a claim, no reason to warn. */
#define TOLERANCE     (60 * SECOND)
#define CONFIRM_AFTER (12 * HOUR)

/* How far the confirmed time may leap at once without the proven time having to wait: a restart of the machine. */
#define SMALL_LEAP  HOUR
#define PROVE_AFTER (24 * HOUR)

/* How often to ask the kernel whether it has synchronised its clock, while that would make a difference. */
#define LOOK_SECONDS 600

#define NOT_STARTED (G_MININT64 / 2)

/* How far the times are ahead of CLOCK_BOOTTIME, so that they go on by themselves. */
static _Atomic gint64 confirmed_ahead = NOT_STARTED;
static _Atomic gint64 proven_ahead = NOT_STARTED;

static CmkUuid boot_id; /* zeroes: not known */
static gint64 last_look;
static CmkClockClaim confirming;
static CmkClockClaim proving;
static const char *last_state = "ok";

static gint64
read_clock (clockid_t clock)
{
  struct timespec now = { 0 };
  clock_gettime (clock, &now);
  return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

gint64
cmk_clock_confirmed (void)
{
  return (read_clock (CLOCK_BOOTTIME) + confirmed_ahead) / SECOND;
}

gint64
cmk_clock_proven (void)
{
  return (read_clock (CLOCK_BOOTTIME) + proven_ahead) / SECOND;
}

gint64
cmk_clock_now (void)
{
  return MAX (read_clock (CLOCK_REALTIME) / SECOND, cmk_clock_confirmed ());
}

const char *
cmk_clock_state (void)
{
  gint64 ahead = read_clock (CLOCK_REALTIME) - read_clock (CLOCK_BOOTTIME) - confirmed_ahead;
  if (confirmed_ahead == NOT_STARTED || ABS (ahead) <= TOLERANCE)
    return "ok";
  return ahead < 0 ? "behind" : "unconfirmed";
}

/* Unknown is what no mark was made in: then CLOCK_BOOTTIME is not comparable, as after a restart of the machine. */
static CmkUuid
read_boot_id (void)
{
  CmkUuid id = { { 0 } };
  char text[CMK_UUID_TEXT_SIZE] = "";
  int fd = open ("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return id;
  if (read (fd, text, sizeof text - 1) != sizeof text - 1 || !cmk_uuid_parse (text, &id))
    memset (&id, 0, sizeof id);
  close (fd);
  return id;
}

/* Filters of system calls may deny it: that is not to be synchronised. */
static gboolean
is_synchronised (void)
{
  struct timex answer = { .modes = 0 };
  int state = adjtimex (&answer);
  return state >= 0 && state != TIME_ERROR && (answer.status & STA_UNSYNC) == 0;
}

/* Another time is @ahead of ours, as it was for @elapsed. By how much ours is to move on: by as much as it was ahead of
 * us all the time that it takes to be believed, which an hour that was put on top in the meantime was not. */
static gint64
let_stand (CmkClockClaim *claim, gint64 ahead, gint64 elapsed, gint64 tolerance, gint64 needed)
{
  gboolean is_new = claim->ahead == 0 || ahead < claim->ahead - TOLERANCE;
  if (ahead <= tolerance || is_new)
    {
      *claim = (CmkClockClaim) { .ahead = ahead > tolerance ? ahead : 0 };
      return 0;
    }
  claim->stood += elapsed;
  if (claim->stood < needed)
    return 0;
  gint64 believed = MIN (ahead, claim->ahead);
  *claim = (CmkClockClaim) { .ahead = ahead - believed > tolerance ? ahead - believed : 0 };
  return believed;
}

static void
tell_state (void)
{
  const char *state = cmk_clock_state ();
  if (g_str_equal (state, last_state))
    return;
  if (g_str_equal (state, "behind"))
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", CMKD_MESSAGE_CLOCK_BEHIND, "MESSAGE",
                      "the system clock is behind the time that has passed: cmkd goes on by that; put the clock right");
  else if (g_str_equal (state, "unconfirmed"))
    g_log_structured (
        G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", CMKD_MESSAGE_CLOCK_AHEAD, "MESSAGE",
        "the system clock is ahead of the time that has passed, and is not synchronised: what has expired by it is "
        "refused, and erased once the clock is synchronised or has stood for 12 hours");
  else
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", CMKD_MESSAGE_CLOCK_IN_STEP, "MESSAGE",
                      "the system clock is in step with the time that has passed");
  last_state = state;
}

gboolean
cmk_clock_look (void)
{
  gint64 wall = read_clock (CLOCK_REALTIME);
  gint64 boottime = read_clock (CLOCK_BOOTTIME);
  gint64 elapsed = boottime - last_look;
  last_look = boottime;

  gint64 ahead = wall - boottime - confirmed_ahead;
  gboolean is_right = ahead >= SECOND && is_synchronised ();
  gint64 confirmed = is_right ? ahead : let_stand (&confirming, ahead, elapsed, TOLERANCE, CONFIRM_AFTER);
  if (is_right)
    confirming = (CmkClockClaim) { 0 };
  confirmed_ahead += confirmed;

  gint64 lag = confirmed_ahead - proven_ahead;
  gint64 proven = lag <= SMALL_LEAP ? lag : let_stand (&proving, lag, elapsed, SMALL_LEAP, PROVE_AFTER);
  if (lag <= SMALL_LEAP)
    proving = (CmkClockClaim) { 0 };
  proven_ahead += proven;
  tell_state ();
  return confirmed > TOLERANCE || proven > TOLERANCE;
}

void
cmk_clock_start (const CmkClockMark *mark)
{
  static const CmkUuid unknown = { { 0 } };
  gint64 boottime = read_clock (CLOCK_BOOTTIME);
  boot_id = read_boot_id ();
  last_look = boottime;
  if (mark == NULL)
    {
      /* A wall clock that nobody vouches for is a claim at a first start too: believed, it could never be taken
       * back. */
      gint64 known = is_synchronised () ? MAX (read_clock (CLOCK_REALTIME), EARLIEST) : EARLIEST;
      confirmed_ahead = proven_ahead = known - boottime;
      return;
    }
  gboolean is_same_boot =
      cmk_uuid_equal (&boot_id, &mark->boot_id) && !cmk_uuid_equal (&boot_id, &unknown) && boottime >= mark->boottime;
  /* What was before the boot is not known; what has passed since then is. */
  gint64 origin = is_same_boot ? mark->boottime : 0;
  /* A claim that was there when we ended, and still is, has stood meanwhile: who runs only when called would wait for
   * weeks. */
  if (is_same_boot)
    last_look = mark->boottime;
  confirming = mark->confirming;
  proving = mark->proving;
  proven_ahead = mark->proven - origin;
  confirmed_ahead = mark->confirmed - origin;
}

void
cmk_clock_get_mark (CmkClockMark *ret_mark)
{
  gint64 boottime = read_clock (CLOCK_BOOTTIME);
  *ret_mark = (CmkClockMark) {
    .boot_id = boot_id,
    .boottime = boottime,
    .confirmed = boottime + confirmed_ahead,
    .proven = boottime + proven_ahead,
    .confirming = confirming,
    .proving = proving,
  };
}

gint64
cmk_clock_next_look (void)
{
  return confirming.ahead != 0 || proving.ahead != 0 ? LOOK_SECONDS : 0;
}
