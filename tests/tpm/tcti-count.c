/* SPDX-License-Identifier: Apache-2.0
 *
 * A TCTI for tests that passes everything on to another one, tells which commands went by, and fails when told to:
 *
 *     CMKD_TPM_LOG=FILE cmkd --tcti=/path/to/libtss2-tcti-count.so:swtpm:path=SOCK
 *
 * FILE        gets a line for each command: its name; with the TPM's answer behind it if that is an error
 *             ("ContextLoad:0x1df"), or "io" if there is none.
 * FILE.raw    if it exists when the connection is made, gets every byte of every command and answer.
 * FILE.fault  "NAME FIRST-LAST ACTION", read before each command and emptied when it has struck for the last time.
 *             NAME may be * for any; FIRST and LAST count from the moment the file is written, from 1. ACTION is
 *               0xRC    the TPM does not see the command and seems to answer with that code
 *               io      the TPM does not see the command, the connection fails
 *               drop    the TPM does what it is told, but its answer is lost with the connection
 *               forge   a byte in the middle of the answer is changed on the way
 *               garble  the last byte of an answer in a session (of its HMAC) is changed on the way
 *               hide-HEX  these bytes of the answer, the first time they are in it, are 0xff on the way: a TPM that
 *                       lacks something, as it tells in a list
 *               flip-N  bit N of the answer is changed on the way, counted round and round
 *               cut, huge, random, short  the answer comes without its last byte; with a size that is not its own; as
 *                         bytes at random; or as a success that says nothing
 *               hang    nothing happens until FILE.fault is another one; then all goes on
 *               delay-MS  the answer comes so much later
 *               reset   the software TPM at "swtpm:path=SOCK" is reset and started before it sees the command
 *               kill-before, kill-after  this process dies before the TPM sees the command, or before its answer is
 *                       read
 *
 * FILE.hang   as long as it exists nobody can connect, and whoever tries waits.
 *
 * After drop, garble and what is like them, the one that sent the command can never know the handle in the answer. A
 * resource manager flushes it when the connection goes; this TCTI stands in for it. */
#include "command-name.h"

#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>

#define MAGIC       0x434d4b44434f554eULL
#define HEADER_SIZE 10

typedef enum
{
  PASS,
  ANSWER,
  IO_ERROR,
  DROP,
  FORGE,
  GARBLE,
  HIDE,
  FLIP,
  CUT,
  HUGE_SIZE,
  RANDOM,
  SHORT,
  HANG,
  DELAY,
  RESET,
  KILL_BEFORE,
  KILL_AFTER,
} Action;

/* Those with a dash at the end are followed by something. */
static const char *const action_names[] = {
  [IO_ERROR] = "io",
  [DROP] = "drop",
  [FORGE] = "forge",
  [GARBLE] = "garble",
  [HIDE] = "hide-",
  [FLIP] = "flip-",
  [CUT] = "cut",
  [HUGE_SIZE] = "huge",
  [RANDOM] = "random",
  [SHORT] = "short",
  [HANG] = "hang",
  [DELAY] = "delay-",
  [RESET] = "reset",
  [KILL_BEFORE] = "kill-before",
  [KILL_AFTER] = "kill-after",
};

typedef struct
{
  TSS2_TCTI_CONTEXT_COMMON_V1 common;
  TSS2_TCTI_CONTEXT *child;
  char child_conf[256];
  int log;
  int raw;
  char fault_path[4096];
  char rule[128];
  unsigned matches;
  TPM2_CC command;
  Action action; /* of the command under way */
  TSS2_RC answer;
  uint8_t hidden[16];
  size_t hidden_size;
  size_t number; /* of flip- and delay- */
} Count;

static Count *
count_of (TSS2_TCTI_CONTEXT *context)
{
  return (Count *) context;
}

static uint32_t
read_u32 (const uint8_t *bytes)
{
  uint32_t value;
  memcpy (&value, bytes, sizeof value);
  return be32toh (value);
}

