/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that owns the TPM connection and the store, and its queue. Jobs are taken fairly: one of each user
 * in turn, in the order in which each user's came. */
#pragma once

#include <glib.h>

typedef struct _CmkWorker CmkWorker;

/* The queue of the daemon's own errands, which takes its turn like a user's. No Linux uid has this value. */
#define CMK_WORKER_OWN_ERRANDS G_MAXUINT32

/* Runs on the worker thread. */
typedef void (*CmkJobFunc) (gpointer data);

CmkWorker *cmk_worker_start (void);

/* Queue @run for @uid. Any thread. */
void cmk_worker_submit (CmkWorker *worker, guint32 uid, CmkJobFunc run, gpointer data);

/* Run what is queued, then end the thread. */
void cmk_worker_stop (CmkWorker *worker);
