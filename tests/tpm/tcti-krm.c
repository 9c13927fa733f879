/* SPDX-License-Identifier: Apache-2.0
 *
 * A TCTI for tests that does to another one what the resource manager of Linux (/dev/tpmrm0) does to the chip:
 *
 *     CMKD_CHIP_LOG=FILE cmkd --tcti=/path/to/libtss2-tcti-krm.so:swtpm:path=SOCK
 *
 * Each connection is a space of three objects, under virtual handles, and three sessions. All of them are loaded into
 * the chip before each command and saved after it; the rest of what is known of drivers/char/tpm/tpm2-space.c, Linux 6:
 *   - a virtual handle that the space has not got fails the write: an I/O error; so does an object that the chip does
 *     not take back (after a reset), for as long as the connection lives
 *   - a fourth object or session is flushed, and an I/O error
 *   - an I/O error costs the space its sessions, but no objects
 *   - a session that the chip does not take back is forgotten; so is one that was flushed, ended or saved by a command
 *   - GetCapability shows the objects of the space alone, and every session
 *   - the context gap is nobody's business
 *   - a command that the chip has not got is answered for it, with the layer of the resource manager: 0xb0143
 *   - sessions are flushed when the connection goes, however its process ended
 *
 * For the last the space lives in a process of its own, which ends when its socket does.
 *
 * FILE is what spaces of several processes take turns by, and gets a line for each command that reaches the chip: its
 * name, with the chip's answer behind it if that is an error; and "held OBJECTS SESSIONS" after each that was asked. */
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>

#include "command-name.h"

#define MAGIC        0x434d4b444b524d31ULL
#define HEADER_SIZE  10
#define MAX_SIZE     4096
#define MAX_COMMANDS 512
#define SLOTS        3
#define SAVED        UINT32_MAX /* in place of the handle of an object */
#define N_HANDLES(a) (((a) &TPMA_CC_CHANDLES_MASK) >> TPMA_CC_CHANDLES_SHIFT)

typedef struct
{
  uint32_t handle; /* 0: the slot is free */
  size_t size;
  uint8_t context[MAX_SIZE];
} Slot;

typedef struct
{
  Slot objects[SLOTS];
  Slot sessions[SLOTS];
} Space;

typedef struct
{
  TSS2_TCTI_CONTEXT_COMMON_V1 common;
  TSS2_TCTI_CONTEXT *chip;
  int socket;
  int log;
  pid_t process;
  TPMA_CC commands[MAX_COMMANDS]; /* what the chip has */
  size_t n_commands;
  Space space;
} Manager;

/* What goes through the socket. */
typedef struct
{
  TSS2_RC rc;
  uint8_t bytes[MAX_SIZE];
} Answer;

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

static uint32_t
type_of (uint32_t handle)
{
  return handle >> TPM2_HR_SHIFT;
}

/* The chip */

static void
log_line (Manager *manager, const char *text, int length)
{
  if (manager->log >= 0 && write (manager->log, text, (size_t) length) != length)
    abort ();
}

/* -1: the chip did not answer. */
static int64_t
exchange (Manager *manager, size_t size, const uint8_t *command, uint8_t answer[MAX_SIZE], size_t *ret_size)
{
  *ret_size = MAX_SIZE;
  char name[32], line[64];
  command_name (read_u32 (command + 6), name);
  if (Tss2_Tcti_Transmit (manager->chip, size, command) != TSS2_RC_SUCCESS ||
      Tss2_Tcti_Receive (manager->chip, ret_size, answer, TSS2_TCTI_TIMEOUT_BLOCK) != TSS2_RC_SUCCESS ||
      *ret_size < HEADER_SIZE)
    {
      log_line (manager, line, snprintf (line, sizeof line, "%s:io\n", name));
      return -1;
    }
  uint32_t rc = read_u32 (answer + 6);
  log_line (manager, line,
            rc == 0 ? snprintf (line, sizeof line, "%s\n", name) : snprintf (line, sizeof line, "%s:0x%x\n", name, rc));
  return rc;
}

