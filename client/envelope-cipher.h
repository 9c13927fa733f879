/* SPDX-License-Identifier: Apache-2.0
 *
 * The cryptography of envelope files (docs/envelope-file-format.md): the module cmkctl-envelope.so, which alone loads
 * libcrypto for it. */
#pragma once

#include "buffer.h"

#define CMK_ENVELOPE_DATA_KEY_BYTES   32
#define CMK_ENVELOPE_COMMITMENT_BYTES 32
#define CMK_ENVELOPE_CHUNK_BYTES      65536 /* of plaintext; the last one may have fewer */
#define CMK_ENVELOPE_TAG_BYTES        16    /* behind each chunk */

/* For the chunks of one file, in their order, in one direction. */
typedef struct CmkEnvelopeCipher CmkEnvelopeCipher;

typedef struct
{
  /* The cipher of the file with this data key, and what the header of the file must have to show that it is its key.
   * NULL if libcrypto fails. */
  CmkEnvelopeCipher *(*create) (const CmkBuffer *data_key, bool is_encrypting,
                                uint8_t ret_commitment[CMK_ENVELOPE_COMMITMENT_BYTES]);

  /* Encrypt the next @size bytes into @ret_chunk, which are as many and a tag. False if libcrypto fails. */
  bool (*seal) (CmkEnvelopeCipher *cipher, const uint8_t *data, size_t size, bool is_last, uint8_t *ret_chunk);

  /* Decrypt the next @size bytes and their tag. False if they are not what was sealed at this place: then what is in
   * @ret_data means nothing and must not get out. */
  bool (*open) (CmkEnvelopeCipher *cipher, const uint8_t *chunk, size_t size, bool is_last, uint8_t *ret_data);

  void (*destroy) (CmkEnvelopeCipher *cipher);

  /* In constant time. */
  bool (*equal) (const uint8_t *one, const uint8_t *other, size_t size);
} CmkEnvelopeModule;

#define CMK_ENVELOPE_MODULE_SYMBOL "cmk_envelope_module"

extern const CmkEnvelopeModule cmk_envelope_module;