static void
write_u32 (uint8_t *bytes, uint32_t value)
{
  value = htobe32 (value);
  memcpy (bytes, &value, sizeof value);
}

/* One write, so that the lines of several processes do not mix. A full disk shows in the test that reads the file. */
static void
append (int file, const void *data, size_t size)
{
  if (file >= 0 && write (file, data, size) < 0)
    abort ();
}

static void
log_command (Count *count, TSS2_RC rc)
{
  char name[32], line[64];
  command_name (count->command, name);
  int length = snprintf (line, sizeof line, "%s\n", name);
  if (rc != TSS2_RC_SUCCESS && (rc & TSS2_RC_LAYER_MASK) == 0)
    length = snprintf (line, sizeof line, "%s:0x%x\n", name, rc);
  else if (rc != TSS2_RC_SUCCESS)
    length = snprintf (line, sizeof line, "%s:io\n", name);
  append (count->log, line, (size_t) length);
}

static void
choose_hidden (Count *count, const char *hex)
{
  count->hidden_size = strlen (hex) / 2;
  for (size_t i = 0; i < count->hidden_size; i++)
    if (sscanf (hex + 2 * i, "%2hhx", &count->hidden[i]) != 1)
      abort ();
}

static Action
find_action (const char *text)
{
  for (Action action = IO_ERROR; action <= KILL_AFTER; action++)
    {
      const char *name = action_names[action];
      size_t length = strlen (name);
      if (name[length - 1] == '-' ? strncmp (text, name, length) == 0 : strcmp (text, name) == 0)
        return action;
    }
  return ANSWER;
}

static void
take_action (Count *count, const char *text)
{
  const char *dash = strchr (text, '-');
  count->action = find_action (text);
  if (count->action == HIDE)
    choose_hidden (count, dash + 1);
  else if (count->action == FLIP || count->action == DELAY)
    count->number = strtoul (dash + 1, NULL, 10);
  else if (count->action == ANSWER)
    count->answer = (TSS2_RC) strtoul (text, NULL, 16);
}

