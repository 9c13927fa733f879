/* SPDX-License-Identifier: Apache-2.0
 *
 * Both caches work alike: a small table of what we put into the kernel, least recently used first, so that a lookup is
 * one keyctl_read() and the quota of an ordinary uid (200 keys, 20,000 bytes) is never what throws entries out. */
#include "keyring/keyring.h"

#include <errno.h>
#include <keyutils.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONTEXTS       16
#define MAX_CONTEXT_BYTES  12000
#define MAX_MATERIALS      64
#define MAX_MATERIAL_BYTES 6000

/* Reading needs possession, which only we have for what hangs in our process keyring, and any process of our uid can
 * get for what hangs in the user keyring. */
#define MATERIAL_PERMISSIONS KEY_POS_ALL
#define CONTEXT_PERMISSIONS  (KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_SEARCH)

#define NOTE_NAME      "loaded"
#define LEFT_PREFIX    "left:"
#define MAX_LEFT_BYTES 8192

typedef struct
{
  char *name; /* the key's description, unique over both caches: all keys pass through the process keyring */
  key_serial_t serial;
  gsize size;
} Entry;

typedef struct
{
  GPtrArray *entries; /* least recently used first */
  guint max_entries;
  gsize max_bytes; /* payloads and names, which is what the quota counts */
  guint seconds;
  key_perm_t permissions;
  key_serial_t ring; /* where the keys live; 0 = it could not be made */
} Cache;

struct _CmkKeyring
{
  GMutex mutex;
  char *ring_name;
  gboolean complained;
  Cache contexts;
  Cache material;
  key_serial_t note; /* 0 = not written yet */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  if (entry == NULL)
    return;
  g_free (entry->name);
  g_free (entry);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Entry, entry_free)

void
cmk_keyring_prepare_process (void)
{
  /* An anonymous session keyring keeps us out of the login's; the link makes what hangs in the user keyring ours to
   * read whatever KeyringMode= the unit has. */
  if (keyctl_get_keyring_ID (KEY_SPEC_PROCESS_KEYRING, 1) < 0 || keyctl_join_session_keyring (NULL) < 0 ||
      keyctl_link (KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) < 0)
    g_debug ("the kernel keyring is not to be had, working without: %s", g_strerror (errno));
}

static void
complain (CmkKeyring *keyring, int code)
{
  if (!keyring->complained)
    g_debug ("the kernel keyring refuses to cache, working without: %s", g_strerror (code));
  keyring->complained = TRUE;
}

/* Invalidation takes the payload away at once, where expiry and unlinking leave it to the garbage collector; but it is
 * refused for a key that has expired. */
static void
discard_key (const Cache *cache, key_serial_t serial)
{
  if (keyctl_invalidate (serial) < 0)
    keyctl_unlink (serial, cache->ring);
}

/* Out of the table, and no longer owned by it; NULL if there is none. The key stays. */
static Entry *
take_entry (Cache *cache, const char *name)
{
  for (guint i = 0; i < cache->entries->len; i++)
    {
      const Entry *entry = cache->entries->pdata[i];
      if (g_str_equal (entry->name, name))
        return g_ptr_array_steal_index (cache->entries, i);
    }
  return NULL;
}

static void
drop_entry (Cache *cache, const char *name)
{
  g_autoptr (Entry) entry = take_entry (cache, name);
  if (entry != NULL)
    discard_key (cache, entry->serial);
}

static gboolean
evict_oldest (Cache *cache)
{
  if (cache->entries->len == 0)
    return FALSE;
  g_autoptr (Entry) entry = g_ptr_array_steal_index (cache->entries, 0);
  discard_key (cache, entry->serial);
  return TRUE;
}

static void
add_entry (Cache *cache, const char *name, key_serial_t serial, gsize size)
{
  Entry *entry = g_new (Entry, 1);
  *entry = (Entry) { .name = g_strdup (name), .serial = serial, .size = size };
  g_ptr_array_add (cache->entries, entry);
}

/* For one more entry of @bytes. */
static void
make_room (Cache *cache, gsize bytes)
{
  for (guint i = 0; i < cache->entries->len; i++)
    {
      const Entry *entry = cache->entries->pdata[i];
      bytes += entry->size + strlen (entry->name);
    }
  while (cache->entries->len > 0 && (bytes > cache->max_bytes || cache->entries->len >= cache->max_entries))
    {
      const Entry *oldest = cache->entries->pdata[0];
      bytes -= oldest->size + strlen (oldest->name);
      evict_oldest (cache);
    }
}

