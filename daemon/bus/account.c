/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/account.h"

#include "base/error.h"

#include <errno.h>
#include <pwd.h>

/* Most clients give up after 25; and the end of cmkd waits for nobody long. */
#define SECONDS        5
#define SECONDS_AT_END 1

/* Threads, which the unit has 64 of in all. */
#define MAX_UNDER_WAY 32

/* One thread, and all who wait for what it finds. It may hang for as long as a directory does, and outlive them all. */
typedef struct
{
  guint32 asker; /* whose thread it is */
  guint32 uid;
  GPtrArray *questions; /* Question; owned; main loop */
  char *name;           /* what the thread found; NULL: nothing */
  int failure;          /* errno of that */
} LookUp;

typedef struct
{
  LookUp *look_up;
  GTask *task;
  guint timer;
} Question;

/* Main loop. */
static GPtrArray *under_way; /* LookUp */
static guint patience = SECONDS;

/* --- on the thread --- */

static int
read_name (guint32 uid, char **ret_name)
{
  for (gsize size = 1024;; size *= 2)
    {
      g_autofree char *buffer = g_malloc (size);
      struct passwd entry, *found = NULL;
      int failure = getpwuid_r (uid, &entry, buffer, size, &found);
      if (failure == ERANGE)
        continue;
      if (found != NULL && *found->pw_name != '\0')
        *ret_name = g_strdup (found->pw_name);
      return failure;
    }
}

static gboolean on_found (gpointer data);

static gpointer
find_name (gpointer data)
{
  LookUp *look_up = data;
  look_up->failure = read_name (look_up->uid, &look_up->name);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_found, look_up, NULL);
  return NULL;
}

/* --- on the main loop --- */

static void
free_question (gpointer data)
{
  Question *question = data;
  if (question->timer != 0)
    g_source_remove (question->timer);
  g_object_unref (question->task);
  g_free (question);
}

static void
answer (const LookUp *look_up, GTask *task)
{
  int failure = look_up->failure;
  if (look_up->name != NULL)
    g_task_return_pointer (task, g_strdup (look_up->name), g_free);
  else if (failure == 0 || failure == ENOENT || failure == ESRCH)
    g_task_return_new_error (task, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                             "the system knows no account for this uid now");
  else
    g_task_return_new_error (task, CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                             "the password database does not say whose the uid is (%s): try again",
                             g_strerror (failure));
}

static void
free_look_up (LookUp *look_up)
{
  g_ptr_array_unref (look_up->questions);
  g_free (look_up->name);
  g_free (look_up);
}

static gboolean
on_found (gpointer data)
{
  LookUp *look_up = data;
  g_ptr_array_remove_fast (under_way, look_up);
  for (guint i = 0; i < look_up->questions->len; i++)
    answer (look_up, ((Question *) look_up->questions->pdata[i])->task);
  free_look_up (look_up);
  return G_SOURCE_REMOVE;
}

static gboolean
on_deadline (gpointer data)
{
  Question *question = data;
  question->timer = 0;
  g_task_return_new_error (question->task, CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                           "the password database did not say within %u seconds whose the uid is: try again", patience);
  g_ptr_array_remove (question->look_up->questions, question);
  return G_SOURCE_REMOVE;
}

/* The one for @uid; or else that which @asker has under way for another uid than his own, if that is what he asks. */
static LookUp *
find_under_way (guint32 asker, guint32 uid)
{
  LookUp *of_asker = NULL;
  for (guint i = 0; i < under_way->len; i++)
    {
      LookUp *look_up = under_way->pdata[i];
      if (look_up->uid == uid)
        return look_up;
      if (asker != uid && look_up->asker == asker && look_up->uid != asker)
        of_asker = look_up;
    }
  return of_asker;
}

static LookUp *
start (guint32 asker, guint32 uid, GError **error)
{
  if (under_way->len >= MAX_UNDER_WAY)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_THROTTLED,
                           "the password database is slow to say who others are: try again");
      return NULL;
    }
  LookUp *look_up = g_new0 (LookUp, 1);
  look_up->asker = asker;
  look_up->uid = uid;
  look_up->questions = g_ptr_array_new_with_free_func (free_question);
  GThread *thread = g_thread_try_new ("account", find_name, look_up, error);
  if (thread == NULL)
    {
      free_look_up (look_up);
      return NULL;
    }
  g_thread_unref (thread);
  g_ptr_array_add (under_way, look_up);
  return look_up;
}

static void
set_deadline (Question *question)
{
  if (question->timer != 0)
    g_source_remove (question->timer);
  question->timer = g_timeout_add_seconds (patience, on_deadline, question);
}

static void
ask (LookUp *look_up, GTask *task)
{
  Question *question = g_new0 (Question, 1);
  *question = (Question) { .look_up = look_up, .task = g_object_ref (task) };
  set_deadline (question);
  g_ptr_array_add (look_up->questions, question);
}

static void
hurry_question (gpointer question, G_GNUC_UNUSED gpointer data)
{
  set_deadline (question);
}

void
cmk_account_hurry (void)
{
  patience = SECONDS_AT_END;
  for (guint i = 0; under_way != NULL && i < under_way->len; i++)
    g_ptr_array_foreach (((LookUp *) under_way->pdata[i])->questions, hurry_question, NULL);
}

void
cmk_account_look_up (guint32 asker, guint32 uid, GCancellable *cancellable, GAsyncReadyCallback done,
                     gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, done, user_data);
  g_autoptr (GError) error = NULL;
  if (uid == 0)
    {
      g_task_return_pointer (task, g_strdup ("root"), g_free);
      return;
    }
  if (under_way == NULL)
    under_way = g_ptr_array_new ();
  LookUp *look_up = find_under_way (asker, uid);
  if (look_up == NULL)
    look_up = start (asker, uid, &error);
  if (look_up == NULL)
    g_task_return_new_error (task, CMK_ERROR, CMK_ERROR_THROTTLED, "the account cannot be looked up: %s",
                             error->message);
  else if (look_up->uid != uid)
    g_task_return_new_error (task, CMK_ERROR, CMK_ERROR_THROTTLED,
                             "the account of another uid is being looked up for you: wait for it, then try again");
  else
    ask (look_up, task);
}

char *
cmk_account_look_up_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
