/* SPDX-License-Identifier: Apache-2.0
 *
 * cmkctl: the command line client of cmkd. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arguments.h"
#include "buffer.h"
#include "exit-code.h"
#include "output.h"

const CmkVerb *const cmk_verb_groups[] = { cmk_key_verbs,
                                           cmk_name_verbs,
                                           cmk_grant_verbs,
                                           cmk_import_verbs,
                                           cmk_attestation_verbs,
                                           cmk_crypto_verbs,
                                           cmk_file_verbs,
                                           cmk_asymmetric_verbs,
                                           cmk_service_verbs,
                                           cmk_recover_verbs,
                                           cmk_log_verbs,
                                           cmk_complete_verbs,
                                           NULL };

/* A file that is opened later must not become one of the standard streams that the caller closed. What is put there
 * goes the wrong way, so that using such a stream fails as it should. */
static void
fill_standard_streams (void)
{
  while (fcntl (STDIN_FILENO, F_GETFD) < 0 || fcntl (STDOUT_FILENO, F_GETFD) < 0 || fcntl (STDERR_FILENO, F_GETFD) < 0)
    if (open ("/dev/null", fcntl (STDIN_FILENO, F_GETFD) < 0 ? O_WRONLY : O_RDONLY) < 0)
      return;
}

static int
run (int argc, char *argv[])
{
  _cleanup_ (cmk_arguments_clear) CmkArguments arguments = { 0 };
  int code = cmk_arguments_parse (argc, argv, &arguments);

  if (code != CMK_EXIT_DONE)
    return code;
  if (cmk_arguments_has (&arguments, "help"))
    cmk_arguments_print_help (&arguments);
  else if (cmk_arguments_has (&arguments, "version"))
    puts ("cmkctl " CMKD_VERSION);
  else
    code = arguments.verb->run (&arguments);

  if (code == CMK_EXIT_DONE)
    code = cmk_output_flush ();
  return code;
}

int
main (int argc, char *argv[])
{
  fill_standard_streams ();

  /* The environment chooses the bus, libraries and locale: that is for the caller's own rights only. */
  if (getauxval (AT_SECURE) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "cmkctl does not run setuid, setgid or with file capabilities");

  /* Key material passes through here: no core dumps, no debugger of the same user. */
  (void) prctl (PR_SET_DUMPABLE, 0);
  /* A zone with leap seconds would have its seconds even in UTC; ours are those of Unix. */
  if (setenv ("TZ", "UTC0", 1) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "no memory left");
  return run (argc, argv);
}
