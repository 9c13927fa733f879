/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base64.h"
#include "cmkd.h"
#include "exit-code.h"

/* Far above every text that cmkd takes, and far below what would hurt. */
#define MAX_TEXT_BYTES (64 * 1024)

static void
closep (const int *fd)
{
  if (*fd > STDERR_FILENO)
    close (*fd);
}

static int
read_all (int fd, const char *path, const char *what, size_t limit, CmkBuffer *ret_data)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = cmk_buffer_new (limit + 1);

  while (data.size <= limit)
    {
      ssize_t taken = read (fd, data.data + data.size, data.capacity - data.size);

      if (taken < 0 && errno == EINTR)
        continue;
      if (taken < 0)
        return cmk_fail (CMK_EXIT_REFUSED, "cannot read the %s '%s': %s", what, path, strerror (errno));
      if (taken == 0)
        {
          *ret_data = data;
          data = (CmkBuffer) { 0 };
          return CMK_EXIT_DONE;
        }
      data.size += (size_t) taken;
    }
  return cmk_fail (CMK_EXIT_REFUSED, "the %s '%s' has more than the %zu bytes there may be: is it the right file?",
                   what, path, limit);
}

static int
fail_to_open (const char *path, const char *what)
{
  return cmk_fail (CMK_EXIT_REFUSED, "cannot open the %s '%s': %s", what, path, strerror (errno));
}

static const char *
name_source (const char *path)
{
  return strcmp (path, "-") == 0 ? "standard input" : path;
}

int
cmk_input_read (const char *path, const char *what, size_t limit, CmkBuffer *ret_data)
{
  _cleanup_ (closep) int fd = strcmp (path, "-") == 0 ? STDIN_FILENO : open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  int code = fd < 0 ? fail_to_open (path, what) : read_all (fd, name_source (path), what, limit, ret_data);

  if (code == CMK_EXIT_DONE && ret_data->size == 0)
    return cmk_fail (CMK_EXIT_REFUSED, "the %s '%s' is empty", what, name_source (path));
  return code;
}

int
cmk_input_read_file (const char *path, const char *what, size_t limit, CmkBuffer *ret_data)
{
  _cleanup_ (closep) int fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  struct stat status;

  if (fd < 0)
    return fail_to_open (path, what);
  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode))
    return cmk_fail (CMK_EXIT_REFUSED, "the %s '%s' is a directory, a pipe or a device, and no file", what, path);
  return read_all (fd, path, what, limit, ret_data);
}

/* Whether @text, white space dropped, is canonical Base64; then that is what it is afterwards. */
static bool
compact_base64 (CmkBuffer *text)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer compact = cmk_buffer_new (text->size);
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = cmk_buffer_new (text->size);

  for (size_t i = 0; i < text->size; i++)
    if (!isspace (text->data[i]))
      compact.data[compact.size++] = text->data[i];
  if (compact.size == 0 || !cmk_base64_decode ((const char *) compact.data, compact.size, data.data, &data.size))
    return false;

  CmkBuffer swap = *text;
  *text = compact;
  compact = swap;
  return true;
}

int
cmk_input_read_base64 (const char *path, const char *what, CmkBuffer *ret_text)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer text = { 0 };
  int code = cmk_input_read (path, what, MAX_TEXT_BYTES, &text);

  if (code != CMK_EXIT_DONE)
    return code;
  if (!compact_base64 (&text))
    return cmk_fail (CMK_EXIT_REFUSED, "the %s '%s' is not Base64: hand in what cmkctl wrote, unaltered", what,
                     name_source (path));
  *ret_text = text;
  text = (CmkBuffer) { 0 };
  return CMK_EXIT_DONE;
}

int
cmk_input_read_wrapped (const char *path, const char *what, CmkBuffer *ret_text)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = { 0 };
  int code = cmk_input_read (path, what, MAX_TEXT_BYTES, &data);

  if (code != CMK_EXIT_DONE)
    return code;

  /* That hundreds of encrypted bytes are Base64 by chance will not happen. */
  if (compact_base64 (&data))
    {
      *ret_text = data;
      data = (CmkBuffer) { 0 };
    }
  else
    *ret_text = cmk_buffer_encode (&data);
  return CMK_EXIT_DONE;
}

/* Exactly @digits digits at *@text, which moves behind them; -1 if they are not there. */
static int
take_digits (const char **text, int digits)
{
  int number = 0;

  for (; digits > 0; digits--, (*text)++)
    {
      if (!isdigit ((unsigned char) **text))
        return -1;
      number = number * 10 + (**text - '0');
    }
  return number;
}

