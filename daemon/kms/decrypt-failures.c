/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/decrypt-failures.h"

#include "base/error.h"

/* Full buckets are forgotten at each charge of a new one past this number. */
#define SWEEP_ABOVE 1024

/* What is left is kept in microseconds of refilling, so that time is added as it is. */
typedef struct
{
  CmkUuid key_id;
  guint32 uid;
  gint64 left;
  gint64 filled_at;
} Bucket;

struct _CmkDecryptFailures
{
  GMutex mutex;
  GHashTable *buckets; /* the Bucket itself, by key id and uid */
  gint64 cost;         /* of one failure */
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

CmkDecryptFailures *
cmk_decrypt_failures_new (guint per_minute)
{
  CmkDecryptFailures *failures = g_new0 (CmkDecryptFailures, 1);
  g_mutex_init (&failures->mutex);
  failures->buckets = g_hash_table_new_full (hash_bucket, equal_buckets, g_free, NULL);
  failures->cost = per_minute > 0 ? G_TIME_SPAN_MINUTE / per_minute : 0;
  return failures;
}

void
cmk_decrypt_failures_free (CmkDecryptFailures *failures)
{
  if (failures == NULL)
    return;
  g_hash_table_unref (failures->buckets);
  g_mutex_clear (&failures->mutex);
  g_free (failures);
}

static void
refill (Bucket *bucket, gint64 now)
{
  bucket->left = MIN (bucket->left + (now - bucket->filled_at), G_TIME_SPAN_MINUTE);
  bucket->filled_at = now;
}

static gboolean
is_full (gpointer data, G_GNUC_UNUSED gpointer value, gpointer now)
{
  Bucket *bucket = data;
  refill (bucket, *(gint64 *) now);
  return bucket->left == G_TIME_SPAN_MINUTE;
}

static Bucket *
find_bucket (CmkDecryptFailures *failures, const CmkUuid *key_id, guint32 uid)
{
  const Bucket wanted = { .key_id = *key_id, .uid = uid };
  return g_hash_table_lookup (failures->buckets, &wanted);
}

static Bucket *
ensure_bucket (CmkDecryptFailures *failures, const CmkUuid *key_id, guint32 uid, gint64 now)
{
  Bucket *bucket = find_bucket (failures, key_id, uid);
  if (bucket != NULL)
    return bucket;
  if (g_hash_table_size (failures->buckets) >= SWEEP_ABOVE)
    g_hash_table_foreach_remove (failures->buckets, is_full, &now);
  bucket = g_new (Bucket, 1);
  *bucket = (Bucket) { .key_id = *key_id, .uid = uid, .left = G_TIME_SPAN_MINUTE, .filled_at = now };
  g_hash_table_add (failures->buckets, bucket);
  return bucket;
}

gboolean
cmk_decrypt_failures_charge (CmkDecryptFailures *failures, const CmkUuid *key_id, guint32 uid, gint64 now,
                             GError **error)
{
  if (failures->cost == 0)
    return TRUE;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&failures->mutex);
  Bucket *bucket = ensure_bucket (failures, key_id, uid, now);
  refill (bucket, now);
  if (bucket->left >= failures->cost)
    {
      bucket->left -= failures->cost;
      return TRUE;
    }
  gint64 seconds = (failures->cost - bucket->left + G_TIME_SPAN_SECOND - 1) / G_TIME_SPAN_SECOND;
  g_set_error (error, CMK_ERROR, CMK_ERROR_THROTTLED,
               "too many ciphertexts of yours could not be decrypted with this key: try again in %" G_GINT64_FORMAT
               " s; an administrator can raise DecryptFailuresPerMinute= in cmkd.conf",
               seconds);
  return FALSE;
}

gboolean
cmk_decrypt_failures_any (CmkDecryptFailures *failures, gint64 now)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&failures->mutex);
  g_hash_table_foreach_remove (failures->buckets, is_full, &now);
  return g_hash_table_size (failures->buckets) > 0;
}

void
cmk_decrypt_failures_refund (CmkDecryptFailures *failures, const CmkUuid *key_id, guint32 uid)
{
  if (failures->cost == 0)
    return;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&failures->mutex);
  Bucket *bucket = find_bucket (failures, key_id, uid);
  if (bucket != NULL)
    bucket->left = MIN (bucket->left + failures->cost, G_TIME_SPAN_MINUTE);
}
