/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base64.h"

void
cmk_require_memory (bool is_there)
{
  if (is_there)
    return;
  fputs ("cmkctl: out of memory\n", stderr);
  abort ();
}

CmkBuffer
cmk_buffer_new (size_t capacity)
{
  CmkBuffer buffer = { .capacity = capacity };
  void *pages = mmap (NULL, capacity + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  cmk_require_memory (pages != MAP_FAILED);

  /* Best effort: the limit on locked memory may be zero. */
  (void) mlock (pages, capacity + 1);
  (void) madvise (pages, capacity + 1, MADV_DONTDUMP);
  (void) madvise (pages, capacity + 1, MADV_WIPEONFORK);

  buffer.data = pages;
  return buffer;
}

void
cmk_buffer_clear (CmkBuffer *buffer)
{
  if (buffer->data == NULL)
    return;
  explicit_bzero (buffer->data, buffer->capacity + 1);
  munmap (buffer->data, buffer->capacity + 1);
  *buffer = (CmkBuffer) { 0 };
}

CmkBuffer
cmk_buffer_encode (const CmkBuffer *data)
{
  CmkBuffer text = cmk_buffer_new (CMK_BASE64_CHARS (data->size));

  cmk_base64_encode (data->data, data->size, (char *) text.data);
  text.size = text.capacity;
  return text;
}

void *
cmk_allocate (size_t size)
{
  void *memory = malloc (size > 0 ? size : 1);

  cmk_require_memory (memory != NULL);
  return memory;
}

void *
cmk_reallocate (void *memory, size_t size)
{
  void *moved = realloc (memory, size > 0 ? size : 1);

  cmk_require_memory (moved != NULL);
  return moved;
}

char *
cmk_duplicate (const char *text)
{
  char *copy = strdup (text);

  cmk_require_memory (copy != NULL);
  return copy;
}

void
cmk_freep (char **text)
{
  free (*text);
}
