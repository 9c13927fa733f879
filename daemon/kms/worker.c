/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/worker.h"

#include "kms/turns.h"

typedef struct
{
  CmkJobFunc run;
  gpointer data;
} Job;

struct _CmkWorker
{
  GThread *thread;
  GMutex mutex;
  GCond work_or_stop;
  CmkTurns *turns; /* of Job */
  gboolean stopping;
  CmkAfterJobFunc after_job;
  gpointer after_job_data;
};

static void
run_job (CmkWorker *worker, Job *job)
{
  g_mutex_unlock (&worker->mutex);
  job->run (job->data);
  g_mutex_lock (&worker->mutex);
  gboolean is_idle = cmk_turns_is_empty (worker->turns);
  if (worker->after_job == NULL)
    return;
  g_mutex_unlock (&worker->mutex);
  worker->after_job (worker->after_job_data, is_idle);
  g_mutex_lock (&worker->mutex);
}

static gpointer
work (gpointer data)
{
  CmkWorker *worker = data;
  g_mutex_lock (&worker->mutex);
  while (TRUE)
    {
      g_autofree Job *job = cmk_turns_take (worker->turns);
      if (job == NULL && worker->stopping)
        break;
      if (job == NULL)
        g_cond_wait (&worker->work_or_stop, &worker->mutex);
      else
        run_job (worker, job);
    }
  g_mutex_unlock (&worker->mutex);
  return NULL;
}

CmkWorker *
cmk_worker_start (const char *name)
{
  CmkWorker *worker = g_new0 (CmkWorker, 1);
  g_mutex_init (&worker->mutex);
  g_cond_init (&worker->work_or_stop);
  worker->turns = cmk_turns_new ();
  worker->thread = g_thread_new (name, work, worker);
  return worker;
}

void
cmk_worker_set_after_job (CmkWorker *worker, CmkAfterJobFunc after_job, gpointer data)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&worker->mutex);
  worker->after_job = after_job;
  worker->after_job_data = data;
}

void
cmk_worker_submit (CmkWorker *worker, guint32 uid, CmkJobFunc run, gpointer data)
{
  Job *job = g_new (Job, 1);
  *job = (Job) { .run = run, .data = data };

  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&worker->mutex);
  cmk_turns_add (worker->turns, uid, job);
  g_cond_signal (&worker->work_or_stop);
}

void
cmk_worker_stop (CmkWorker *worker)
{
  if (worker == NULL)
    return;
  g_mutex_lock (&worker->mutex);
  worker->stopping = TRUE;
  g_cond_signal (&worker->work_or_stop);
  g_mutex_unlock (&worker->mutex);
  g_thread_join (worker->thread);
  cmk_turns_free (worker->turns);
  g_cond_clear (&worker->work_or_stop);
  g_mutex_clear (&worker->mutex);
  g_free (worker);
}
