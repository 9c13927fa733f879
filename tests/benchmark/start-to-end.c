/* SPDX-License-Identifier: Apache-2.0
 *
 * Microseconds from posix_spawn() to the end of programs, in rounds that take turns:
 *
 *     start-to-end ROUNDS NAME PROGRAM ARGUMENT... -- NAME PROGRAM ARGUMENT...
 *
 * Prints a line for each: its name, then the microseconds of each run, separated by tabs. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_PROGRAMS 16
#define MAX_ROUNDS   1000

extern char **environ;

static double
now_micros (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

static double
run (char **words, posix_spawn_file_actions_t *actions)
{
  pid_t pid;
  int status = -1;
  double start = now_micros ();
  if (posix_spawnp (&pid, words[1], actions, NULL, words + 1, environ) != 0 || waitpid (pid, &status, 0) != pid ||
      status != 0)
    {
      fprintf (stderr, "%s: ended with 0x%x\n", words[0], (unsigned) status);
      exit (EXIT_FAILURE);
    }
  return now_micros () - start;
}

int
main (int argc, char **argv)
{
  static double micros[MAX_PROGRAMS][MAX_ROUNDS];
  char **programs[MAX_PROGRAMS] = { argv + 2 };
  int n_programs = 1, rounds = argc > 3 ? atoi (argv[1]) : 0;
  for (int i = 2; i < argc && n_programs < MAX_PROGRAMS; i++)
    if (strcmp (argv[i], "--") == 0)
      {
        argv[i] = NULL;
        programs[n_programs++] = argv + i + 1;
      }
  if (rounds < 1 || rounds > MAX_ROUNDS)
    return 2;

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init (&actions);
  for (int fd = 0; fd < 3; fd++)
    posix_spawn_file_actions_addopen (&actions, fd, "/dev/null", O_RDWR, 0);
  for (int round = 0; round < rounds; round++)
    for (int i = 0; i < n_programs; i++)
      micros[i][round] = run (programs[i], &actions);
  posix_spawn_file_actions_destroy (&actions);

  for (int i = 0; i < n_programs; i++)
    {
      printf ("%s", programs[i][0]);
      for (int round = 0; round < rounds; round++)
        printf ("\t%.1f", micros[i][round]);
      printf ("\n");
    }
  return EXIT_SUCCESS;
}