static ssize_t
read_rule (const Count *count, char rule[sizeof count->rule])
{
  memset (rule, 0, sizeof count->rule);
  int file = open (count->fault_path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return 0;
  ssize_t length = read (file, rule, sizeof count->rule - 1);
  close (file);
  return length;
}

/* What FILE.fault has for the command under way. */
static void
choose_action (Count *count)
{
  count->action = PASS;
  char rule[sizeof count->rule];
  if (read_rule (count, rule) <= 0)
    return;

  if (strcmp (rule, count->rule) != 0)
    {
      memcpy (count->rule, rule, sizeof rule);
      count->matches = 0;
    }
  char wanted[32], action[32], name[32];
  unsigned first, last;
  if (sscanf (rule, "%31s %u-%u %31s", wanted, &first, &last, action) != 4)
    abort ();
  command_name (count->command, name);
  if (strcmp (wanted, "*") != 0 && strcmp (wanted, name) != 0)
    return;
  count->matches++;
  if (count->matches < first || count->matches > last)
    return;

  take_action (count, action);
  if (count->action != HANG && count->matches == last && truncate (count->fault_path, 0) != 0)
    abort ();
}

static void
wait_to_be_told (const Count *count)
{
  char rule[sizeof count->rule];
  while (read_rule (count, rule) > 0 && strcmp (rule, count->rule) == 0)
    usleep (5000);
}

/* A command of our own. */
static void
send_aside (Count *count, size_t size, const uint8_t *command)
{
  uint8_t reply[HEADER_SIZE];
  size_t reply_size = sizeof reply;
  if (Tss2_Tcti_Transmit (count->child, size, command) != TSS2_RC_SUCCESS ||
      Tss2_Tcti_Receive (count->child, &reply_size, reply, TSS2_TCTI_TIMEOUT_BLOCK) != TSS2_RC_SUCCESS ||
      read_u32 (reply + 6) != TPM2_RC_SUCCESS)
    abort ();
}

static void
reset_tpm (Count *count)
{
  static const uint8_t startup[] = {
    0x80, 0x01, 0, 0, 0, 12, 0, 0, TPM2_CC_Startup >> 8, TPM2_CC_Startup & 0xff, 0, 0
  };
  char command[sizeof count->child_conf + 64];
  const char *path = strstr (count->child_conf, "path=");
  if (path == NULL)
    abort ();
  snprintf (command, sizeof command, "LD_PRELOAD= swtpm_ioctl --unix %s.ctrl -i", path + strlen ("path="));
  if (system (command) != 0)
    abort ();
  send_aside (count, sizeof startup, startup);
}

static TSS2_RC
transmit (TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
  Count *count = count_of (context);
  count->command = read_u32 (command + 6);
  choose_action (count);
  if (count->action == KILL_BEFORE)
    raise (SIGKILL);
  if (count->action == ANSWER)
    return TSS2_RC_SUCCESS;
  if (count->action == HANG)
    wait_to_be_told (count);
  if (count->action == DELAY)
    usleep ((useconds_t) count->number * 1000);
  if (count->action == RESET)
    reset_tpm (count);
  append (count->raw, command, size);
  TSS2_RC rc = count->action == IO_ERROR ? TSS2_TCTI_RC_IO_ERROR : Tss2_Tcti_Transmit (count->child, size, command);
  if (rc != TSS2_RC_SUCCESS)
    log_command (count, rc);
  return rc;
}

/* The handle in an answer that is about to be lost. */
static void
flush_lost (Count *count, const uint8_t *answer)
{
  switch (count->command)
    {
    case TPM2_CC_StartAuthSession:
    case TPM2_CC_CreatePrimary:
    case TPM2_CC_Load:
    case TPM2_CC_ContextLoad:
    case TPM2_CC_HMAC_Start:
      break;
    default:
      return;
    }
  if (read_u32 (answer + 6) != TPM2_RC_SUCCESS)
    return;
  uint8_t command[14] = { 0x80, 0x01 };
  write_u32 (command + 2, sizeof command);
  write_u32 (command + 6, TPM2_CC_FlushContext);
  memcpy (command + 10, answer + HEADER_SIZE, 4);
  send_aside (count, sizeof command, command);
}

static void
hide (const Count *count, size_t size, uint8_t *answer)
{
  uint8_t *found = memmem (answer, size, count->hidden, count->hidden_size);
  if (found != NULL)
    memset (found, 0xff, count->hidden_size);
}

static void
randomize (size_t size, uint8_t *bytes)
{
  static uint32_t state = 1;
  for (size_t i = 0; i < size; i++)
    {
      state = state * 1664525 + 1013904223;
      bytes[i] = (uint8_t) (state >> 24);
    }
}

/* What becomes of an answer on the way. */
static TSS2_RC
spoil (Count *count, size_t *size, uint8_t *answer)
{
  switch (count->action)
    {
    case DROP:
    case CUT:
    case HUGE_SIZE:
    case RANDOM:
    case SHORT:
      flush_lost (count, answer);
      break;
    default:
      break;
    }
  switch (count->action)
    {
    case DROP:
      return TSS2_TCTI_RC_IO_ERROR;
    case FORGE:
      answer[*size / 2] ^= 1;
      break;
    case HIDE:
      hide (count, *size, answer);
      break;
    case FLIP:
      answer[count->number / 8 % *size] ^= (uint8_t) (1 << count->number % 8);
      break;
    case CUT:
      --*size;
      break;
    case HUGE_SIZE:
      write_u32 (answer + 2, 0x7fffffff);
      break;
    case RANDOM:
      randomize (*size, answer);
      break;
    case SHORT:
      *size = HEADER_SIZE;
      write_u32 (answer + 2, HEADER_SIZE);
      break;
    case GARBLE:
      if (answer[1] != (TPM2_ST_SESSIONS & 0xff))
        break;
      flush_lost (count, answer);
      answer[*size - 1] ^= 1;
      break;
    default:
      break;
    }
  return TSS2_RC_SUCCESS;
}

static TSS2_RC
receive_made_up (Count *count, size_t *size, uint8_t *answer)
{
  *size = HEADER_SIZE;
  if (answer == NULL)
    return TSS2_RC_SUCCESS;
  answer[0] = 0x80;
  answer[1] = 0x01;
  write_u32 (answer + 2, HEADER_SIZE);
  write_u32 (answer + 6, count->answer);
  log_command (count, count->answer);
  return TSS2_RC_SUCCESS;
}

static TSS2_RC
receive (TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, int32_t timeout)
{
  Count *count = count_of (context);
  if (count->action == ANSWER)
    return receive_made_up (count, size, answer);

  TSS2_RC rc = Tss2_Tcti_Receive (count->child, size, answer, timeout);
  if (rc == TSS2_TCTI_RC_TRY_AGAIN || (rc == TSS2_RC_SUCCESS && answer == NULL))
    return rc;
  if (rc == TSS2_RC_SUCCESS)
    append (count->raw, answer, *size);
  if (count->action == KILL_AFTER)
    raise (SIGKILL);
  if (rc == TSS2_RC_SUCCESS)
    rc = spoil (count, size, answer);
  log_command (count, rc == TSS2_RC_SUCCESS ? read_u32 (answer + 6) : rc);
  return rc;
}

static TSS2_RC
cancel (TSS2_TCTI_CONTEXT *context)
{
  return Tss2_Tcti_Cancel (count_of (context)->child);
}

static TSS2_RC
get_poll_handles (TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n_handles)
{
  return Tss2_Tcti_GetPollHandles (count_of (context)->child, handles, n_handles);
}

static TSS2_RC
set_locality (TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
  return Tss2_Tcti_SetLocality (count_of (context)->child, locality);
}

static void
finalize (TSS2_TCTI_CONTEXT *context)
{
  Count *count = count_of (context);
  Tss2_TctiLdr_Finalize (&count->child);
  close (count->log);
  if (count->raw >= 0)
    close (count->raw);
}

static TSS2_RC
initialize (TSS2_TCTI_CONTEXT *context, size_t *size, const char *child)
{
  *size = sizeof (Count);
  if (context == NULL)
    return TSS2_RC_SUCCESS;

  Count *count = count_of (context);
  *count = (Count) {
    .common = { .magic = MAGIC,
                .version = 1,
                .transmit = transmit,
                .receive = receive,
                .finalize = finalize,
                .cancel = cancel,
                .getPollHandles = get_poll_handles,
                .setLocality = set_locality },
  };
  const char *log = getenv ("CMKD_TPM_LOG");
  if (log == NULL || child == NULL)
    return TSS2_TCTI_RC_BAD_VALUE;
  snprintf (count->child_conf, sizeof count->child_conf, "%s", child);
  char hang_path[sizeof count->fault_path];
  snprintf (hang_path, sizeof hang_path, "%s.hang", log);
  while (access (hang_path, F_OK) == 0)
    usleep (5000);
  TSS2_RC rc = Tss2_TctiLdr_Initialize (child, &count->child);
  if (rc != TSS2_RC_SUCCESS)
    return rc;

  char raw_path[sizeof count->fault_path];
  snprintf (raw_path, sizeof raw_path, "%s.raw", log);
  snprintf (count->fault_path, sizeof count->fault_path, "%s.fault", log);
  count->raw = open (raw_path, O_WRONLY | O_APPEND | O_CLOEXEC);
  count->log = open (log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (count->log >= 0)
    return TSS2_RC_SUCCESS;
  finalize (context);
  return TSS2_TCTI_RC_IO_ERROR;
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info (void);

const TSS2_TCTI_INFO *
Tss2_Tcti_Info (void)
{
  static const TSS2_TCTI_INFO info = {
    .version = 1,
    .name = "tcti-count",
    .description = "counts commands and injects faults, for tests",
    .config_help = "the TCTI to pass everything on to: NAME:CONF",
    .init = initialize,
  };
  return &info;
}