/* A key is finished in the process keyring before it is linked to where others could see it. Adding over an old key
 * drops the timeout that one had, and linking replaces the one of the same name: in this order there is never a key
 * without a timeout in the user keyring, and never none at all. -1 with errno set on failure. */
static key_serial_t
put_key (const Cache *cache, const char *name, gconstpointer data, gsize size, guint seconds)
{
  key_serial_t serial = add_key ("user", name, data, size, KEY_SPEC_PROCESS_KEYRING);
  if (serial < 0)
    return -1;
  gboolean stays = cache->ring == KEY_SPEC_PROCESS_KEYRING;
  if (keyctl_set_timeout (serial, seconds) == 0 && keyctl_setperm (serial, cache->permissions) == 0 &&
      (stays || keyctl_link (serial, cache->ring) == 0))
    {
      if (!stays)
        keyctl_unlink (serial, KEY_SPEC_PROCESS_KEYRING);
      return serial;
    }
  int code = errno;
  keyctl_invalidate (serial);
  errno = code;
  return -1;
}

static key_serial_t
make_ring (const char *name)
{
  key_serial_t ring = add_key ("keyring", name, NULL, 0, KEY_SPEC_PROCESS_KEYRING);
  if (ring < 0)
    return -1;
  gboolean linked = keyctl_setperm (ring, CONTEXT_PERMISSIONS) == 0 && keyctl_link (ring, KEY_SPEC_USER_KEYRING) == 0;
  int code = errno;
  keyctl_unlink (ring, KEY_SPEC_PROCESS_KEYRING);
  errno = code;
  return linked ? ring : -1;
}

/* Find the keyring of this store in the user keyring, or make it. It expires with its youngest entry, so that stores
 * that are gone leave nothing behind. */
static gboolean
open_ring (CmkKeyring *keyring)
{
  key_serial_t ring = (key_serial_t) keyctl_search (KEY_SPEC_USER_KEYRING, "keyring", keyring->ring_name, 0);
  if (ring < 0)
    ring = make_ring (keyring->ring_name);
  keyring->contexts.ring = ring > 0 && keyctl_set_timeout (ring, keyring->contexts.seconds) == 0 ? ring : 0;
  return keyring->contexts.ring != 0;
}

/* Can what just failed with @code be tried again? */
static gboolean
mend (CmkKeyring *keyring, Cache *cache, int code)
{
  switch (code)
    {
    case EDQUOT:
      return evict_oldest (cache);
    case EACCES: /* unlinked from the user keyring: no longer possessed */
    case ENOKEY:
    case EKEYEXPIRED:
    case EKEYREVOKED:
      return cache == &keyring->contexts && open_ring (keyring);
    default:
      return FALSE;
    }
}

static key_serial_t
put_key_or_mend (CmkKeyring *keyring, Cache *cache, const char *name, gconstpointer data, gsize size)
{
  if (cache->ring == 0 && !open_ring (keyring))
    return -1;
  key_serial_t serial = put_key (cache, name, data, size, cache->seconds);
  if (serial < 0 && mend (keyring, cache, errno))
    serial = put_key (cache, name, data, size, cache->seconds);
  return serial;
}

static void
keep (CmkKeyring *keyring, Cache *cache, const char *name, gconstpointer data, gsize size)
{
  gsize bytes = size + strlen (name);
  /* A timeout of 0 would be none at all. */
  if (cache->seconds == 0 || bytes > cache->max_bytes)
    {
      drop_entry (cache, name);
      return;
    }
  g_autoptr (Entry) replaced = take_entry (cache, name);
  make_room (cache, bytes);
  key_serial_t serial = put_key_or_mend (keyring, cache, name, data, size);
  if (serial >= 0)
    {
      add_entry (cache, name, serial, size);
      return;
    }
  complain (keyring, errno);
  if (replaced != NULL)
    discard_key (cache, replaced->serial);
}

/* The entry called @name, now the most recently used; NULL if there is none. */
static const Entry *
touch_entry (Cache *cache, const char *name)
{
  Entry *entry = take_entry (cache, name);
  if (entry != NULL)
    g_ptr_array_add (cache->entries, entry);
  return entry;
}

