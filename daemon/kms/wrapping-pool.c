/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/wrapping-pool.h"

#include "base/error.h"
#include "crypto/wrapping-key.h"

#include <errno.h>
#include <sched.h>

#define N_SPECS             (CMK_WRAPPING_KEY_RSA_4096 + 1)
#define RETRY_AFTER_FAILURE (10 * G_USEC_PER_SEC)

typedef struct
{
  CmkPairReadyFunc ready;
  gpointer user_data;
  CmkWrappingPair *pair;
  GError *error;
} Waiter;

typedef struct
{
  GQueue ready;    /* CmkWrappingPair */
  GQueue waiters;  /* Waiter */
  guint in_making; /* generated or being sealed */
  guint target;
} Shelf;

struct _CmkWrappingPool
{
  CmkVault *vault;
  CmkWorker *worker;
  GThread *filler;
  GThread *server;
  GMutex mutex;
  GCond changed;
  Shelf shelves[N_SPECS];
  gint64 filling_paused_until; /* monotonic: after a failure to seal */
  gint stopping;               /* atomic: read by the generator */
};

void
cmk_wrapping_pair_free (CmkWrappingPair *pair)
{
  if (pair == NULL)
    return;
  g_clear_pointer (&pair->public_key, g_bytes_unref);
  g_clear_pointer (&pair->sealed_key, g_bytes_unref);
  g_clear_pointer (&pair->envelope, g_bytes_unref);
  g_free (pair);
}

CmkSecretIdentity
cmk_wrapping_pair_identity (const CmkUuid *id, CmkWrappingKeySpec spec)
{
  return (CmkSecretIdentity) { .kind = CMK_SECRET_WRAPPING_KEY, .id = *id, .spec = spec };
}

/* --- handing out --- */

static gboolean
answer_waiter (gpointer data)
{
  Waiter *waiter = data;
  waiter->ready (g_steal_pointer (&waiter->pair), waiter->error, waiter->user_data);
  return G_SOURCE_REMOVE;
}

static void
free_waiter (gpointer data)
{
  Waiter *waiter = data;
  cmk_wrapping_pair_free (waiter->pair);
  g_clear_error (&waiter->error);
  g_free (waiter);
}

/* Takes @pair and @error. Never calls back from within: the caller holds the mutex. */
static void
post_answer (Waiter *waiter, CmkWrappingPair *pair, GError *error)
{
  waiter->pair = pair;
  waiter->error = error;
  g_idle_add_full (G_PRIORITY_DEFAULT, answer_waiter, waiter, free_waiter);
}

static void
fail_waiters (Shelf *shelf, const GError *error)
{
  Waiter *waiter;
  while ((waiter = g_queue_pop_head (&shelf->waiters)) != NULL)
    post_answer (waiter, NULL, g_error_copy (error));
}

/* --- making --- */

typedef struct
{
  CmkWrappingPool *pool;
  CmkWrappingPair *pair;
  CmkSecret *private_key;
} Sealing;

static gboolean
seal (CmkVault *vault, CmkWrappingPair *pair, const CmkSecret *private_key, GError **error)
{
  CmkSecretIdentity identity = cmk_wrapping_pair_identity (&pair->id, pair->spec);
  if (!cmk_vault_unlock (vault, error))
    return FALSE;
  g_autoptr (CmkTpmSession) session = cmk_vault_begin_session (vault, error);
  return session != NULL && cmk_vault_seal (vault, session, &identity, private_key, CMK_TPM_LAST, &pair->sealed_key,
                                            &pair->envelope, error);
}

