/* SPDX-License-Identifier: Apache-2.0 */
#include "text-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interruption.h"

/* cmkd waits no longer for polkit, either. */
#define READY_MS 10000

/* Where the agent has the pipe that it closes when it is ready; each end of it is a higher one at first. */
#define NOTIFY_FD 3

static _Atomic pid_t agent; /* 0: none */

/* Also inside a signal handler. The agent switches the terminal's echo on again before it ends; stopped, it would
 * not. */
static void
end (void)
{
  pid_t pid = atomic_exchange (&agent, 0);

  if (pid == 0)
    return;
  kill (pid, SIGTERM);
  kill (pid, SIGCONT);
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    continue;
}

/* In the child, with all signals blocked. Nothing that is ours, or that we were handed, goes with it; it opens the
 * terminal by itself, and what it says elsewhere is why there will be no dialog, which cmkd tells as well. */
static _Noreturn void
become_agent (pid_t parent, int ready)
{
  char *const arguments[] = { "/usr/bin/pkttyagent", "--notify-fd", "3", "--fallback", NULL };
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  sigset_t none;

  for (int i = 1; i < NSIG; i++)
    signal (i, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);

  if (prctl (PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid () == parent && dup2 (null, STDIN_FILENO) >= 0 &&
      dup2 (null, STDOUT_FILENO) >= 0 && dup2 (null, STDERR_FILENO) >= 0 && dup2 (ready, NOTIFY_FD) >= 0 &&
      close_range (NOTIFY_FD + 1, ~0U, 0) == 0)
    execv (arguments[0], arguments);
  _exit (EXIT_FAILURE);
}

static void
launch (int ready)
{
  pid_t parent = getpid ();
  sigset_t all, old;

  cmk_interruption_add (end);
  if (atexit (end) != 0)
    return;
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, &old);
  agent = fork ();
  if (agent == 0)
    become_agent (parent, ready);
  if (agent < 0)
    agent = 0;
  sigprocmask (SIG_SETMASK, &old, NULL);
}

void
cmk_text_agent_start (void)
{
  static bool is_tried;
  struct pollfd until_ready = { .events = POLLIN };
  int ends[2];

  if (is_tried || geteuid () == 0 || !isatty (STDIN_FILENO) || pipe2 (ends, O_CLOEXEC) < 0)
    return;
  is_tried = true;
  launch (ends[1]);
  close (ends[1]);
  until_ready.fd = ends[0];
  while (poll (&until_ready, 1, READY_MS) < 0 && errno == EINTR)
    continue;
  close (ends[0]);
}
