/* SPDX-License-Identifier: Apache-2.0
 *
 * Envelope files, as they come and as cmkctl writes them, altered and cut. */
#include "fuzz.h"

#include "envelope-cipher.h"
#include "envelope-file.h"
#include "exit-code.h"
#include "module.h"
#include "progress.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_SIZE 200000 /* three chunks and some */

static char data_key[45]; /* Base64 of 32 zeros */

struct CmkOutputFile
{
  GByteArray *bytes;
};

/* --- in place of the program's ------------------------------------------------------------------------------------ */

int
cmk_fail (int code, const char *format G_GNUC_UNUSED, ...)
{
  return code;
}

int
cmk_module_load (const char *file G_GNUC_UNUSED, const char *symbol G_GNUC_UNUSED, const void **ret_table)
{
  *ret_table = &cmk_envelope_module;
  return CMK_EXIT_DONE;
}

int
cmk_output_file_write (CmkOutputFile *file, const void *data, size_t size)
{
  g_byte_array_append (file->bytes, data, (guint) size);
  return CMK_EXIT_DONE;
}

bool
cmk_progress_begin (const char *what G_GNUC_UNUSED, CmkProgressUnit unit G_GNUC_UNUSED, uint64_t total G_GNUC_UNUSED)
{
  return false;
}

void
cmk_progress_update (uint64_t done G_GNUC_UNUSED)
{
}

void
cmk_progress_end (void)
{
}

/* ------------------------------------------------------------------------------------------------------------------ */

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  memset (data_key, 'A', 43);
  data_key[43] = '=';
  return 0;
}

static CmkInputFile *
open_input (const guint8 *data, gsize size)
{
  CmkInputFile *file = NULL;
  char path[32];
  int fd = memfd_create ("input", MFD_CLOEXEC);
  g_assert_cmpint (write (fd, data, size), ==, (gssize) size);
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  g_assert_cmpint (cmk_input_file_open (path, &file), ==, CMK_EXIT_DONE);
  close (fd);
  return file;
}

/* Has cmkctl taken all of @envelope? */
static gboolean
decrypt (const guint8 *envelope, gsize size, GByteArray *ret_plain)
{
  CmkOutputFile out = { ret_plain };
  CmkBuffer blob = { 0 };
  CmkInputFile *in = open_input (envelope, size);
  int code = cmk_envelope_read_header (in, &blob);
  if (code == CMK_EXIT_DONE)
    code = cmk_envelope_decrypt (in, &out, data_key);
  cmk_buffer_clear (&blob);
  cmk_input_file_closep (&in);
  return code == CMK_EXIT_DONE;
}

/* Nobody else has the key. */
static void
check_foreign (FuzzInput *input)
{
  g_autoptr (GByteArray) plain = g_byte_array_new ();
  g_assert_false (decrypt (input->next, input->left, plain));
}

/* What comes out is what went in, as far as it goes; all of it only if nothing was altered. */
static void
check_own (FuzzInput *input)
{
  gsize size = (gsize) fuzz_take_number (input, 3) % MAX_SIZE, altered_at = (gsize) fuzz_take_number (input, 3);
  guint8 difference = fuzz_take_byte (input), is_cut = fuzz_take_byte (input) & 1;
  g_autofree guint8 *plain = g_malloc0 (size + 1);
  for (gsize i = 0; i < size && input->left > 0; i++)
    plain[i] = fuzz_take_byte (input);
  g_autoptr (GByteArray) envelope = g_byte_array_new (), decrypted = g_byte_array_new (), part = g_byte_array_new ();
  CmkOutputFile out = { envelope };
  CmkInputFile *in = open_input (plain, size);
  g_assert_cmpint (cmk_envelope_encrypt (in, &out, data_key, "YmxvYg=="), ==, CMK_EXIT_DONE);
  cmk_input_file_closep (&in);
  g_assert_true (decrypt (envelope->data, envelope->len, decrypted));
  g_assert_cmpmem (decrypted->data, decrypted->len, plain, size);

  gsize changed = altered_at % envelope->len, header = 5 + 2 + CMK_ENVELOPE_COMMITMENT_BYTES;
  gboolean is_in_blob = changed >= header && changed < header + 4; /* which is the daemon's to check */
  if (is_cut)
    g_byte_array_set_size (envelope, (guint) changed);
  else
    envelope->data[changed] ^= difference;
  gboolean is_taken = decrypt (envelope->data, envelope->len, part);
  g_assert_true (is_taken == (!is_cut && (difference == 0 || is_in_blob)));
  g_assert_cmpuint (part->len, <=, size);
  g_assert_cmpmem (part->data, part->len, plain, part->len);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  FuzzInput input = { data, size };
  if (fuzz_take_choice (&input, 2) == 0)
    check_foreign (&input);
  else
    check_own (&input);
  return 0;
}
