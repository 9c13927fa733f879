/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "exit-code.h"

/* No field of ours is longer; those of others are not asked for. */
#define MAX_FIELD_BYTES (1u << 20)

void
cmk_journal_query_add (CmkJournalQuery *query, const char *format, ...)
{
  va_list arguments;

  query->texts = cmk_reallocate (query->texts, (query->n_texts + 1) * sizeof *query->texts);
  va_start (arguments, format);
  cmk_require_memory (vasprintf (&query->texts[query->n_texts], format, arguments) >= 0);
  va_end (arguments);
  query->n_texts++;
}

void
cmk_journal_query_clear (CmkJournalQuery *query)
{
  for (size_t i = 0; i < query->n_texts; i++)
    free (query->texts[i]);
  free (query->texts);
  *query = (CmkJournalQuery) { 0 };
}

int
cmk_journal_require_readable (void)
{
  bool is_readable = false;
  bool is_there;
  glob_t files = { 0 };

  (void) glob ("/var/log/journal/*/system.journal", 0, NULL, &files);
  (void) glob ("/run/log/journal/*/system.journal", GLOB_APPEND, NULL, &files);
  is_there = files.gl_pathc > 0;
  for (size_t i = 0; i < files.gl_pathc; i++)
    is_readable |= access (files.gl_pathv[i], R_OK) == 0;
  globfree (&files);

  if (!is_there)
    return cmk_fail (
        CMK_EXIT_NOT_THERE,
        "there is no journal that you can see on this machine: cmkd's entries are where its standard error goes");
  if (!is_readable)
    return cmk_fail (CMK_EXIT_DENIED,
                     "the journal shows the entries of cmkd to root and to members of the group systemd-journal only: "
                     "ask an administrator, or become one");
  return CMK_EXIT_DONE;
}

/* --- journalctl --- */

/* In the child. What the caller's environment says of pagers, colours and libraries is not for a program that others'
 * entries go through; the times of cmkctl are in UTC. */
static void
execute (const CmkJournalQuery *query, int output)
{
  static const char *const paths[] = { "/usr/bin/journalctl", "/bin/journalctl" };
  char *const environment[] = { "LC_ALL=C.UTF-8", "TZ=UTC0", NULL };
  char *const first[] = { "journalctl", "--output=export", "--no-pager", "--quiet" };
  size_t n_first = sizeof first / sizeof *first;
  char **arguments = cmk_allocate ((n_first + query->n_texts + 1) * sizeof *arguments);

  memcpy (arguments, first, sizeof first);
  memcpy (arguments + n_first, query->texts, query->n_texts * sizeof *arguments);
  arguments[n_first + query->n_texts] = NULL;

  /* So that one which waits for entries ends with us. */
  if (prctl (PR_SET_PDEATHSIG, SIGTERM) != 0 || dup2 (output, STDOUT_FILENO) < 0 ||
      (query->is_silent && dup2 (output, STDERR_FILENO) < 0))
    _exit (CMK_EXIT_REFUSED);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    execve (paths[i], arguments, environment);
  _exit (cmk_fail (CMK_EXIT_NOT_THERE, "cannot run journalctl, which reads the journal: %s", strerror (errno)));
}

static int
start (const CmkJournalQuery *query, pid_t *ret_child, FILE **ret_output)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) != 0)
    return cmk_fail (CMK_EXIT_REFUSED, "cannot run journalctl: %s", strerror (errno));
  *ret_child = fork ();
  if (*ret_child == 0)
    execute (query, ends[1]);
  close (ends[1]);
  if (*ret_child > 0)
    {
      *ret_output = fdopen (ends[0], "r");
      cmk_require_memory (*ret_output != NULL);
      return CMK_EXIT_DONE;
    }
  close (ends[0]);
  return cmk_fail (CMK_EXIT_REFUSED, "cannot run journalctl: %s", strerror (errno));
}