/* A command of the manager's own, whose parameters are these bytes. */
static int64_t
ask (Manager *manager, TPM2_CC code, const uint8_t *bytes, size_t size, uint8_t answer[MAX_SIZE], size_t *ret_size)
{
  uint8_t command[MAX_SIZE + HEADER_SIZE] = { 0x80, 0x01 };
  write_u32 (command + 2, (uint32_t) (HEADER_SIZE + size));
  write_u32 (command + 6, code);
  memcpy (command + HEADER_SIZE, bytes, size);
  return exchange (manager, HEADER_SIZE + size, command, answer, ret_size);
}

static void
flush (Manager *manager, uint32_t handle)
{
  uint8_t bytes[4], answer[MAX_SIZE];
  size_t size;
  write_u32 (bytes, handle);
  (void) ask (manager, TPM2_CC_FlushContext, bytes, sizeof bytes, answer, &size);
}

static bool
learn_commands (Manager *manager)
{
  uint32_t next = TPM2_CC_FIRST;
  bool more = true;
  while (more)
    {
      uint8_t bytes[12], answer[MAX_SIZE];
      size_t size;
      write_u32 (bytes, TPM2_CAP_COMMANDS);
      write_u32 (bytes + 4, next);
      write_u32 (bytes + 8, 64);
      if (ask (manager, TPM2_CC_GetCapability, bytes, sizeof bytes, answer, &size) != 0)
        return false;
      more = answer[HEADER_SIZE] != 0;
      uint32_t count = read_u32 (answer + HEADER_SIZE + 5);
      for (uint32_t i = 0; i < count && manager->n_commands < MAX_COMMANDS; i++)
        {
          TPMA_CC attributes = read_u32 (answer + HEADER_SIZE + 9 + 4 * i);
          manager->commands[manager->n_commands++] = attributes;
          next = (attributes & TPMA_CC_COMMANDINDEX_MASK) + 1;
        }
    }
  return true;
}

/* NULL: the chip has no such command. */
static const TPMA_CC *
find_command (const Manager *manager, TPM2_CC code)
{
  const TPMA_CC mask = TPMA_CC_COMMANDINDEX_MASK | TPMA_CC_V;
  for (size_t i = 0; i < manager->n_commands; i++)
    if ((manager->commands[i] & mask) == code)
      return &manager->commands[i];
  return NULL;
}

/* The space */

/* 0, the chip's refusal, or -1. */
static int64_t
load_slot (Manager *manager, const Slot *slot, uint32_t *ret_handle)
{
  uint8_t answer[MAX_SIZE];
  size_t size;
  int64_t rc = ask (manager, TPM2_CC_ContextLoad, slot->context, slot->size, answer, &size);
  if (rc == 0)
    *ret_handle = read_u32 (answer + HEADER_SIZE);
  return rc;
}

/* FALSE: the chip did not save it. One that has gone from the chip has gone from the space. */
static bool
save_slot (Manager *manager, Slot *slot)
{
  uint8_t bytes[4], answer[MAX_SIZE];
  size_t size;
  write_u32 (bytes, slot->handle);
  int64_t rc = ask (manager, TPM2_CC_ContextSave, bytes, sizeof bytes, answer, &size);
  if (rc == TPM2_RC_REFERENCE_H0)
    {
      slot->handle = 0;
      return true;
    }
  if (rc != 0)
    return false;
  slot->size = size - HEADER_SIZE;
  memcpy (slot->context, answer + HEADER_SIZE, slot->size);
  return true;
}

static void
flush_sessions (Manager *manager, Space *space)
{
  for (size_t i = 0; i < SLOTS; i++)
    if (space->sessions[i].handle != 0)
      flush (manager, space->sessions[i].handle);
}

static void
flush_space (Manager *manager, Space *space)
{
  for (size_t i = 0; i < SLOTS; i++)
    if (space->objects[i].handle != 0 && space->objects[i].handle != SAVED)
      flush (manager, space->objects[i].handle);
  flush_sessions (manager, space);
}

