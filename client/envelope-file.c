/* SPDX-License-Identifier: Apache-2.0 */
#include "envelope-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base64.h"
#include "envelope-cipher.h"
#include "exit-code.h"
#include "module.h"
#include "progress.h"

#define MODULE_FILE "cmkctl-envelope.so"

#define MAGIC_BYTES        5 /* with the version */
#define SIZE_BYTES         2 /* of the blob, big-endian */
#define FIXED_BYTES        (MAGIC_BYTES + SIZE_BYTES + CMK_ENVELOPE_COMMITMENT_BYTES)
#define MAX_BLOB_BYTES     6245 /* cmkd makes none that is larger */
#define SEALED_CHUNK_BYTES (CMK_ENVELOPE_CHUNK_BYTES + CMK_ENVELOPE_TAG_BYTES)

static const uint8_t magic[MAGIC_BYTES] = { 'C', 'M', 'K', 'F', 1 };

struct CmkInputFile
{
  const char *path;
  int fd;
  uint64_t size; /* 0 if nobody knows */
  uint64_t taken;
  CmkBuffer ahead; /* what was read and is not used yet: one byte more than a chunk says that it is not the last */
  uint8_t commitment[CMK_ENVELOPE_COMMITMENT_BYTES];
};

int
cmk_input_file_open (const char *path, CmkInputFile **ret_file)
{
  bool is_stdin = strcmp (path, "-") == 0;
  int fd = is_stdin ? STDIN_FILENO : open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  CmkInputFile *file;
  struct stat status;

  if (fd < 0)
    return cmk_fail (CMK_EXIT_REFUSED, "cannot open '%s': %s", path, strerror (errno));

  file = cmk_allocate (sizeof *file);
  *file = (CmkInputFile) {
    .path = is_stdin ? "standard input" : path,
    .fd = fd,
    .size = fstat (fd, &status) == 0 && S_ISREG (status.st_mode) ? (uint64_t) status.st_size : 0,
    .ahead = cmk_buffer_new (SEALED_CHUNK_BYTES + 1),
  };
  *ret_file = file;
  return CMK_EXIT_DONE;
}

void
cmk_input_file_closep (CmkInputFile **file)
{
  if (*file == NULL)
    return;
  if ((*file)->fd > STDERR_FILENO)
    close ((*file)->fd);
  cmk_buffer_clear (&(*file)->ahead);
  free (*file);
}

/* Have @size bytes in @file->ahead, or all that there are until the end. */
static int
look_ahead (CmkInputFile *file, size_t size)
{
  while (file->ahead.size < size)
    {
      ssize_t taken = read (file->fd, file->ahead.data + file->ahead.size, size - file->ahead.size);

      if (taken < 0 && errno == EINTR)
        continue;
      if (taken < 0)
        return cmk_fail (CMK_EXIT_REFUSED, "cannot read %s: %s", file->path, strerror (errno));
      if (taken == 0)
        return CMK_EXIT_DONE;
      file->ahead.size += (size_t) taken;
    }
  return CMK_EXIT_DONE;
}

static void
use_up (CmkInputFile *file, size_t size)
{
  file->ahead.size -= size;
  file->taken += size;
  memmove (file->ahead.data, file->ahead.data + size, file->ahead.size);
  cmk_progress_update (file->taken);
}

static int
fail_as_no_envelope (const CmkInputFile *in)
{
  return cmk_fail (CMK_EXIT_REFUSED,
                   "%s is not an envelope file that this cmkctl can read: is it what encrypt-file wrote?", in->path);
}

static int
fail_as_altered (const CmkInputFile *in)
{
  return cmk_fail (CMK_EXIT_REFUSED,
                   "%s was altered or cut short, at byte %llu or behind it: do not use what was decrypted of it so far",
                   in->path, (unsigned long long) in->taken);
}

