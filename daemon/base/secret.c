/* SPDX-License-Identifier: Apache-2.0
 *
 * One arena, locked once, cut into power-of-two slots: the hot path takes and gives back several secrets per call,
 * and a mapping of its own for each would cost more than the cryptography. */
#include "base/secret.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES    (4 * 1024 * 1024)
#define SMALLEST_SHIFT 6  /* 64-byte slots */
#define LARGEST_SHIFT  14 /* 16 KiB slots: the Base64 of the longest plaintext */
#define N_CLASSES      (LARGEST_SHIFT - SMALLEST_SHIFT + 1)

struct _CmkSecret
{
  gsize length;
  guint size_class;
  guint8 data[];
};

typedef struct _FreeSlot FreeSlot;
struct _FreeSlot
{
  FreeSlot *next;
};

static struct
{
  GMutex mutex;
  guint8 *start;
  gsize used;
  FreeSlot *free_slots[N_CLASSES];
} arena;

gboolean
cmk_secret_init (GError **error)
{
  g_return_val_if_fail (arena.start == NULL, FALSE);
  void *mapping = mmap (NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || mlock (mapping, ARENA_BYTES) != 0 ||
      madvise (mapping, ARENA_BYTES, MADV_DONTDUMP) != 0 || madvise (mapping, ARENA_BYTES, MADV_WIPEONFORK) != 0)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INTERNAL,
                   "cannot lock %d KiB of memory for secrets: %s; raise LimitMEMLOCK= (ulimit -l)", ARENA_BYTES / 1024,
                   g_strerror (errno));
      if (mapping != MAP_FAILED)
        munmap (mapping, ARENA_BYTES);
      return FALSE;
    }
  arena.start = mapping;
  return TRUE;
}

static gsize
slot_bytes (guint size_class)
{
  return (gsize) 1 << (SMALLEST_SHIFT + size_class);
}

CmkSecret *
cmk_secret_new (gsize length, GError **error)
{
  g_return_val_if_fail (arena.start != NULL && length > 0, NULL);
  guint size_class = 0;
  while (size_class < N_CLASSES && slot_bytes (size_class) < sizeof (CmkSecret) + length)
    size_class++;

  CmkSecret *secret = NULL;
  if (size_class < N_CLASSES)
    {
      g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&arena.mutex);
      if (arena.free_slots[size_class] != NULL)
        {
          secret = (CmkSecret *) arena.free_slots[size_class];
          arena.free_slots[size_class] = arena.free_slots[size_class]->next;
          memset (secret, 0, sizeof (FreeSlot));
        }
      else if (ARENA_BYTES - arena.used >= slot_bytes (size_class))
        {
          secret = (CmkSecret *) (arena.start + arena.used);
          arena.used += slot_bytes (size_class);
        }
    }
  if (secret == NULL)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_THROTTLED,
                           "no locked memory is left for another secret: too many calls are under way, try again");
      return NULL;
    }
  secret->length = length;
  secret->size_class = size_class;
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
  guint size_class = secret->size_class;
  explicit_bzero (secret, sizeof (CmkSecret) + secret->length);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&arena.mutex);
  FreeSlot *slot = (FreeSlot *) secret;
  slot->next = arena.free_slots[size_class];
  arena.free_slots[size_class] = slot;
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
