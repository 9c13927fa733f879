/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/account.h"

#include "base/error.h"

#include <errno.h>
#include <pwd.h>

static void
look_up (GTask *task, G_GNUC_UNUSED gpointer source, gpointer uid, G_GNUC_UNUSED GCancellable *cancellable)
{
  gsize size = 1024;
  for (;;)
    {
      g_autofree char *buffer = g_malloc (size);
      struct passwd entry, *found = NULL;
      int failure = getpwuid_r (GPOINTER_TO_UINT (uid), &entry, buffer, size, &found);
      if (found != NULL)
        g_task_return_pointer (task, g_strdup (entry.pw_name), g_free);
      else if (failure == 0 || failure == ENOENT || failure == ESRCH)
        g_task_return_pointer (task, g_strdup (""), g_free);
      else if (failure != ERANGE)
        g_task_return_new_error (task, CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                                 "the password database does not say whose the uid is (%s): nobody is served unknown; "
                                 "try again",
                                 g_strerror (failure));
      else
        {
          size *= 2;
          continue;
        }
      return;
    }
}

void
cmk_account_look_up (guint32 uid, GCancellable *cancellable, GAsyncReadyCallback done, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, done, user_data);
  g_task_set_task_data (task, GUINT_TO_POINTER (uid), NULL);
  if (uid == 0)
    g_task_return_pointer (task, g_strdup ("root"), g_free);
  else
    g_task_run_in_thread (task, look_up);
}

char *
cmk_account_look_up_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
