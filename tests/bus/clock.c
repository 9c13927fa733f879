/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into cmkd by the tests: its wall clock and its CLOCK_BOOTTIME are what the file $CMKD_CLOCK says, mapped,
 * so that a test moves the clocks of a running daemon; whether the kernel calls the clock synchronised stands there
 * too, and the id of the boot in $CMKD_CLOCK.boot-id. CLOCK_MONOTONIC goes on at its own pace, and with it timers and
 * deadlines, but for the leap that the file says. */
#undef _FILE_OFFSET_BITS /* open() and open64() must stay two */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define SECOND  INT64_C (1000000000)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* In host order. */
typedef struct
{
  int64_t stands;       /* the clocks stand still at these times, and are not those of the machine plus these */
  int64_t realtime;     /* nanoseconds */
  int64_t boottime;     /* nanoseconds */
  int64_t synchronised; /* what adjtimex() says */
  int64_t leap;         /* nanoseconds that CLOCK_MONOTONIC is ahead */
} TestClock;

static const TestClock machine_clock = { 0, 0, 0, 0, 0 };
static const volatile TestClock *test_clock = &machine_clock;
static char boot_id_path[4096] = BOOT_ID;

__attribute__ ((constructor)) static void
map_clock (void)
{
  const char *path = getenv ("CMKD_CLOCK");
  int fd = path != NULL ? open (path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return;

  void *map = mmap (NULL, sizeof *test_clock, PROT_READ, MAP_SHARED, fd, 0);
  close (fd);
  if (map == MAP_FAILED)
    return;
  test_clock = map;
  snprintf (boot_id_path, sizeof boot_id_path, "%s.boot-id", path);
}

int
clock_gettime (clockid_t clock, struct timespec *now)
{
  long result = syscall (SYS_clock_gettime, clock, now);
  int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  int is_monotonic = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE;

  if (result != 0 || (!is_wall && !is_monotonic && clock != CLOCK_BOOTTIME))
    return (int) result;
  int64_t time = is_monotonic ? test_clock->leap : is_wall ? test_clock->realtime : test_clock->boottime;
  if (is_monotonic || !test_clock->stands)
    time += now->tv_sec * SECOND + now->tv_nsec;
  *now = (struct timespec) { .tv_sec = time / SECOND, .tv_nsec = time % SECOND };
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

int
adjtimex (struct timex *answer)
{
  if (answer->modes != 0)
    {
      errno = EPERM;
      return -1;
    }
  *answer = (struct timex) { .status = test_clock->synchronised ? 0 : STA_UNSYNC };
  return test_clock->synchronised ? TIME_OK : TIME_ERROR;
}

/* Another preloaded library may count what is opened. */
static int
open_next (const char *name, const char *path, int flags, va_list arguments)
{
  mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg (arguments, mode_t) : 0;
  int (*next) (const char *, int, ...);
  *(void **) &next = dlsym (RTLD_NEXT, name); /* as POSIX has it, for ISO C has no cast for it */
  return next (strcmp (path, BOOT_ID) == 0 ? boot_id_path : path, flags, mode);
}

int
open (const char *path, int flags, ...)
{
  va_list arguments;

  va_start (arguments, flags);
  int fd = open_next ("open", path, flags, arguments);
  va_end (arguments);
  return fd;
}

int
open64 (const char *path, int flags, ...)
{
  va_list arguments;

  va_start (arguments, flags);
  int fd = open_next ("open64", path, flags, arguments);
  va_end (arguments);
  return fd;
}