static bool
load_space (Manager *manager, Space *space)
{
  for (size_t i = 0; i < SLOTS; i++)
    if (space->objects[i].handle != 0 && load_slot (manager, &space->objects[i], &space->objects[i].handle) != 0)
      return false;
  for (size_t i = 0; i < SLOTS; i++)
    {
      Slot *slot = &space->sessions[i];
      uint32_t handle = slot->handle;
      int64_t rc = handle == 0 ? 0 : load_slot (manager, slot, &handle);
      bool gone = rc == TPM2_RC_REFERENCE_H0 || (rc > 0 && (rc & 0xbf) == TPM2_RC_HANDLE);
      if ((rc != 0 && !gone) || handle != slot->handle)
        return false;
      if (gone)
        slot->handle = 0;
    }
  return true;
}

static bool
save_space (Manager *manager, Space *space)
{
  for (size_t i = 0; i < SLOTS; i++)
    {
      Slot *slot = &space->objects[i];
      uint32_t handle = slot->handle;
      if (handle == 0)
        continue;
      if (!save_slot (manager, slot))
        return false;
      if (slot->handle == 0)
        continue;
      flush (manager, handle);
      slot->handle = SAVED;
    }
  for (size_t i = 0; i < SLOTS; i++)
    if (space->sessions[i].handle != 0 && !save_slot (manager, &space->sessions[i]))
      return false;
  return true;
}

static uint32_t
virtual_handle (size_t slot)
{
  return (TPM2_HT_TRANSIENT << TPM2_HR_SHIFT) | (0xffffff - (uint32_t) slot);
}

/* Put the chip's handles in place of virtual ones. */
static bool
map_command (const Space *space, TPMA_CC attributes, uint8_t *command)
{
  TPM2_CC code = read_u32 (command + 6);
  /* Their handle is a parameter by the specification. */
  size_t n_handles = code == TPM2_CC_ContextSave || code == TPM2_CC_FlushContext ? 1 : N_HANDLES (attributes);
  for (size_t i = 0; i < n_handles; i++)
    {
      uint8_t *place = command + HEADER_SIZE + 4 * i;
      uint32_t handle = read_u32 (place);
      size_t slot = 0xffffff - (handle & 0xffffff);
      if (type_of (handle) != TPM2_HT_TRANSIENT)
        continue;
      if (slot >= SLOTS || space->objects[slot].handle == 0)
        return false;
      write_u32 (place, space->objects[slot].handle);
    }
  return true;
}

/* Take what a command made into the space. */
static bool
map_new_handle (Manager *manager, Space *space, TPMA_CC attributes, uint8_t *answer)
{
  if ((attributes & TPMA_CC_RHANDLE) == 0)
    return true;
  uint32_t handle = read_u32 (answer + HEADER_SIZE), type = type_of (handle);
  bool is_session = type == TPM2_HT_HMAC_SESSION || type == TPM2_HT_POLICY_SESSION;
  if (!is_session && type != TPM2_HT_TRANSIENT)
    return true;
  Slot *slots = is_session ? space->sessions : space->objects;
  for (size_t i = 0; i < SLOTS; i++)
    if (slots[i].handle == 0)
      {
        slots[i].handle = handle;
        if (!is_session)
          write_u32 (answer + HEADER_SIZE, virtual_handle (i));
        return true;
      }
  flush (manager, handle);
  return false;
}

/* Leave the objects of others out of a list of handles. */
static void
map_handles (const Space *space, uint8_t *answer, size_t *size)
{
  uint8_t *list = answer + HEADER_SIZE + 9;
  uint32_t count = read_u32 (answer + HEADER_SIZE + 5), kept = 0;
  if (read_u32 (answer + HEADER_SIZE + 1) != TPM2_CAP_HANDLES)
    return;
  for (uint32_t i = 0; i < count; i++)
    {
      uint32_t handle = read_u32 (list + 4 * i);
      size_t slot = 0;
      while (type_of (handle) == TPM2_HT_TRANSIENT && slot < SLOTS && space->objects[slot].handle != handle)
        slot++;
      if (slot < SLOTS)
        write_u32 (list + 4 * kept++, type_of (handle) == TPM2_HT_TRANSIENT ? virtual_handle (slot) : handle);
    }
  *size = (size_t) (list - answer) + 4 * kept;
  write_u32 (answer + 2, (uint32_t) *size);
  write_u32 (answer + HEADER_SIZE + 5, kept);
}