int
cmk_envelope_read_header (CmkInputFile *in, CmkBuffer *ret_blob)
{
  const uint8_t *size = in->ahead.data + MAGIC_BYTES;
  CmkBuffer blob = { .data = in->ahead.data + FIXED_BYTES };
  int code = look_ahead (in, FIXED_BYTES);

  if (code != CMK_EXIT_DONE)
    return code;
  if (in->ahead.size < FIXED_BYTES || memcmp (in->ahead.data, magic, MAGIC_BYTES) != 0)
    return fail_as_no_envelope (in);
  memcpy (in->commitment, size + SIZE_BYTES, sizeof in->commitment);

  blob.size = (size_t) (size[0] << 8 | size[1]);
  if (blob.size == 0 || blob.size > MAX_BLOB_BYTES)
    return fail_as_no_envelope (in);
  code = look_ahead (in, FIXED_BYTES + blob.size);
  if (code != CMK_EXIT_DONE)
    return code;
  if (in->ahead.size < FIXED_BYTES + blob.size)
    return fail_as_no_envelope (in);
  *ret_blob = cmk_buffer_encode (&blob);
  use_up (in, FIXED_BYTES + blob.size);
  return CMK_EXIT_DONE;
}

static int
fail_as_no_base64 (void)
{
  return cmk_fail (CMK_EXIT_REFUSED, "the daemon's answer is not Base64: cmkctl and cmkd must be of the same version");
}

static int
write_header (CmkOutputFile *out, const uint8_t *commitment, const char *blob)
{
  size_t chars = strlen (blob);
  _cleanup_ (cmk_buffer_clear) CmkBuffer header = cmk_buffer_new (FIXED_BYTES + CMK_BASE64_BYTES (chars));
  uint8_t *size = header.data + MAGIC_BYTES;
  size_t bytes;

  if (!cmk_base64_decode (blob, chars, header.data + FIXED_BYTES, &bytes) || bytes > MAX_BLOB_BYTES)
    return fail_as_no_base64 ();
  memcpy (header.data, magic, MAGIC_BYTES);
  size[0] = (uint8_t) (bytes >> 8);
  size[1] = (uint8_t) bytes;
  memcpy (size + SIZE_BYTES, commitment, CMK_ENVELOPE_COMMITMENT_BYTES);
  return cmk_output_file_write (out, header.data, FIXED_BYTES + bytes);
}

/* Load @ret_module and make the cipher of the file with this data key. */
static int
open_cipher (const char *data_key, bool is_encrypting, const CmkEnvelopeModule **ret_module,
             CmkEnvelopeCipher **ret_cipher, uint8_t *ret_commitment)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer key = cmk_buffer_new (CMK_BASE64_BYTES (strlen (data_key)));
  const void *table = NULL;
  int code = cmk_module_load (MODULE_FILE, CMK_ENVELOPE_MODULE_SYMBOL, &table);

  if (code != CMK_EXIT_DONE)
    return code;
  *ret_module = table;
  if (!cmk_base64_decode (data_key, strlen (data_key), key.data, &key.size))
    return fail_as_no_base64 ();
  if (key.size != CMK_ENVELOPE_DATA_KEY_BYTES)
    return cmk_fail (CMK_EXIT_REFUSED,
                     "the blob in the header holds no data key of %d bytes: is it what encrypt-file wrote?",
                     CMK_ENVELOPE_DATA_KEY_BYTES);
  *ret_cipher = (*ret_module)->create (&key, is_encrypting, ret_commitment);
  return *ret_cipher != NULL ? CMK_EXIT_DONE : cmk_fail (CMK_EXIT_REFUSED, "libcrypto has no AES-256-GCM or no KBKDF");
}

