/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread and its queue. Jobs are taken fairly: one of each user in turn, in the order in which each user's came.
 * There are two: the worker owns the TPM connection and the store, the calculator computes with what is cached, so that
 * a private key operation of milliseconds holds up neither the main loop nor whoever waits for the TPM. */
#pragma once

#include <glib.h>

typedef struct _CmkWorker CmkWorker;

/* The queue of the daemon's own errands, which takes its turn like a user's. No Linux uid has this value. */
#define CMK_WORKER_OWN_ERRANDS G_MAXUINT32

/* Runs on the thread. */
typedef void (*CmkJobFunc) (gpointer data);

CmkWorker *cmk_worker_start (const char *name);

/* Queue @run for @uid. Any thread. */
void cmk_worker_submit (CmkWorker *worker, guint32 uid, CmkJobFunc run, gpointer data);

/* Runs on the thread after each job; @is_idle: there is none that waits. */
typedef void (*CmkAfterJobFunc) (gpointer data, gboolean is_idle);

/* Before the first job. */
void cmk_worker_set_after_job (CmkWorker *worker, CmkAfterJobFunc after_job, gpointer data);

/* Run what is queued, then end the thread. */
void cmk_worker_stop (CmkWorker *worker);