/* Put a made @pair (taken) on its shelf, or into the hands of who waits for it; or say why there is none. */
static void
deliver (CmkWrappingPool *pool, CmkWrappingPair *pair, CmkWrappingKeySpec spec, const GError *error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  Shelf *shelf = &pool->shelves[spec];
  shelf->in_making--;
  if (pair == NULL && !pool->stopping)
    {
      g_warning ("no %s wrapping key could be made: %s", cmk_spec_name (cmk_wrapping_key_specs, (int) spec),
                 error->message);
      pool->filling_paused_until = g_get_monotonic_time () + RETRY_AFTER_FAILURE;
      fail_waiters (shelf, error);
    }
  else if (pair != NULL && !g_queue_is_empty (&shelf->waiters))
    post_answer (g_queue_pop_head (&shelf->waiters), pair, NULL);
  else if (pair != NULL)
    g_queue_push_tail (&shelf->ready, pair);
  g_cond_broadcast (&pool->changed);
}

static void
run_seal (gpointer data)
{
  g_autofree Sealing *sealing = data;
  g_autoptr (CmkWrappingPair) pair = sealing->pair;
  g_autoptr (CmkSecret) private_key = sealing->private_key;
  g_autoptr (GError) error = NULL;
  CmkWrappingKeySpec spec = pair->spec;
  gboolean sealed = seal (sealing->pool->vault, pair, private_key, &error);
  deliver (sealing->pool, sealed ? g_steal_pointer (&pair) : NULL, spec, error);
}

static Sealing *
generate (CmkWrappingPool *pool, CmkWrappingKeySpec spec, GError **error)
{
  g_autoptr (CmkWrappingKey) key = cmk_wrapping_key_generate (spec, &pool->stopping, error);
  g_autoptr (GBytes) public_key = key != NULL ? cmk_wrapping_key_public_der (key, error) : NULL;
  CmkSecret *private_key = public_key != NULL ? cmk_wrapping_key_encode (key, error) : NULL;
  if (private_key == NULL)
    return NULL;
  CmkWrappingPair *pair = g_new0 (CmkWrappingPair, 1);
  pair->id = cmk_uuid_new ();
  pair->spec = spec;
  pair->public_key = g_steal_pointer (&public_key);
  Sealing *sealing = g_new (Sealing, 1);
  *sealing = (Sealing) { .pool = pool, .pair = pair, .private_key = private_key };
  return sealing;
}

static void
make_one (CmkWrappingPool *pool, CmkWrappingKeySpec spec)
{
  g_autoptr (GError) error = NULL;
  Sealing *sealing = generate (pool, spec, &error);
  if (sealing == NULL)
    deliver (pool, NULL, spec, error);
  else
    cmk_worker_submit (pool->worker, CMK_WORKER_OWN_ERRANDS, run_seal, sealing);
}

static gboolean
is_awaited (const Shelf *shelf)
{
  return shelf->waiters.length > shelf->in_making;
}

static gboolean
is_short (const Shelf *shelf)
{
  return shelf->ready.length + shelf->in_making < shelf->target;
}

/* Smallest first: the pairs that are asked for most are ready soonest. 0 = nothing to do. */
static CmkWrappingKeySpec
next_spec (CmkWrappingPool *pool, gboolean (*needs_one) (const Shelf *))
{
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    if (needs_one (&pool->shelves[spec]))
      return spec;
  return 0;
}

static gpointer
serve_waiters (gpointer data)
{
  CmkWrappingPool *pool = data;
  g_mutex_lock (&pool->mutex);
  while (!pool->stopping)
    {
      CmkWrappingKeySpec spec = next_spec (pool, is_awaited);
      if (spec == 0)
        {
          g_cond_wait (&pool->changed, &pool->mutex);
          continue;
        }
      pool->shelves[spec].in_making++;
      g_mutex_unlock (&pool->mutex);
      make_one (pool, spec);
      g_mutex_lock (&pool->mutex);
    }
  g_mutex_unlock (&pool->mutex);
  return NULL;
}