static int
seal_chunks (const CmkEnvelopeModule *module, CmkEnvelopeCipher *cipher, CmkInputFile *in, CmkOutputFile *out)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer chunk = cmk_buffer_new (SEALED_CHUNK_BYTES);
  bool is_last = false;

  while (!is_last)
    {
      int code = look_ahead (in, CMK_ENVELOPE_CHUNK_BYTES + 1);
      size_t size;

      if (code != CMK_EXIT_DONE)
        return code;
      is_last = in->ahead.size <= CMK_ENVELOPE_CHUNK_BYTES;
      size = is_last ? in->ahead.size : CMK_ENVELOPE_CHUNK_BYTES;
      if (!module->seal (cipher, in->ahead.data, size, is_last, chunk.data))
        return cmk_fail (CMK_EXIT_REFUSED, "libcrypto fails to encrypt");
      use_up (in, size);
      code = cmk_output_file_write (out, chunk.data, size + CMK_ENVELOPE_TAG_BYTES);
      if (code != CMK_EXIT_DONE)
        return code;
    }
  return CMK_EXIT_DONE;
}

/* Only a file without data has a chunk without any. */
static int
open_chunks (const CmkEnvelopeModule *module, CmkEnvelopeCipher *cipher, CmkInputFile *in, CmkOutputFile *out)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer data = cmk_buffer_new (CMK_ENVELOPE_CHUNK_BYTES);
  bool is_first = true;
  bool is_last = false;

  for (; !is_last; is_first = false)
    {
      int code = look_ahead (in, SEALED_CHUNK_BYTES + 1);
      size_t size;

      if (code != CMK_EXIT_DONE)
        return code;
      is_last = in->ahead.size <= SEALED_CHUNK_BYTES;
      size = is_last ? in->ahead.size : SEALED_CHUNK_BYTES;
      if (size < CMK_ENVELOPE_TAG_BYTES + (is_first ? 0u : 1u) ||
          !module->open (cipher, in->ahead.data, size - CMK_ENVELOPE_TAG_BYTES, is_last, data.data))
        return fail_as_altered (in);
      use_up (in, size);
      code = cmk_output_file_write (out, data.data, size - CMK_ENVELOPE_TAG_BYTES);
      if (code != CMK_EXIT_DONE)
        return code;
    }
  return CMK_EXIT_DONE;
}

int
cmk_envelope_encrypt (CmkInputFile *in, CmkOutputFile *out, const char *data_key, const char *blob)
{
  const CmkEnvelopeModule *module;
  CmkEnvelopeCipher *cipher;
  int code = open_cipher (data_key, true, &module, &cipher, in->commitment);

  if (code != CMK_EXIT_DONE)
    return code;
  cmk_progress_begin ("encrypting", CMK_PROGRESS_BYTES, in->size);
  code = write_header (out, in->commitment, blob);
  if (code == CMK_EXIT_DONE)
    code = seal_chunks (module, cipher, in, out);
  cmk_progress_end ();
  module->destroy (cipher);
  return code;
}

int
cmk_envelope_decrypt (CmkInputFile *in, CmkOutputFile *out, const char *data_key)
{
  const CmkEnvelopeModule *module;
  CmkEnvelopeCipher *cipher;
  uint8_t commitment[CMK_ENVELOPE_COMMITMENT_BYTES];
  int code = open_cipher (data_key, false, &module, &cipher, commitment);

  if (code != CMK_EXIT_DONE)
    return code;
  cmk_progress_begin ("decrypting", CMK_PROGRESS_BYTES, in->size);
  code = module->equal (commitment, in->commitment, sizeof commitment) ? open_chunks (module, cipher, in, out)
                                                                       : fail_as_altered (in);
  cmk_progress_end ();
  module->destroy (cipher);
  return code;
}

int
cmk_envelope_replace_blob (CmkInputFile *in, CmkOutputFile *out, const char *blob)
{
  int code = write_header (out, in->commitment, blob);

  cmk_progress_begin ("copying", CMK_PROGRESS_BYTES, in->size);
  while (code == CMK_EXIT_DONE)
    {
      code = look_ahead (in, CMK_ENVELOPE_CHUNK_BYTES);
      if (code != CMK_EXIT_DONE || in->ahead.size == 0)
        break;
      code = cmk_output_file_write (out, in->ahead.data, in->ahead.size);
      use_up (in, in->ahead.size);
    }
  cmk_progress_end ();
  return code;
}