static bool
do_command (Manager *manager, Space *space, TPMA_CC attributes, uint8_t *command, size_t size, uint8_t *answer,
            size_t *ret_size)
{
  if (!load_space (manager, space) || !map_command (space, attributes, command))
    return false;
  int64_t rc = exchange (manager, size, command, answer, ret_size);
  if (rc < 0 || (rc == 0 && !map_new_handle (manager, space, attributes, answer)))
    return false;
  if (rc == 0 && read_u32 (command + 6) == TPM2_CC_GetCapability)
    map_handles (space, answer, ret_size);
  return save_space (manager, space);
}

/* The process of a connection */

static size_t
held (const Slot slots[SLOTS])
{
  size_t count = 0;
  for (size_t i = 0; i < SLOTS; i++)
    count += slots[i].handle != 0;
  return count;
}

static size_t
serve_one (Manager *manager, uint8_t *command, size_t size, Answer *answer)
{
  const TPMA_CC *attributes = find_command (manager, read_u32 (command + 6));
  answer->rc = TSS2_RC_SUCCESS;
  if (attributes == NULL)
    {
      memcpy (answer->bytes, (const uint8_t[]) { 0x80, 0x01, 0, 0, 0, HEADER_SIZE }, 6);
      write_u32 (answer->bytes + 6, TSS2_RESMGR_RC_LAYER | TPM2_RC_COMMAND_CODE);
      return HEADER_SIZE;
    }

  /* What went wrong leaves the space as it was, though not the chip. */
  Space space = manager->space;
  size_t answer_size;
  flock (manager->log, LOCK_EX);
  bool ok = do_command (manager, &space, *attributes, command, size, answer->bytes, &answer_size);
  if (ok)
    manager->space = space;
  else
    flush_space (manager, &space);
  char line[64];
  log_line (
      manager, line,
      snprintf (line, sizeof line, "held %zu %zu\n", held (manager->space.objects), held (manager->space.sessions)));
  flock (manager->log, LOCK_UN);
  if (ok)
    return answer_size;
  answer->rc = TSS2_TCTI_RC_IO_ERROR;
  return 0;
}

static void
cut (int number)
{
  (void) number;
  shutdown (STDIN_FILENO, SHUT_RDWR);
}

/* SIGTERM cuts the connection, for tests of that. */
static _Noreturn void
serve (Manager *manager)
{
  sigset_t none;
  sigemptyset (&none);
  sigaction (SIGTERM, &(struct sigaction) { .sa_handler = cut, .sa_flags = SA_RESTART }, NULL);
  sigprocmask (SIG_SETMASK, &none, NULL);

  uint8_t command[MAX_SIZE];
  ssize_t size;
  while ((size = recv (manager->socket, command, sizeof command, 0)) >= HEADER_SIZE)
    {
      Answer answer;
      size_t answer_size = serve_one (manager, command, (size_t) size, &answer);
      if (send (manager->socket, &answer, sizeof answer.rc + answer_size, MSG_NOSIGNAL) < 0)
        break;
    }
  flock (manager->log, LOCK_EX);
  flush_sessions (manager, &manager->space);
  _exit (EXIT_SUCCESS);
}

