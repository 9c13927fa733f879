/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/turns.h"

typedef struct
{
  guint32 uid;
  GQueue queue;
} UserQueue;

struct _CmkTurns
{
  GQueue users; /* UserQueue, none of them empty, next in turn first */
};

CmkTurns *
cmk_turns_new (void)
{
  CmkTurns *turns = g_new (CmkTurns, 1);
  g_queue_init (&turns->users);
  return turns;
}

static void
free_user (gpointer data)
{
  UserQueue *user = data;
  g_queue_clear (&user->queue);
  g_free (user);
}

void
cmk_turns_free (CmkTurns *turns)
{
  g_queue_clear_full (&turns->users, free_user);
  g_free (turns);
}

static gint
compare_uid (gconstpointer user, gconstpointer uid)
{
  return ((const UserQueue *) user)->uid != GPOINTER_TO_UINT (uid);
}

void
cmk_turns_add (CmkTurns *turns, guint32 uid, gpointer data)
{
  GList *link = g_queue_find_custom (&turns->users, GUINT_TO_POINTER (uid), compare_uid);
  UserQueue *user = link != NULL ? link->data : NULL;
  if (user == NULL)
    {
      user = g_new0 (UserQueue, 1);
      user->uid = uid;
      g_queue_init (&user->queue);
      g_queue_push_tail (&turns->users, user);
    }
  g_queue_push_tail (&user->queue, data);
}

gpointer
cmk_turns_take (CmkTurns *turns)
{
  UserQueue *user = g_queue_pop_head (&turns->users);
  if (user == NULL)
    return NULL;
  gpointer data = g_queue_pop_head (&user->queue);
  if (g_queue_is_empty (&user->queue))
    g_free (user);
  else
    g_queue_push_tail (&turns->users, user);
  return data;
}

gboolean
cmk_turns_is_empty (CmkTurns *turns)
{
  return g_queue_is_empty (&turns->users);
}
