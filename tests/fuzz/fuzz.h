/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzzers share. A fuzzer is LLVMFuzzerTestOneInput(): libFuzzer's main() calls it with what it makes up
 * (-Dfuzz=true), that of replay.c with files. It ends the process when something is wrong. */
#pragma once

#include <glib.h>
#include <string.h>

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* What is left of an input. Where there is nothing any more, zeros are read. */
typedef struct
{
  const guint8 *next;
  gsize left;
} FuzzInput;

static inline guint8
fuzz_take_byte (FuzzInput *input)
{
  if (input->left == 0)
    return 0;
  input->left--;
  return *input->next++;
}

/* One of 0 to @n - 1. */
static inline guint
fuzz_take_choice (FuzzInput *input, guint n)
{
  return fuzz_take_byte (input) % n;
}

/* Big-endian. */
static inline gint64
fuzz_take_number (FuzzInput *input, guint size)
{
  guint64 number = 0;
  for (guint i = 0; i < size; i++)
    number = number << 8 | fuzz_take_byte (input);
  return (gint64) number;
}

/* A copy of its own, so that reading past its end is seen. */
static inline GBytes *
fuzz_take_exactly (FuzzInput *input, gsize size)
{
  GBytes *bytes = g_bytes_new (input->next, MIN (size, input->left));
  input->next += MIN (size, input->left);
  input->left -= MIN (size, input->left);
  return bytes;
}

static inline GBytes *
fuzz_take_rest (FuzzInput *input)
{
  return fuzz_take_exactly (input, input->left);
}

/* As many as two bytes in front of them say. */
static inline GBytes *
fuzz_take_bytes (FuzzInput *input)
{
  gsize size = (gsize) fuzz_take_number (input, 2);
  return fuzz_take_exactly (input, size);
}

/* Never NULL, as it is of GBytes of nothing. */
static inline const guint8 *
fuzz_peek (GBytes *bytes)
{
  const guint8 *data = g_bytes_get_data (bytes, NULL);
  return data != NULL ? data : (const guint8 *) "";
}

static inline char *
fuzz_take_text (FuzzInput *input)
{
  g_autoptr (GBytes) bytes = fuzz_take_bytes (input);
  return g_strndup ((const char *) fuzz_peek (bytes), g_bytes_get_size (bytes));
}

static inline GLogWriterOutput
fuzz_drop_message (GLogLevelFlags level G_GNUC_UNUSED, const GLogField *fields G_GNUC_UNUSED, gsize n G_GNUC_UNUSED,
                   gpointer data G_GNUC_UNUSED)
{
  return G_LOG_WRITER_HANDLED;
}

/* What is refused is not worth a line. A criticism ends the process all the same. */
static inline void
fuzz_be_quiet (void)
{
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  g_log_set_writer_func (fuzz_drop_message, NULL, NULL);
}
