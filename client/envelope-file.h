/* SPDX-License-Identifier: Apache-2.0
 *
 * Envelope files: data of any size under a data key, which stands encrypted in the header. The format is that of
 * docs/envelope-file-format.md. One pass, and as much memory for a large file as for a small one. */
#pragma once

#include "buffer.h"
#include "output-file.h"

typedef struct CmkInputFile CmkInputFile;

/* The file @path to read, "-" for standard input. */
int cmk_input_file_open (const char *path, CmkInputFile **ret_file);

/* Cleanup for an owned CmkInputFile *, which may be NULL. */
void cmk_input_file_closep (CmkInputFile **file);

/* Read the header of the envelope file @in, of which the blob of the data key is for the caller, as Base64. The rest is
 * kept for the functions below. */
int cmk_envelope_read_header (CmkInputFile *in, CmkBuffer *ret_blob);

/* Encrypt all of @in to @out, under the data key @data_key, which decrypts from @blob; both are Base64. */
int cmk_envelope_encrypt (CmkInputFile *in, CmkOutputFile *out, const char *data_key, const char *blob);

/* Decrypt all that follows the header of @in to @out. What is written has been verified; that it is all of it is
 * certain only at the end. */
int cmk_envelope_decrypt (CmkInputFile *in, CmkOutputFile *out, const char *data_key);

/* Copy @in, its header read, to @out, and put @blob in the place of the one in its header. */
int cmk_envelope_replace_blob (CmkInputFile *in, CmkOutputFile *out, const char *blob);
