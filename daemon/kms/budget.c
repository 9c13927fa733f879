/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/budget.h"

#include "base/error.h"

/* Full buckets are forgotten at each charge of a new one past this number. */
#define SWEEP_ABOVE 1024

static const CmkUuid no_key;

/* What is left is kept in microseconds of refilling, so that time is added as it is. */
typedef struct
{
  CmkUuid key_id; /* no_key: of all */
  guint32 uid;
  gint64 left;
  gint64 filled_at;
} Bucket;

struct _CmkBudgets
{
  GMutex mutex;
  GHashTable *buckets; /* the Bucket itself, by key id and uid */
  gint64 period;
  gint64 cost; /* of one */
  const char *excess;
  const char *setting;
};

static guint
hash_bucket (gconstpointer data)
{
  const Bucket *bucket = data;
  return cmk_uuid_hash (&bucket->key_id) ^ bucket->uid;
}

static gboolean
equal_buckets (gconstpointer a, gconstpointer b)
{
  const Bucket *first = a, *second = b;
  return first->uid == second->uid && cmk_uuid_equal (&first->key_id, &second->key_id);
}

CmkBudgets *
cmk_budgets_new (guint number, gint64 period, const char *excess, const char *setting)
{
  CmkBudgets *budgets = g_new0 (CmkBudgets, 1);
  g_mutex_init (&budgets->mutex);
  budgets->buckets = g_hash_table_new_full (hash_bucket, equal_buckets, g_free, NULL);
  budgets->period = period;
  budgets->cost = number > 0 ? period / number : 0;
  budgets->excess = excess;
  budgets->setting = setting;
  return budgets;
}

void
cmk_budgets_free (CmkBudgets *budgets)
{
  if (budgets == NULL)
    return;
  g_hash_table_unref (budgets->buckets);
  g_mutex_clear (&budgets->mutex);
  g_free (budgets);
}

static void
refill (const CmkBudgets *budgets, Bucket *bucket, gint64 now)
{
  bucket->left = MIN (bucket->left + (now - bucket->filled_at), budgets->period);
  bucket->filled_at = now;
}

static void
forget_full (CmkBudgets *budgets, gint64 now)
{
  GHashTableIter iter;
  gpointer bucket;
  g_hash_table_iter_init (&iter, budgets->buckets);
  while (g_hash_table_iter_next (&iter, &bucket, NULL))
    {
      refill (budgets, bucket, now);
      if (((const Bucket *) bucket)->left == budgets->period)
        g_hash_table_iter_remove (&iter);
    }
}

static Bucket *
find_bucket (CmkBudgets *budgets, const CmkUuid *key_id, guint32 uid)
{
  const Bucket wanted = { .key_id = key_id != NULL ? *key_id : no_key, .uid = uid };
  return g_hash_table_lookup (budgets->buckets, &wanted);
}

static Bucket *
ensure_bucket (CmkBudgets *budgets, const CmkUuid *key_id, guint32 uid, gint64 now)
{
  Bucket *bucket = find_bucket (budgets, key_id, uid);
  if (bucket != NULL)
    return bucket;
  if (g_hash_table_size (budgets->buckets) >= SWEEP_ABOVE)
    forget_full (budgets, now);
  bucket = g_new (Bucket, 1);
  *bucket = (Bucket) {
    .key_id = key_id != NULL ? *key_id : no_key,
    .uid = uid,
    .left = budgets->period,
    .filled_at = now,
  };
  g_hash_table_add (budgets->buckets, bucket);
  return bucket;
}

gboolean
cmk_budgets_charge (CmkBudgets *budgets, const CmkUuid *key_id, guint32 uid, gint64 now, GError **error)
{
  if (budgets->cost == 0)
    return TRUE;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&budgets->mutex);
  Bucket *bucket = ensure_bucket (budgets, key_id, uid, now);
  refill (budgets, bucket, now);
  if (bucket->left >= budgets->cost)
    {
      bucket->left -= budgets->cost;
      return TRUE;
    }
  gint64 unit = budgets->period > G_TIME_SPAN_SECOND ? G_TIME_SPAN_SECOND : G_TIME_SPAN_MILLISECOND;
  g_set_error (error, CMK_ERROR, CMK_ERROR_THROTTLED,
               "%s: try again in %" G_GINT64_FORMAT " %s; an administrator can raise %s= in cmkd.conf", budgets->excess,
               (budgets->cost - bucket->left + unit - 1) / unit,
               unit == G_TIME_SPAN_SECOND ? "seconds" : "milliseconds", budgets->setting);
  return FALSE;
}

gboolean
cmk_budgets_any_used (CmkBudgets *budgets, gint64 now)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&budgets->mutex);
  forget_full (budgets, now);
  return g_hash_table_size (budgets->buckets) > 0;
}

void
cmk_budgets_refund (CmkBudgets *budgets, const CmkUuid *key_id, guint32 uid)
{
  if (budgets->cost == 0)
    return;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&budgets->mutex);
  Bucket *bucket = find_bucket (budgets, key_id, uid);
  if (bucket != NULL)
    bucket->left = MIN (bucket->left + budgets->cost, budgets->period);
}