static gpointer
fill_shelves (gpointer data)
{
  CmkWrappingPool *pool = data;
  struct sched_param parameters = { 0 };
  if (sched_setscheduler (0, SCHED_IDLE, &parameters) != 0)
    g_message ("wrapping keys are made ahead at normal priority: %s", g_strerror (errno));
  g_mutex_lock (&pool->mutex);
  while (!pool->stopping)
    {
      if (g_get_monotonic_time () < pool->filling_paused_until)
        {
          g_cond_wait_until (&pool->changed, &pool->mutex, pool->filling_paused_until);
          continue;
        }
      CmkWrappingKeySpec spec = next_spec (pool, is_short);
      if (spec == 0)
        {
          g_cond_wait (&pool->changed, &pool->mutex);
          continue;
        }
      pool->shelves[spec].in_making++;
      g_mutex_unlock (&pool->mutex);
      make_one (pool, spec);
      g_mutex_lock (&pool->mutex);
    }
  g_mutex_unlock (&pool->mutex);
  return NULL;
}

/* --- the pool --- */

CmkWrappingPool *
cmk_wrapping_pool_start (const CmkConfig *config, CmkVault *vault, CmkWorker *worker)
{
  CmkWrappingPool *pool = g_new0 (CmkWrappingPool, 1);
  pool->vault = vault;
  pool->worker = worker;
  g_mutex_init (&pool->mutex);
  g_cond_init (&pool->changed);
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    {
      g_queue_init (&pool->shelves[spec].ready);
      g_queue_init (&pool->shelves[spec].waiters);
      pool->shelves[spec].target = config->ready_pairs[spec];
    }
  pool->filler = g_thread_new ("pair-filler", fill_shelves, pool);
  pool->server = g_thread_new ("pair-server", serve_waiters, pool);
  return pool;
}

void
cmk_wrapping_pool_stop (CmkWrappingPool *pool)
{
  g_autoptr (GError) error = g_error_new_literal (CMK_ERROR, CMK_ERROR_THROTTLED,
                                                  "cmkd is stopping before a wrapping key was ready: call again");
  g_mutex_lock (&pool->mutex);
  g_atomic_int_set (&pool->stopping, TRUE);
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    fail_waiters (&pool->shelves[spec], error);
  g_cond_broadcast (&pool->changed);
  g_mutex_unlock (&pool->mutex);
}

void
cmk_wrapping_pool_join (CmkWrappingPool *pool)
{
  g_thread_join (pool->filler);
  g_thread_join (pool->server);
}

void
cmk_wrapping_pool_free (CmkWrappingPool *pool)
{
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    g_queue_clear_full (&pool->shelves[spec].ready, (GDestroyNotify) cmk_wrapping_pair_free);
  g_cond_clear (&pool->changed);
  g_mutex_clear (&pool->mutex);
  g_free (pool);
}

CmkWrappingPair *
cmk_wrapping_pool_take (CmkWrappingPool *pool, CmkWrappingKeySpec spec)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  CmkWrappingPair *pair = g_queue_pop_head (&pool->shelves[spec].ready);
  g_cond_broadcast (&pool->changed);
  return pair;
}

void
cmk_wrapping_pool_wait (CmkWrappingPool *pool, CmkWrappingKeySpec spec, CmkPairReadyFunc ready, gpointer user_data)
{
  Waiter *waiter = g_new0 (Waiter, 1);
  waiter->ready = ready;
  waiter->user_data = user_data;

  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  Shelf *shelf = &pool->shelves[spec];
  CmkWrappingPair *pair = g_queue_pop_head (&shelf->ready);
  if (pair != NULL)
    post_answer (waiter, pair, NULL);
  else if (pool->stopping)
    post_answer (waiter, NULL, g_error_new_literal (CMK_ERROR, CMK_ERROR_THROTTLED, "cmkd is stopping: call again"));
  else
    g_queue_push_tail (&shelf->waiters, waiter);
  g_cond_broadcast (&pool->changed);
}

guint
cmk_wrapping_pool_ready (CmkWrappingPool *pool, CmkWrappingKeySpec spec)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  return pool->shelves[spec].ready.length;
}