/* @code: what has ended the reading. The child says itself what went wrong with it. */
static int
finish (pid_t child, int code)
{
  int status;

  if (code != CMK_EXIT_DONE)
    (void) kill (child, SIGTERM);
  while (waitpid (child, &status, 0) < 0)
    if (errno != EINTR)
      return cmk_fail (CMK_EXIT_REFUSED, "cannot wait for journalctl: %s", strerror (errno));
  if (code != CMK_EXIT_DONE)
    return code;
  if (WIFEXITED (status))
    return WEXITSTATUS (status) == CMK_EXIT_NOT_THERE ? CMK_EXIT_NOT_THERE
                                                      : (WEXITSTATUS (status) != 0 ? CMK_EXIT_REFUSED : CMK_EXIT_DONE);
  return cmk_fail (CMK_EXIT_REFUSED, "journalctl was ended by signal %d", WTERMSIG (status));
}

/* --- the form "export": fields NAME=VALUE, one a line; NAME alone before a value that may hold anything, its length in
 * front, 64 bits, little-endian; an empty line after each entry --- */

/* The value that follows a line without '='. What is in it is no text, so it is passed over. */
static bool
pass_over_binary (FILE *input)
{
  uint64_t size;
  uint64_t left;

  if (fread (&size, sizeof size, 1, input) != 1)
    return false;
  left = le64toh (size);
  if (left > MAX_FIELD_BYTES)
    return false;
  for (; left > 0; left--)
    if (getc (input) == EOF)
      return false;
  return getc (input) == '\n';
}

static int
fail_to_parse (void)
{
  return cmk_fail (CMK_EXIT_REFUSED, "journalctl has given out what is not its export format");
}

/* Take the line @line, of @length bytes, into @entry. */
static int
take_line (char *line, size_t length, FILE *input, CmkValue *entry)
{
  char *equals;

  if (memchr (line, '\0', length) != NULL || line[length - 1] != '\n')
    return fail_to_parse ();
  line[length - 1] = '\0';
  equals = strchr (line, '=');
  if (equals == NULL)
    return pass_over_binary (input) ? CMK_EXIT_DONE : fail_to_parse ();
  *equals = '\0';
  cmk_value_append_text (entry, line, equals + 1);
  return CMK_EXIT_DONE;
}

static int
read_entries (FILE *input, int (*on_entry) (const CmkValue *entry, void *data), void *data)
{
  _cleanup_ (cmk_freep) char *line = NULL;
  _cleanup_ (cmk_value_clear) CmkValue entry = { .kind = CMK_VALUE_MAP };
  size_t size = 0;
  int code = CMK_EXIT_DONE;

  for (ssize_t length; code == CMK_EXIT_DONE && (length = getline (&line, &size, input)) > 0;)
    if (length > 1 || *line != '\n')
      code = take_line (line, (size_t) length, input, &entry);
    else if (entry.n_items > 0)
      {
        code = on_entry (&entry, data);
        cmk_value_clear (&entry);
        entry.kind = CMK_VALUE_MAP;
      }
  return code;
}

int
cmk_journal_read (const CmkJournalQuery *query, int (*on_entry) (const CmkValue *entry, void *data), void *data)
{
  pid_t child = -1;
  FILE *output = NULL;
  int code = start (query, &child, &output);

  if (code != CMK_EXIT_DONE)
    return code;
  code = read_entries (output, on_entry, data);
  fclose (output);
  return finish (child, code);
}

bool
cmk_journal_knows_time (const char *text)
{
  _cleanup_ (cmk_journal_query_clear) CmkJournalQuery query = { .is_silent = true };
  char said[256];
  size_t length;
  pid_t child = -1;
  FILE *output = NULL;

  cmk_journal_query_add (&query, "--since=%s", text);
  cmk_journal_query_add (&query, "--lines=0");
  if (start (&query, &child, &output) != CMK_EXIT_DONE)
    return true; /* as the query itself will say */
  length = fread (said, 1, sizeof said - 1, output);
  said[length] = '\0';
  fclose (output);
  finish (child, CMK_EXIT_DONE);
  return strstr (said, "Failed to parse timestamp") == NULL;
}