static bool
take_char (const char **text, const char *allowed)
{
  if (**text == '\0' || strchr (allowed, **text) == NULL)
    return false;
  (*text)++;
  return true;
}

/* The offset from UTC, "Z" or "+01:00", that must be all that is left of *@text. */
static bool
take_offset (const char **text, int64_t *ret_seconds)
{
  int sign = **text == '-' ? -1 : 1;
  int hours, minutes;

  *ret_seconds = 0;
  if (take_char (text, "Zz"))
    return **text == '\0';
  if (!take_char (text, "+-"))
    return false;
  hours = take_digits (text, 2);
  if (hours < 0 || hours > 23 || !take_char (text, ":"))
    return false;
  minutes = take_digits (text, 2);
  *ret_seconds = sign * (hours * 3600 + minutes * 60);
  return minutes >= 0 && minutes <= 59 && **text == '\0';
}

/* RFC 3339 section 5.6, a fraction of a second dropped. */
static bool
parse_rfc3339 (const char *text, int64_t *ret_time)
{
  struct tm given = { 0 };
  struct tm normal;
  int64_t offset;
  bool is_complete;

  given.tm_year = take_digits (&text, 4) - 1900;
  is_complete = take_char (&text, "-");
  given.tm_mon = take_digits (&text, 2) - 1;
  is_complete = is_complete && take_char (&text, "-");
  given.tm_mday = take_digits (&text, 2);
  is_complete = is_complete && take_char (&text, "Tt ");
  given.tm_hour = take_digits (&text, 2);
  is_complete = is_complete && take_char (&text, ":");
  given.tm_min = take_digits (&text, 2);
  is_complete = is_complete && take_char (&text, ":");
  given.tm_sec = take_digits (&text, 2);
  if (!is_complete || given.tm_sec < 0)
    return false;
  if (take_char (&text, "."))
    {
      if (take_digits (&text, 1) < 0)
        return false;
      text += strspn (text, "0123456789");
    }
  if (!take_offset (&text, &offset))
    return false;

  /* timegm() makes 1 March of 30 February; what it changed was no date. */
  normal = given;
  *ret_time = (int64_t) timegm (&normal) - offset;
  return normal.tm_year == given.tm_year && normal.tm_mon == given.tm_mon && normal.tm_mday == given.tm_mday &&
         normal.tm_hour == given.tm_hour && normal.tm_min == given.tm_min && normal.tm_sec == given.tm_sec;
}

/* Digits, at least one, up to the largest time there is; more is that plus one. */
static bool
take_seconds (const char **text, int64_t *ret_number)
{
  int64_t number = 0;

  if (!isdigit ((unsigned char) **text))
    return false;
  for (; isdigit ((unsigned char) **text); (*text)++)
    if (number <= CMKD_LAST_SECOND)
      number = number * 10 + (**text - '0');
  *ret_number = number <= CMKD_LAST_SECOND ? number : CMKD_LAST_SECOND + 1;
  return true;
}

static bool
parse_duration (const char *text, int64_t now, int64_t *ret_time)
{
  static const char units[] = "smhdw";
  static const int64_t seconds[] = { 1, 60, 3600, 86400, 604800 };
  const char *unit;
  int64_t number;

  if (!take_seconds (&text, &number) || *text == '\0' || text[1] != '\0')
    return false;
  unit = strchr (units, *text);
  if (unit == NULL)
    return false;

  *ret_time = now + number * seconds[unit - units];
  return true;
}

int
cmk_input_parse_expiry (const char *text, int64_t now, int64_t *ret_time)
{
  const char *digits = text + 1;
  int64_t time;

  if (strcmp (text, "never") == 0)
    {
      *ret_time = 0;
      return CMK_EXIT_DONE;
    }
  if (!(text[0] == '@' && take_seconds (&digits, &time) && *digits == '\0') && !parse_duration (text, now, &time) &&
      !parse_rfc3339 (text, &time))
    return cmk_fail (CMK_EXIT_USAGE,
                     "--expires takes a time such as 30d, 12h, 2030-01-31T12:00:00Z, @1893456000 or never");

  /* Whether it is late enough is for the daemon to say, by its clock; but 0 would mean never on the wire. */
  if (time <= 0)
    return cmk_fail (CMK_EXIT_USAGE, "--expires must lie in the future");

  *ret_time = time;
  return CMK_EXIT_DONE;
}
