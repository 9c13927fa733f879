/* SPDX-License-Identifier: Apache-2.0
 *
 * One arena, locked once: the hot path takes and gives back several secrets per call, and a mapping of its own for each
 * would cost more than the cryptography. Blocks are halved and merged by the buddy rule, so that no burst of one size
 * can keep the arena from another. */
#include "base/secret.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT_BYTES  64
#define MAX_ORDER   16 /* 64 bytes << 16 = 4 MiB */
#define N_UNITS     (1u << MAX_ORDER)
#define ARENA_BYTES ((gsize) N_UNITS * UNIT_BYTES)
#define FREE        0x80

struct _CmkSecret
{
  gsize length;
  guint order; /* the block is UNIT_BYTES << order long */
  guint8 data[];
};

/* The head of a free block. */
typedef struct _FreeBlock FreeBlock;
struct _FreeBlock
{
  FreeBlock *next;
  FreeBlock *previous;
};

static struct
{
  GMutex mutex;
  guint8 *start;
  FreeBlock *free_blocks[MAX_ORDER + 1];
  guint8 state[N_UNITS]; /* by first unit of a block: FREE | order when free, else 0 */
} arena;

static FreeBlock *
block_at (guint unit)
{
  return (FreeBlock *) (arena.start + (gsize) unit * UNIT_BYTES);
}

static void
put_free (guint unit, guint order)
{
  FreeBlock *block = block_at (unit);
  block->previous = NULL;
  block->next = arena.free_blocks[order];
  if (block->next != NULL)
    block->next->previous = block;
  arena.free_blocks[order] = block;
  arena.state[unit] = (guint8) (FREE | order);
}

static void
take_free (guint unit, guint order)
{
  FreeBlock *block = block_at (unit);
  if (block->previous != NULL)
    block->previous->next = block->next;
  else
    arena.free_blocks[order] = block->next;
  if (block->next != NULL)
    block->next->previous = block->previous;
  memset (block, 0, sizeof *block);
  arena.state[unit] = 0;
}

gboolean
cmk_secret_init (GError **error)
{
  g_return_val_if_fail (arena.start == NULL, FALSE);
  void *mapping = mmap (NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || mlock (mapping, ARENA_BYTES) != 0 ||
      madvise (mapping, ARENA_BYTES, MADV_DONTDUMP) != 0 || madvise (mapping, ARENA_BYTES, MADV_WIPEONFORK) != 0)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL,
                   "cannot lock %" G_GSIZE_FORMAT " KiB of memory for secrets: %s; raise LimitMEMLOCK= (ulimit -l)",
                   ARENA_BYTES / 1024, g_strerror (errno));
      if (mapping != MAP_FAILED)
        munmap (mapping, ARENA_BYTES);
      return FALSE;
    }
  arena.start = mapping;
  put_free (0, MAX_ORDER);
  return TRUE;
}

/* A zeroed block, or NULL. */
static CmkSecret *
allocate (guint wanted)
{
  guint order = wanted;
  while (order <= MAX_ORDER && arena.free_blocks[order] == NULL)
    order++;
  if (order > MAX_ORDER)
    return NULL;
  guint unit = (guint) (((guint8 *) arena.free_blocks[order] - arena.start) / UNIT_BYTES);
  take_free (unit, order);
  while (order > wanted)
    {
      order--;
      put_free (unit + (1u << order), order);
    }
  return (CmkSecret *) block_at (unit);
}

static void
release (guint unit, guint order)
{
  while (order < MAX_ORDER && arena.state[unit ^ (1u << order)] == (FREE | order))
    {
      take_free (unit ^ (1u << order), order);
      unit &= ~(1u << order);
      order++;
    }
  put_free (unit, order);
}

CmkSecret *
cmk_secret_new (gsize length, GError **error)
{
  g_return_val_if_fail (arena.start != NULL && length > 0, NULL);
  guint order = 0;
  while (order <= MAX_ORDER && ((gsize) UNIT_BYTES << order) - sizeof (CmkSecret) < length)
    order++;

  CmkSecret *secret = NULL;
  if (order <= MAX_ORDER)
    {
      g_mutex_lock (&arena.mutex);
      secret = allocate (order);
      g_mutex_unlock (&arena.mutex);
    }
  if (secret == NULL)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_THROTTLED,
                           "no locked memory is left for another secret: too many calls are under way, try again");
      return NULL;
    }
  secret->length = length;
  secret->order = order;
  return secret;
}

CmkSecret *
cmk_secret_new_copy (const void *data, gsize length, GError **error)
{
  CmkSecret *secret = cmk_secret_new (length, error);
  if (secret != NULL)
    memcpy (secret->data, data, length);
  return secret;
}

void
cmk_secret_free (CmkSecret *secret)
{
  if (secret == NULL)
    return;
  guint order = secret->order;
  explicit_bzero (secret, sizeof (CmkSecret) + secret->length);
  g_mutex_lock (&arena.mutex);
  release ((guint) (((guint8 *) secret - arena.start) / UNIT_BYTES), order);
  g_mutex_unlock (&arena.mutex);
}

guint8 *
cmk_secret_data (CmkSecret *secret)
{
  return secret->data;
}

const guint8 *
cmk_secret_peek (const CmkSecret *secret)
{
  return secret->data;
}

gsize
cmk_secret_length (const CmkSecret *secret)
{
  return secret->length;
}

void
cmk_secret_shorten (CmkSecret *secret, gsize length)
{
  g_return_if_fail (length > 0 && length <= secret->length);
  explicit_bzero (secret->data + length, secret->length - length);
  secret->length = length;
}

gboolean
cmk_secret_equal (const CmkSecret *a, const CmkSecret *b)
{
  if (a->length != b->length)
    return FALSE;
  volatile guint8 difference = 0;
  for (gsize i = 0; i < a->length; i++)
    difference |= a->data[i] ^ b->data[i];
  return difference == 0;
}