/* What an earlier daemon left in the ring is ours to use and to count. */
static void
adopt_contexts (Cache *cache)
{
  g_autofree key_serial_t *serials = NULL;
  long size = keyctl_read_alloc (cache->ring, (void **) &serials);
  for (long i = 0; i < size / (long) sizeof *serials; i++)
    {
      g_autofree char *description = NULL;
      long payload = keyctl_read (serials[i], NULL, 0);
      if (payload < 0 || keyctl_describe_alloc (serials[i], &description) < 0)
        continue;
      /* type;uid;gid;permissions;name */
      g_auto (GStrv) fields = g_strsplit (description, ";", 5);
      if (g_strv_length (fields) != 5 || !g_str_equal (fields[0], "user") ||
          g_str_has_prefix (fields[4], LEFT_PREFIX) || g_str_equal (fields[4], NOTE_NAME))
        continue;
      make_room (cache, (gsize) payload + strlen (fields[4]));
      add_entry (cache, fields[4], serials[i], (gsize) payload);
    }
}

CmkKeyring *
cmk_keyring_open (const CmkUuid *store_id, guint context_seconds, guint material_seconds)
{
  char id[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (store_id, id);

  CmkKeyring *keyring = g_new0 (CmkKeyring, 1);
  g_mutex_init (&keyring->mutex);
  keyring->ring_name = g_strdup_printf ("cmkd:%s", id);
  keyring->contexts = (Cache) {
    .entries = g_ptr_array_new_with_free_func (entry_free),
    .max_entries = MAX_CONTEXTS,
    .max_bytes = MAX_CONTEXT_BYTES,
    .seconds = context_seconds,
    .permissions = CONTEXT_PERMISSIONS,
  };
  keyring->material = (Cache) {
    .entries = g_ptr_array_new_with_free_func (entry_free),
    .max_entries = MAX_MATERIALS,
    .max_bytes = MAX_MATERIAL_BYTES,
    .seconds = material_seconds,
    .permissions = MATERIAL_PERMISSIONS,
    .ring = KEY_SPEC_PROCESS_KEYRING,
  };
  if (context_seconds == 0)
    return keyring;
  if (open_ring (keyring))
    adopt_contexts (&keyring->contexts);
  else
    complain (keyring, errno);
  return keyring;
}

void
cmk_keyring_close (CmkKeyring *keyring)
{
  if (keyring == NULL)
    return;
  while (evict_oldest (&keyring->material))
    continue;
  g_ptr_array_unref (keyring->material.entries);
  g_ptr_array_unref (keyring->contexts.entries);
  g_mutex_clear (&keyring->mutex);
  g_free (keyring->ring_name);
  g_free (keyring);
}

static char *
context_name (const char *name)
{
  return g_strconcat ("context:", name, NULL);
}

GBytes *
cmk_keyring_lookup_context (CmkKeyring *keyring, const char *name)
{
  g_autofree char *key_name = context_name (name);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  const Entry *entry = touch_entry (&keyring->contexts, key_name);
  if (entry == NULL)
    return NULL;
  void *payload = NULL;
  long size = keyctl_read_alloc (entry->serial, &payload);
  if (size >= 0)
    return g_bytes_new_with_free_func (payload, (gsize) size, free, payload);
  drop_entry (&keyring->contexts, key_name);
  return NULL;
}

void
cmk_keyring_keep_context (CmkKeyring *keyring, const char *name, GBytes *context)
{
  g_autofree char *key_name = context_name (name);
  gsize size = 0;
  gconstpointer data = g_bytes_get_data (context, &size);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  keep (keyring, &keyring->contexts, key_name, data, size);
  if (keyring->contexts.ring != 0)
    keyctl_set_timeout (keyring->contexts.ring, keyring->contexts.seconds);
}

void
cmk_keyring_drop_context (CmkKeyring *keyring, const char *name)
{
  g_autofree char *key_name = context_name (name);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  drop_entry (&keyring->contexts, key_name);
}

gboolean
cmk_keyring_leave (CmkKeyring *keyring, const char *name, gconstpointer data, gsize size, guint seconds)
{
  g_autofree char *key_name = g_strconcat (LEFT_PREFIX, name, NULL);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  /* A timeout of 0 would be none at all. */
  if (keyring->contexts.ring == 0 || seconds == 0)
    return FALSE;
  keyctl_set_timeout (keyring->contexts.ring, MAX (seconds, keyring->contexts.seconds));
  while (put_key (&keyring->contexts, key_name, data, size, seconds) < 0)
    if (errno != EDQUOT || !(evict_oldest (&keyring->material) || evict_oldest (&keyring->contexts)))
      {
        complain (keyring, errno);
        return FALSE;
      }
  return TRUE;
}

/* What an earlier daemon has put under @key_name; *ret_serial is below 0 if there is nothing. */
static CmkSecret *
read_left (CmkKeyring *keyring, const char *key_name, key_serial_t *ret_serial)
{
  key_serial_t ring = keyring->contexts.ring;
  *ret_serial = ring != 0 ? (key_serial_t) keyctl_search (ring, "user", key_name, 0) : -1;
  if (*ret_serial < 0)
    return NULL;
  long size = keyctl_read (*ret_serial, NULL, 0);
  g_autoptr (CmkSecret) found = size > 0 && size <= MAX_LEFT_BYTES ? cmk_secret_new ((gsize) size, NULL) : NULL;
  gboolean whole = found != NULL && keyctl_read (*ret_serial, (char *) cmk_secret_data (found), (gsize) size) == size;
  return whole ? g_steal_pointer (&found) : NULL;
}

CmkSecret *
cmk_keyring_take (CmkKeyring *keyring, const char *name)
{
  g_autofree char *key_name = g_strconcat (LEFT_PREFIX, name, NULL);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  key_serial_t serial;
  CmkSecret *taken = read_left (keyring, key_name, &serial);
  if (serial >= 0)
    discard_key (&keyring->contexts, serial);
  return taken;
}

CmkSecret *
cmk_keyring_read_note (CmkKeyring *keyring)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  key_serial_t serial;
  return read_left (keyring, NOTE_NAME, &serial);
}

