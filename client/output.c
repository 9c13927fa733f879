/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base64.h"
#include "exit-code.h"
#include "output-file.h"
#include "progress.h"
#include "text.h"

#define PEM_LINE_CHARS 64

static char **kept_message; /* NULL: messages are printed */

void
cmk_fail_keep (char **message)
{
  kept_message = message;
}

int
cmk_fail (int code, const char *format, ...)
{
  _cleanup_ (cmk_freep) char *text = NULL;
  _cleanup_ (cmk_freep) char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  cmk_require_memory (vasprintf (&text, format, arguments) >= 0);
  va_end (arguments);
  message = cmk_text_clean (text);
  if (kept_message != NULL)
    {
      free (*kept_message);
      *kept_message = message;
      message = NULL;
      return code;
    }
  cmk_progress_hide ();
  fprintf (stderr, "cmkctl: %s\n", message);
  cmk_progress_show ();
  return code;
}

int
cmk_output_fail_to_write (const char *path)
{
  return cmk_fail (CMK_EXIT_REFUSED, "cannot write %s: %s", strcmp (path, "-") == 0 ? "to standard output" : path,
                   strerror (errno));
}

bool
cmk_output_write_all (int fd, const void *data, size_t size)
{
  const char *rest = data;

  while (size > 0)
    {
      ssize_t written = write (fd, rest, size);

      if (written < 0 && errno == EINTR)
        continue;
      if (written < 0)
        return false;
      rest += written;
      size -= (size_t) written;
    }
  return true;
}

static int
write_secret (const char *path, const void *data, size_t size)
{
  _cleanup_ (cmk_output_file_closep) CmkOutputFile *file = NULL;
  int code = cmk_output_file_open (path, true, &file);

  if (code == CMK_EXIT_DONE)
    code = cmk_output_file_write (file, data, size);
  return code == CMK_EXIT_DONE ? cmk_output_file_commit (file) : code;
}

int
cmk_output_write (const char *path, bool is_secret, const void *data, size_t size)
{
  bool is_written;
  int fd;

  if (strcmp (path, "-") == 0)
    return cmk_output_write_all (STDOUT_FILENO, data, size) ? CMK_EXIT_DONE : cmk_output_fail_to_write (path);
  if (is_secret)
    return write_secret (path, data, size);

  fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
  if (fd < 0)
    return cmk_output_fail_to_write (path);
  is_written = cmk_output_write_all (fd, data, size);

  /* Some file systems report only here that there was no room. */
  if (close (fd) < 0)
    is_written = false;
  return is_written ? CMK_EXIT_DONE : cmk_output_fail_to_write (path);
}

int
cmk_output_write_line (const char *path, const char *text)
{
  size_t length = strlen (text);
  _cleanup_ (cmk_buffer_clear) CmkBuffer line = cmk_buffer_new (length + 1);

  memcpy (line.data, text, length);
  line.data[length] = '\n';
  return cmk_output_write (path, false, line.data, length + 1);
}

static int
decode (const char *text, CmkBuffer *ret_data)
{
  *ret_data = cmk_buffer_new (CMK_BASE64_BYTES (strlen (text)));
  if (!cmk_base64_decode (text, strlen (text), ret_data->data, &ret_data->size))
    return cmk_fail (CMK_EXIT_REFUSED,
                     "the daemon's answer is not Base64: cmkctl and cmkd must be of the same version");
  return CMK_EXIT_DONE;
}

static int
write_decoded (const char *path, bool is_secret, const char *text)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = { 0 };
  int code = decode (text, &data);

  return code == CMK_EXIT_DONE ? cmk_output_write (path, is_secret, data.data, data.size) : code;
}

int
cmk_output_write_data (const char *path, const char *text)
{
  return write_decoded (path, false, text);
}

int
cmk_output_write_secret (const char *path, const char *text)
{
  return write_decoded (path, true, text);
}

int
cmk_output_write_pem (const char *path, const char *base64)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = { 0 };
  _cleanup_ (cmk_freep) char *text = NULL;
  size_t size;
  FILE *stream;
  int code = decode (base64, &data);

  if (code != CMK_EXIT_DONE)
    return code;
  stream = open_memstream (&text, &size);
  cmk_require_memory (stream != NULL);
  fputs ("-----BEGIN PUBLIC KEY-----\n", stream);
  for (size_t left = strlen (base64); left > 0;)
    {
      size_t line = left < PEM_LINE_CHARS ? left : PEM_LINE_CHARS;

      fprintf (stream, "%.*s\n", (int) line, base64);
      base64 += line;
      left -= line;
    }
  fputs ("-----END PUBLIC KEY-----\n", stream);
  cmk_require_memory (fclose (stream) == 0);
  return cmk_output_write (path, false, text, size);
}

char *
cmk_output_format_time (int64_t time)
{
  time_t seconds = (time_t) time;
  struct tm parts;
  char text[64];

  if (time == 0)
    return cmk_duplicate ("never");
  if (gmtime_r (&seconds, &parts) == NULL)
    return cmk_duplicate ("unknown");
  strftime (text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return cmk_duplicate (text);
}

int
cmk_output_flush (void)
{
  return fflush (stdout) == 0 && !ferror (stdout) ? CMK_EXIT_DONE : cmk_output_fail_to_write ("-");
}

void
cmk_output_print_answer (const CmkValue *answer, bool is_json)
{
  if (is_json)
    cmk_output_print_json (answer);
  else
    cmk_output_print_fields (answer);
}
