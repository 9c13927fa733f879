/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/active-keys.h"

#define MAX_KEYS 1024 /* far more than the kernel keyring caches material for */

struct _CmkActiveKeys
{
  GMutex mutex;
  GHashTable *by_id; /* CmkUuid inside the CmkActiveKey -> CmkActiveKey */
};

void
cmk_active_key_clear (CmkActiveKey *key)
{
  g_clear_pointer (&key->public_key, g_bytes_unref);
  g_clear_pointer (&key->grants, cmk_grant_list_unref);
}

static CmkActiveKey
copy_key (const CmkActiveKey *key)
{
  CmkActiveKey copy = *key;
  if (key->public_key != NULL)
    g_bytes_ref (key->public_key);
  cmk_grant_list_ref (key->grants);
  return copy;
}

static void
free_key (gpointer key)
{
  cmk_active_key_clear (key);
  g_free (key);
}

CmkActiveKeys *
cmk_active_keys_new (void)
{
  CmkActiveKeys *keys = g_new0 (CmkActiveKeys, 1);
  g_mutex_init (&keys->mutex);
  keys->by_id = g_hash_table_new_full (cmk_uuid_hash, cmk_uuid_equal_func, NULL, free_key);
  return keys;
}

void
cmk_active_keys_free (CmkActiveKeys *keys)
{
  if (keys == NULL)
    return;
  g_hash_table_unref (keys->by_id);
  g_mutex_clear (&keys->mutex);
  g_free (keys);
}

gboolean
cmk_active_keys_lookup (CmkActiveKeys *keys, const CmkUuid *id, CmkActiveKey *ret_key)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keys->mutex);
  const CmkActiveKey *key = g_hash_table_lookup (keys->by_id, id);
  if (key == NULL)
    return FALSE;
  *ret_key = copy_key (key);
  return TRUE;
}

void
cmk_active_keys_put (CmkActiveKeys *keys, const CmkActiveKey *key)
{
  CmkActiveKey *copy = g_new (CmkActiveKey, 1);
  *copy = copy_key (key);
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keys->mutex);
  if (g_hash_table_size (keys->by_id) >= MAX_KEYS)
    g_hash_table_remove_all (keys->by_id);
  g_hash_table_replace (keys->by_id, &copy->id, copy);
}

void
cmk_active_keys_forget (CmkActiveKeys *keys, const CmkUuid *id)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&keys->mutex);
  g_hash_table_remove (keys->by_id, id);
}