/* A new key each time would soon be more than the quota has, which counts keys until they are collected. */
static gboolean
update_note (CmkKeyring *keyring, gconstpointer data, gsize size)
{
  return keyring->note > 0 && keyctl_update (keyring->note, data, size) == 0 &&
         keyctl_set_timeout (keyring->note, keyring->contexts.seconds) == 0;
}

void
cmk_keyring_note (CmkKeyring *keyring, gconstpointer data, gsize size)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  Cache *cache = &keyring->contexts;
  if (cache->seconds == 0)
    return;
  if (size == 0)
    {
      key_serial_t serial = cache->ring != 0 ? (key_serial_t) keyctl_search (cache->ring, "user", NOTE_NAME, 0) : -1;
      if (serial > 0)
        discard_key (cache, serial);
      keyring->note = 0;
      return;
    }
  if (!update_note (keyring, data, size))
    keyring->note = put_key_or_mend (keyring, cache, NOTE_NAME, data, size);
  if (keyring->note <= 0)
    complain (keyring, errno);
  else
    keyctl_set_timeout (cache->ring, cache->seconds); /* it expires with its youngest entry */
}

#define MATERIAL_PREFIX    "material:"
#define MATERIAL_NAME_SIZE (sizeof MATERIAL_PREFIX - 1 + CMK_UUID_TEXT_SIZE)

static void
format_material_name (const CmkUuid *key_id, char ret_name[MATERIAL_NAME_SIZE])
{
  memcpy (ret_name, MATERIAL_PREFIX, sizeof MATERIAL_PREFIX);
  cmk_uuid_format (key_id, ret_name + sizeof MATERIAL_PREFIX - 1);
}

CmkSecret *
cmk_keyring_lookup_material (CmkKeyring *keyring, const CmkUuid *key_id)
{
  char name[MATERIAL_NAME_SIZE];
  format_material_name (key_id, name);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  const Entry *entry = touch_entry (&keyring->material, name);
  if (entry == NULL)
    return NULL;
  g_autoptr (CmkSecret) material = cmk_secret_new (entry->size, NULL);
  if (material == NULL)
    return NULL;
  /* Answers the size of the whole payload, also where that is more than there was room for. */
  if (keyctl_read (entry->serial, (char *) cmk_secret_data (material), entry->size) == (long) entry->size)
    return g_steal_pointer (&material);
  drop_entry (&keyring->material, name);
  return NULL;
}

void
cmk_keyring_keep_material (CmkKeyring *keyring, const CmkUuid *key_id, const CmkSecret *material)
{
  char name[MATERIAL_NAME_SIZE];
  format_material_name (key_id, name);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  keep (keyring, &keyring->material, name, cmk_secret_peek (material), cmk_secret_length (material));
}

void
cmk_keyring_drop_material (CmkKeyring *keyring, const CmkUuid *key_id)
{
  char name[MATERIAL_NAME_SIZE];
  format_material_name (key_id, name);
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  drop_entry (&keyring->material, name);
}

const char *
cmk_keyring_status (CmkKeyring *keyring)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&keyring->mutex);
  gboolean contexts_work = keyring->contexts.seconds == 0 || keyring->contexts.ring != 0;
  gboolean material_works = keyctl_get_keyring_ID (KEY_SPEC_PROCESS_KEYRING, 0) >= 0;
  return contexts_work && material_works ? "ok" : "unavailable";
}
