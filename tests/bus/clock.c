/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into cmkd by the tests: its wall clock is what the file $CMKD_CLOCK says, mapped, so that a test
 * moves the clock of a running daemon. Monotonic clocks are left alone: timers and deadlines run at their own
 * pace. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* In host order. */
typedef struct
{
  int64_t offset; /* seconds ahead of the machine's clock */
  int64_t fixed;  /* if not 0: it stands still at this Unix second */
} TestClock;

static const TestClock machine_clock = { 0, 0 };
static const volatile TestClock *test_clock = &machine_clock;

__attribute__ ((constructor)) static void
map_clock (void)
{
  const char *path = getenv ("CMKD_CLOCK");
  int fd = path != NULL ? open (path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return;

  void *map = mmap (NULL, sizeof *test_clock, PROT_READ, MAP_SHARED, fd, 0);
  close (fd);
  if (map != MAP_FAILED)
    test_clock = map;
}

int
clock_gettime (clockid_t clock, struct timespec *now)
{
  long result = syscall (SYS_clock_gettime, clock, now);

  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
    return (int) result;
  if (test_clock->fixed != 0)
    *now = (struct timespec) { .tv_sec = test_clock->fixed };
  else
    now->tv_sec += test_clock->offset;
  return 0;
}

int
gettimeofday (struct timeval *restrict now, void *restrict zone)
{
  struct timespec precise;

  (void) zone;
  if (clock_gettime (CLOCK_REALTIME, &precise) != 0)
    return -1;
  *now = (struct timeval) { .tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000 };
  return 0;
}

time_t
time (time_t *ret_now)
{
  struct timespec now = { 0 };

  clock_gettime (CLOCK_REALTIME, &now);
  if (ret_now != NULL)
    *ret_now = now.tv_sec;
  return now.tv_sec;
}
