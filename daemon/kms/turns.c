/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/turns.h"

typedef struct
{
  guint32 who;
  GQueue queue;
} OwnQueue;

struct _CmkTurns
{
  GQueue in_turn;     /* OwnQueue, none of them empty, next in turn first */
  GHashTable *by_who; /* these */
};

CmkTurns *
cmk_turns_new (void)
{
  CmkTurns *turns = g_new (CmkTurns, 1);
  g_queue_init (&turns->in_turn);
  turns->by_who = g_hash_table_new (NULL, NULL);
  return turns;
}

static void
free_own (gpointer data)
{
  OwnQueue *own = data;
  g_queue_clear (&own->queue);
  g_free (own);
}

void
cmk_turns_free (CmkTurns *turns)
{
  g_queue_clear_full (&turns->in_turn, free_own);
  g_hash_table_unref (turns->by_who);
  g_free (turns);
}

void
cmk_turns_add (CmkTurns *turns, guint32 who, gpointer data)
{
  OwnQueue *own = g_hash_table_lookup (turns->by_who, GUINT_TO_POINTER (who));
  if (own == NULL)
    {
      own = g_new0 (OwnQueue, 1);
      own->who = who;
      g_queue_init (&own->queue);
      g_queue_push_tail (&turns->in_turn, own);
      g_hash_table_insert (turns->by_who, GUINT_TO_POINTER (who), own);
    }
  g_queue_push_tail (&own->queue, data);
}

gpointer
cmk_turns_take (CmkTurns *turns)
{
  OwnQueue *own = g_queue_pop_head (&turns->in_turn);
  if (own == NULL)
    return NULL;
  gpointer data = g_queue_pop_head (&own->queue);
  if (!g_queue_is_empty (&own->queue))
    {
      g_queue_push_tail (&turns->in_turn, own);
      return data;
    }
  g_hash_table_remove (turns->by_who, GUINT_TO_POINTER (own->who));
  g_free (own);
  return data;
}

gboolean
cmk_turns_is_empty (CmkTurns *turns)
{
  return g_queue_is_empty (&turns->in_turn);
}