/* It holds nothing of its parent's open: no lock, and no connection. */
static bool
start_process (Manager *manager)
{
  int sockets[2];
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return false;
  manager->process = fork ();
  if (manager->process == 0)
    {
      int log = fcntl (manager->log, F_DUPFD, 10), socket = fcntl (sockets[1], F_DUPFD, 10);
      manager->log = dup2 (log, STDOUT_FILENO);
      manager->socket = dup2 (socket, STDIN_FILENO);
      close_range (STDERR_FILENO, ~0U, 0);
      serve (manager);
    }
  close (sockets[1]);
  close (manager->log);
  manager->socket = sockets[0];
  return manager->process > 0;
}

/* The TCTI */

static Manager *
manager_of (TSS2_TCTI_CONTEXT *context)
{
  return (Manager *) context;
}

static TSS2_RC
transmit (TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
  ssize_t sent = send (manager_of (context)->socket, command, size, MSG_NOSIGNAL);
  return sent == (ssize_t) size ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC
receive (TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
  Manager *manager = manager_of (context);
  struct pollfd poll_fd = { .fd = manager->socket, .events = POLLIN };
  if (poll (&poll_fd, 1, timeout) == 0)
    return TSS2_TCTI_RC_TRY_AGAIN;
  Answer answer;
  ssize_t got = recv (manager->socket, &answer, sizeof answer, response == NULL ? MSG_PEEK : 0);
  if (got < (ssize_t) sizeof answer.rc)
    return TSS2_TCTI_RC_IO_ERROR;
  if (answer.rc != TSS2_RC_SUCCESS)
    return answer.rc;
  size_t length = (size_t) got - sizeof answer.rc;
  if (response != NULL && *size < length)
    return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
  *size = length;
  if (response != NULL)
    memcpy (response, answer.bytes, length);
  return TSS2_RC_SUCCESS;
}

static TSS2_RC
cancel (TSS2_TCTI_CONTEXT *context)
{
  (void) context;
  return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC
get_poll_handles (TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n_handles)
{
  *n_handles = 1;
  if (handles != NULL)
    *handles = (struct pollfd) { .fd = manager_of (context)->socket, .events = POLLIN };
  return TSS2_RC_SUCCESS;
}

static TSS2_RC
set_locality (TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
  (void) context;
  (void) locality;
  return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

/* The kernel has flushed everything when close() returns. */
static void
finalize (TSS2_TCTI_CONTEXT *context)
{
  Manager *manager = manager_of (context);
  close (manager->socket);
  waitpid (manager->process, NULL, 0);
  Tss2_TctiLdr_Finalize (&manager->chip);
}

static TSS2_RC
initialize (TSS2_TCTI_CONTEXT *context, size_t *size, const char *chip)
{
  *size = sizeof (Manager);
  if (context == NULL)
    return TSS2_RC_SUCCESS;

  Manager *manager = manager_of (context);
  *manager = (Manager) {
    .common = { .magic = MAGIC,
                .version = 1,
                .transmit = transmit,
                .receive = receive,
                .finalize = finalize,
                .cancel = cancel,
                .getPollHandles = get_poll_handles,
                .setLocality = set_locality },
    .log = -1,
  };
  const char *path = getenv ("CMKD_CHIP_LOG");
  if (path == NULL || chip == NULL)
    return TSS2_TCTI_RC_BAD_VALUE;
  TSS2_RC rc = Tss2_TctiLdr_Initialize (chip, &manager->chip);
  if (rc != TSS2_RC_SUCCESS)
    return rc;

  /* The kernel has learnt them, and loaded what it talks to the chip by, long before: nothing is logged of it. */
  if (learn_commands (manager))
    {
      manager->log = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
      if (manager->log >= 0 && start_process (manager))
        return TSS2_RC_SUCCESS;
    }
  Tss2_TctiLdr_Finalize (&manager->chip);
  return TSS2_TCTI_RC_IO_ERROR;
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info (void);

const TSS2_TCTI_INFO *
Tss2_Tcti_Info (void)
{
  static const TSS2_TCTI_INFO info = {
    .version = 1,
    .name = "tcti-krm",
    .description = "emulates the resource manager of Linux, for tests",
    .config_help = "the TCTI to the chip: NAME:CONF",
    .init = initialize,
  };
  return &info;
}
