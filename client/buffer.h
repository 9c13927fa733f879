/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for what may be secret: pages of its own, locked and kept out of core dumps as far as the system lets us,
 * wiped before they are given back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct
{
  uint8_t *data;
  size_t size;     /* bytes in use */
  size_t capacity; /* bytes there are; one more is always there and zero, so that text is NUL-terminated */
} CmkBuffer;

/* An empty buffer with room for @capacity bytes. Ends the program when there is no memory. */
CmkBuffer cmk_buffer_new (size_t capacity);

/* Wipe and free; @buffer may be zero-initialised. For __attribute__ ((cleanup)). */
void cmk_buffer_clear (CmkBuffer *buffer);

/* The canonical Base64 of @data as a text in a buffer. */
CmkBuffer cmk_buffer_encode (const CmkBuffer *data);

/* End the program, with a word on stderr, if an allocation gave nothing: there is nothing a client could still do. */
void cmk_require_memory (bool is_there);

/* Like malloc(), realloc() and strdup(), but end the program when there is no memory. */
void *cmk_allocate (size_t size);
void *cmk_reallocate (void *memory, size_t size);
char *cmk_duplicate (const char *text);

#define _cleanup_(function) __attribute__ ((cleanup (function)))

/* Cleanup for a char * that is owned. */
void cmk_freep (char **text);
