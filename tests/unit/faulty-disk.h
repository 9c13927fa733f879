/* SPDX-License-Identifier: Apache-2.0
 *
 * The system calls by which the store and SQLite write, with faults. These definitions stand before those of the C
 * library for the program and its libraries alike. */
#pragma once

#include <errno.h>
#include <glib.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum
{
  FAULT_FAILS,       /* with the code */
  FAULT_SHORT,       /* writes half */
  FAULT_INTERRUPTED, /* by a signal, once */
} FaultKind;

typedef enum
{
  FAULTY_WRITES = 1 << 0,
  FAULTY_FLUSHES = 1 << 1,
  FAULTY_TRUNCATIONS = 1 << 2,
  FAULTY_CALLS = FAULTY_WRITES | FAULTY_FLUSHES | FAULTY_TRUNCATIONS,
} FaultyCalls;

typedef struct
{
  FaultKind kind;
  FaultyCalls calls;
  int code;
  gboolean lasts; /* from that call on, not only there */
} Fault;

static struct
{
  Fault what;
  gboolean lasts;   /* from that call on, not only there */
  guint calls_left; /* until the fault; 0: no fault is set */
  gboolean is_met;
  gboolean is_on; /* a lasting one */
} fault;

static inline void
set_fault (guint call, const Fault *what)
{
  memset (&fault, 0, sizeof fault);
  fault.what = *what;
  fault.calls_left = call;
}

/* Was it met? */
static inline gboolean
end_fault (void)
{
  gboolean is_met = fault.is_met;
  memset (&fault, 0, sizeof fault);
  return is_met;
}

static gboolean
meets_fault (FaultyCalls calls)
{
  if ((fault.what.calls & calls) == 0)
    return FALSE;
  if (fault.is_on)
    return TRUE;
  if (fault.calls_left == 0 || --fault.calls_left > 0)
    return FALSE;
  fault.is_met = TRUE;
  fault.is_on = fault.what.lasts;
  return TRUE;
}

static int
fail (void)
{
  errno = fault.what.kind == FAULT_FAILS ? fault.what.code : EINTR;
  return -1;
}

ssize_t faulty_pwrite (int fd, const void *bytes, size_t size, off_t offset) __asm__("pwrite64");
int faulty_fdatasync (int fd) __asm__("fdatasync");
int faulty_fsync (int fd) __asm__("fsync");
int faulty_ftruncate (int fd, off_t size) __asm__("ftruncate64");

ssize_t
faulty_pwrite (int fd, const void *bytes, size_t size, off_t offset)
{
  gboolean is_faulty = meets_fault (FAULTY_WRITES);
  if (is_faulty && fault.what.kind != FAULT_SHORT)
    return fail ();
  return syscall (SYS_pwrite64, fd, bytes, is_faulty ? size / 2 : size, offset);
}

/* Nothing here depends on the disk: nobody cuts the power. */
int
faulty_fdatasync (int fd G_GNUC_UNUSED)
{
  return meets_fault (FAULTY_FLUSHES) ? fail () : 0;
}

int
faulty_fsync (int fd G_GNUC_UNUSED)
{
  return meets_fault (FAULTY_FLUSHES) ? fail () : 0;
}

int
faulty_ftruncate (int fd, off_t size)
{
  return meets_fault (FAULTY_TRUNCATIONS) ? fail () : (int) syscall (SYS_ftruncate, fd, size);
}
