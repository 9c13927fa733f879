/* SPDX-License-Identifier: Apache-2.0
 *
 * libcrypto can ask as well, but keeps an interruption to itself: to the run it was a wrong passphrase of this file,
 * and the next one was asked for. */
#include "passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "buffer.h"
#include "interruption.h"
#include "progress.h"
#include "text.h"

/* While nothing that is typed is shown; -1 otherwise. */
static volatile int terminal = -1;
static struct termios shown;

static void
show_again (void)
{
  if (terminal >= 0)
    tcsetattr (terminal, TCSAFLUSH, &shown);
}

static void
closep (const int *fd)
{
  if (*fd >= 0)
    close (*fd);
}

/* A line without its end, or -1; of a longer one than fits nothing is of use. */
static int
read_line (int fd, char *line, int size)
{
  ssize_t taken;

  do
    taken = read (fd, line, (size_t) size);
  while (taken < 0 && errno == EINTR);
  return taken > 0 && line[taken - 1] == '\n' ? (int) taken - 1 : -1;
}

int
cmk_passphrase_ask (char *passphrase, int size, int is_new, void *file)
{
  _cleanup_ (closep) int fd = open ("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  _cleanup_ (cmk_freep) char *name = NULL;
  struct termios hidden;
  int length;

  (void) is_new;
  if (fd < 0 || tcgetattr (fd, &shown) < 0)
    return -1;
  name = cmk_text_clean (strcmp (file, "-") == 0 ? "standard input" : file);
  hidden = shown;
  hidden.c_lflag &= ~(tcflag_t) (ECHO | ECHOE | ECHOK | ECHONL);
  cmk_interruption_add (show_again);

  cmk_progress_hide ();
  terminal = fd;
  tcsetattr (fd, TCSAFLUSH, &hidden);
  dprintf (fd, "passphrase of %s: ", name);
  length = read_line (fd, passphrase, size);
  show_again ();
  terminal = -1;
  dprintf (fd, "\n");
  cmk_progress_show ();
  return length;
}
