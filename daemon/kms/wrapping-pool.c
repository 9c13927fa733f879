/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/wrapping-pool.h"

#include "base/error.h"
#include "crypto/private-key.h"

#include <errno.h>
#include <sched.h>

#define N_SPECS             (CMK_WRAPPING_KEY_EC_SM2 + 1)
#define RETRY_AFTER_FAILURE (10 * G_USEC_PER_SEC)

typedef struct
{
  gboolean is_for_import;
  CmkUuid key_id; /* that will have an import set */
  guint32 uid;
  CmkPairReadyFunc ready;
  gpointer user_data;
  CmkWrappingPair *pair;
  GError *error;
} Waiter;

/* One of the two threads. */
typedef struct
{
  CmkWrappingPool *pool;
  GThread *thread;
  gboolean is_server;       /* for whoever waits; else to fill the shelves */
  guint in_making[N_SPECS]; /* generated or being sealed */
} Maker;

typedef struct
{
  GQueue ready;   /* CmkWrappingPair */
  GQueue waiters; /* Waiter */
  guint target;
  guint32 last_uid; /* whose turn it was last */
} Shelf;

struct _CmkWrappingPool
{
  CmkVault *vault;
  CmkWorker *worker;
  Maker filler;
  Maker server;
  GMutex mutex;
  GCond changed;
  Shelf shelves[N_SPECS];
  CmkWrappingKeySpec last_served;
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

/* The first waiter of another user than the one that was served last; else the first. */
static Waiter *
next_waiter (Shelf *shelf)
{
  GList *link = shelf->waiters.head;
  while (link != NULL && ((Waiter *) link->data)->uid == shelf->last_uid)
    link = link->next;
  if (link == NULL)
    link = shelf->waiters.head;
  Waiter *waiter = link->data;
  g_queue_delete_link (&shelf->waiters, link);
  shelf->last_uid = waiter->uid;
  return waiter;
}

/* Into the hands of who waits for @pair (taken), or on its shelf. */
static void
hand_out (CmkWrappingPool *pool, CmkWrappingPair *pair)
{
  Shelf *shelf = &pool->shelves[pair->spec];
  if (g_queue_is_empty (&shelf->waiters))
    g_queue_push_tail (&shelf->ready, pair);
  else
    post_answer (next_waiter (shelf), pair, NULL);
}

/* --- making --- */

typedef struct
{
  Maker *maker;
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

/* @maker has made @pair (taken) of @spec, or has failed with @error. */
static void
deliver (Maker *maker, CmkWrappingPair *pair, CmkWrappingKeySpec spec, const GError *error)
{
  CmkWrappingPool *pool = maker->pool;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  maker->in_making[spec]--;
  if (pair != NULL)
    hand_out (pool, pair);
  else if (!g_atomic_int_get (&pool->stopping))
    {
      g_warning ("no %s wrapping key could be made: %s", cmk_spec_name (cmk_wrapping_key_specs, (int) spec),
                 error->message);
      pool->filling_paused_until = g_get_monotonic_time () + RETRY_AFTER_FAILURE;
      fail_waiters (&pool->shelves[spec], error);
    }
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
  gboolean sealed = seal (sealing->maker->pool->vault, pair, private_key, &error);
  deliver (sealing->maker, sealed ? g_steal_pointer (&pair) : NULL, spec, error);
}

static Sealing *
generate (Maker *maker, CmkWrappingKeySpec spec, GError **error)
{
  g_autoptr (CmkPrivateKey) key =
      cmk_private_key_generate (cmk_wrapping_key_spec_key (spec), &maker->pool->stopping, error);
  g_autoptr (GBytes) public_key = key != NULL ? cmk_private_key_public_der (key, error) : NULL;
  CmkSecret *private_key = public_key != NULL ? cmk_private_key_encode (key, error) : NULL;
  if (private_key == NULL)
    return NULL;
  CmkWrappingPair *pair = g_new0 (CmkWrappingPair, 1);
  pair->id = cmk_uuid_new ();
  pair->spec = spec;
  pair->public_key = g_steal_pointer (&public_key);
  Sealing *sealing = g_new (Sealing, 1);
  *sealing = (Sealing) { .maker = maker, .pair = pair, .private_key = private_key };
  return sealing;
}

static void
make_one (Maker *maker, CmkWrappingKeySpec spec)
{
  g_autoptr (GError) error = NULL;
  Sealing *sealing = generate (maker, spec, &error);
  if (sealing == NULL)
    deliver (maker, NULL, spec, error);
  else
    cmk_worker_submit (maker->pool->worker, CMK_WORKER_OWN_ERRANDS, run_seal, sealing);
}

/* The server does not count on the filler, which may not get the processor for a long time. */
static gboolean
needs_one (const Maker *maker, CmkWrappingKeySpec spec)
{
  const CmkWrappingPool *pool = maker->pool;
  const Shelf *shelf = &pool->shelves[spec];
  if (maker->is_server)
    return shelf->waiters.length > maker->in_making[spec];
  return g_get_monotonic_time () >= pool->filling_paused_until &&
         shelf->ready.length + maker->in_making[spec] < shelf->target;
}

/* The specs in turn for whoever waits; the smallest first to fill, since it is asked for most. 0 = nothing to do. */
static CmkWrappingKeySpec
next_spec (Maker *maker)
{
  CmkWrappingPool *pool = maker->pool;
  for (guint i = 0; i < N_SPECS - 1; i++)
    {
      guint first = maker->is_server ? pool->last_served : 0;
      CmkWrappingKeySpec spec = (CmkWrappingKeySpec) (CMK_WRAPPING_KEY_RSA_2048 + (first + i) % (N_SPECS - 1));
      if (!needs_one (maker, spec))
        continue;
      if (maker->is_server)
        pool->last_served = spec;
      return spec;
    }
  return 0;
}

static gpointer
make_pairs (gpointer data)
{
  Maker *maker = data;
  CmkWrappingPool *pool = maker->pool;
  struct sched_param parameters = { 0 };
  if (!maker->is_server && sched_setscheduler (0, SCHED_IDLE, &parameters) != 0)
    g_message ("wrapping keys are made ahead at normal priority: %s", g_strerror (errno));
  g_mutex_lock (&pool->mutex);
  while (!g_atomic_int_get (&pool->stopping))
    {
      CmkWrappingKeySpec spec = next_spec (maker);
      if (spec == 0 && g_get_monotonic_time () < pool->filling_paused_until)
        g_cond_wait_until (&pool->changed, &pool->mutex, pool->filling_paused_until);
      else if (spec == 0)
        g_cond_wait (&pool->changed, &pool->mutex);
      else
        {
          maker->in_making[spec]++;
          g_mutex_unlock (&pool->mutex);
          make_one (maker, spec);
          g_mutex_lock (&pool->mutex);
        }
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
      pool->shelves[spec].last_uid = CMK_WORKER_OWN_ERRANDS;
    }
  pool->filler = (Maker) { .pool = pool };
  pool->server = (Maker) { .pool = pool, .is_server = TRUE };
  pool->filler.thread = g_thread_new ("pair-filler", make_pairs, &pool->filler);
  pool->server.thread = g_thread_new ("pair-server", make_pairs, &pool->server);
  return pool;
}

void
cmk_wrapping_pool_stop (CmkWrappingPool *pool)
{
  g_autoptr (GError) error = g_error_new_literal (CMK_ERROR, CMK_ERROR_THROTTLED,
                                                  "cmkd is stopping before a wrapping key was ready: call again");
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  g_atomic_int_set (&pool->stopping, TRUE);
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    fail_waiters (&pool->shelves[spec], error);
  g_cond_broadcast (&pool->changed);
}

void
cmk_wrapping_pool_join (CmkWrappingPool *pool)
{
  g_thread_join (pool->filler.thread);
  g_thread_join (pool->server.thread);
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
cmk_wrapping_pool_give_back (CmkWrappingPool *pool, CmkWrappingPair *pair)
{
  if (pair == NULL)
    return;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  hand_out (pool, pair);
}

void
cmk_wrapping_pool_discard (CmkWrappingPool *pool)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    g_queue_clear_full (&pool->shelves[spec].ready, (GDestroyNotify) cmk_wrapping_pair_free);
  pool->filling_paused_until = 0;
  g_cond_broadcast (&pool->changed);
}

void
cmk_wrapping_pool_wait (CmkWrappingPool *pool, CmkWrappingKeySpec spec, const CmkUuid *key_id, guint32 uid,
                        CmkPairReadyFunc ready, gpointer user_data)
{
  Waiter *waiter = g_new (Waiter, 1);
  *waiter = (Waiter) { .is_for_import = key_id != NULL, .uid = uid, .ready = ready, .user_data = user_data };
  if (key_id != NULL)
    waiter->key_id = *key_id;

  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  Shelf *shelf = &pool->shelves[spec];
  CmkWrappingPair *pair = g_queue_pop_head (&shelf->ready);
  if (pair != NULL)
    post_answer (waiter, pair, NULL);
  else if (g_atomic_int_get (&pool->stopping))
    post_answer (waiter, NULL, g_error_new_literal (CMK_ERROR, CMK_ERROR_THROTTLED, "cmkd is stopping: call again"));
  else
    g_queue_push_tail (&shelf->waiters, waiter);
  g_cond_broadcast (&pool->changed);
}

void
cmk_wrapping_pool_count_waiting (CmkWrappingPool *pool, const CmkUuid *key_id, guint32 uid, guint *ret_for_key,
                                 guint *ret_of_uid)
{
  guint for_key = 0, of_uid = 0;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  for (CmkWrappingKeySpec spec = CMK_WRAPPING_KEY_RSA_2048; spec < N_SPECS; spec++)
    for (const GList *link = pool->shelves[spec].waiters.head; link != NULL; link = link->next)
      {
        const Waiter *waiter = link->data;
        if (!waiter->is_for_import)
          continue;
        for_key += cmk_uuid_equal (&waiter->key_id, key_id);
        of_uid += waiter->uid == uid;
      }
  *ret_for_key = for_key;
  *ret_of_uid = of_uid;
}

guint
cmk_wrapping_pool_ready (CmkWrappingPool *pool, CmkWrappingKeySpec spec)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pool->mutex);
  return pool->shelves[spec].ready.length;
}
