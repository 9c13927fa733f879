/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/erasure.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/envelope.h"
#include "kms/bytes.h"

#include <string.h>

#define PAGE_DOMAIN "cmkd/erasure-page/v1"
#define SLOT_DOMAIN "cmkd/erasure-slot/v1"

#define ROOT_PAGE      0
#define SLOTS_PER_PAGE 128
#define PAGE_SIZE      (SLOTS_PER_PAGE * CMK_ERASURE_KEY_SIZE)
#define SLOT_SIZE      8 /* of its number, before what it protects */
/* A million slots: the root page is read for each secret that is opened. */
#define MAX_PAGES 8000

struct _CmkErasure
{
  CmkStore *store;
  const CmkUuid *store_id;
  CmkSecret *root_key; /* NULL until it is known */
};

CmkErasure *
cmk_erasure_new (CmkStore *store, const CmkUuid *store_id)
{
  CmkErasure *erasure = g_new0 (CmkErasure, 1);
  erasure->store = store;
  erasure->store_id = store_id;
  return erasure;
}

void
cmk_erasure_free (CmkErasure *erasure)
{
  if (erasure == NULL)
    return;
  cmk_secret_free (erasure->root_key);
  g_free (erasure);
}

static gboolean
fail_corrupted (GError **error)
{
  g_set_error_literal (
      error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
      "the keys to what is stored are not as cmkd wrote them: restore the state directory from a backup");
  return FALSE;
}

/* --- pages --- */

static GBytes *
identity_of (CmkErasure *erasure, const char *domain, gint64 number)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_byte_array_append (bytes, (const guint8 *) domain, (guint) strlen (domain));
  cmk_bytes_put_uuid (bytes, erasure->store_id);
  cmk_bytes_put_i64 (bytes, number);
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

static gboolean
write_page (CmkErasure *erasure, gint64 number, guint n_free, const CmkSecret *key, const CmkSecret *page,
            GError **error)
{
  g_autoptr (GBytes) identity = identity_of (erasure, PAGE_DOMAIN, number);
  g_autoptr (GBytes) content = cmk_envelope_seal (key, identity, page, error);
  return content != NULL && cmk_store_put_erasure_page (erasure->store, number, n_free, content, error);
}

static CmkSecret *
read_page (CmkErasure *erasure, gint64 number, const CmkSecret *key, GError **error)
{
  g_autoptr (GBytes) content = cmk_store_get_erasure_page (erasure->store, number, error);
  if (content == NULL)
    return NULL;
  g_autoptr (GBytes) identity = identity_of (erasure, PAGE_DOMAIN, number);
  return cmk_envelope_open (key, identity, content, error);
}

static guint8 *
key_at (CmkSecret *page, gint64 index)
{
  return cmk_secret_data (page) + index * CMK_ERASURE_KEY_SIZE;
}

static CmkSecret *
copy_key_at (CmkSecret *page, gint64 index, GError **error)
{
  return cmk_secret_new_copy (key_at (page, index), CMK_ERASURE_KEY_SIZE, error);
}

static gboolean
is_free (CmkSecret *page, gint64 index)
{
  static const guint8 no_key[CMK_ERASURE_KEY_SIZE];
  return memcmp (key_at (page, index), no_key, sizeof no_key) == 0;
}

static guint
count_free (CmkSecret *page)
{
  guint n_free = 0;
  for (gint64 index = 0; index < SLOTS_PER_PAGE; index++)
    n_free += is_free (page, index);
  return n_free;
}

/* --- the root page: the key of page N is its key number N; the first belongs to none, so that it is never empty --- */

static gint64
count_pages (const CmkSecret *root)
{
  return (gint64) (cmk_secret_length (root) / CMK_ERASURE_KEY_SIZE) - 1;
}

static CmkSecret *
read_root (CmkErasure *erasure, GError **error)
{
  g_return_val_if_fail (erasure->root_key != NULL, NULL);
  return read_page (erasure, ROOT_PAGE, erasure->root_key, error);
}

static CmkSecret *
read_slots (CmkErasure *erasure, CmkSecret *root, gint64 number, GError **error)
{
  if (number < 1 || number > count_pages (root))
    {
      fail_corrupted (error);
      return NULL;
    }
  g_autoptr (CmkSecret) key = copy_key_at (root, number, error);
  g_autoptr (CmkSecret) page = key != NULL ? read_page (erasure, number, key, error) : NULL;
  if (page == NULL)
    return NULL;
  if (cmk_secret_length (page) == PAGE_SIZE)
    return g_steal_pointer (&page);
  fail_corrupted (error);
  return NULL;
}

static gboolean
write_slots (CmkErasure *erasure, CmkSecret *root, gint64 number, CmkSecret *page, GError **error)
{
  g_autoptr (CmkSecret) key = copy_key_at (root, number, error);
  return key != NULL && write_page (erasure, number, count_free (page), key, page, error);
}

gboolean
cmk_erasure_initialize (CmkErasure *erasure, const CmkSecret *root_key, GError **error)
{
  g_autoptr (CmkSecret) root = cmk_random_secret (CMK_ERASURE_KEY_SIZE, error);
  return root != NULL && cmk_store_delete_erasure_pages (erasure->store, error) &&
         cmk_store_clear_erasures (erasure->store, error) && write_page (erasure, ROOT_PAGE, 0, root_key, root, error);
}

gboolean
cmk_erasure_try_root_key (CmkErasure *erasure, const CmkSecret *root_key)
{
  g_autoptr (CmkSecret) root = read_page (erasure, ROOT_PAGE, root_key, NULL);
  CmkSecret *copy =
      root != NULL ? cmk_secret_new_copy (cmk_secret_peek (root_key), cmk_secret_length (root_key), NULL) : NULL;
  if (copy == NULL)
    return FALSE;
  cmk_erasure_use_root_key (erasure, copy);
  return TRUE;
}

void
cmk_erasure_use_root_key (CmkErasure *erasure, CmkSecret *root_key)
{
  cmk_secret_free (erasure->root_key);
  erasure->root_key = root_key;
}

gboolean
cmk_erasure_has_root_key (const CmkErasure *erasure)
{
  return erasure->root_key != NULL;
}

/* --- erasing --- */

/* The page @number. What is in a damaged one can never be opened again; its slots stay taken, for records may still
 * name them, and what is erased later goes on. */
static CmkSecret *
read_slots_or_none (CmkErasure *erasure, CmkSecret *root, gint64 number, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  CmkSecret *page = read_slots (erasure, root, number, &local_error);
  if (page != NULL)
    return page;
  if (!g_error_matches (local_error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED) || number < 1 || number > count_pages (root))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  g_warning ("page %" G_GINT64_FORMAT " of erasure is damaged: what has its keys there cannot be opened any more",
             number);
  return cmk_random_secret (PAGE_SIZE, error);
}

/* @slots, all of the page @number, which is written without them, under a new key. */
static gboolean
renew_page (CmkErasure *erasure, CmkSecret *root, gint64 number, const gint64 *slots, guint n_slots, GError **error)
{
  g_autoptr (CmkSecret) page = read_slots_or_none (erasure, root, number, error);
  if (page == NULL)
    return FALSE;
  for (guint i = 0; i < n_slots; i++)
    memset (key_at (page, slots[i] % SLOTS_PER_PAGE), 0, CMK_ERASURE_KEY_SIZE);
  return cmk_random_bytes (key_at (root, number), CMK_ERASURE_KEY_SIZE, error) &&
         write_slots (erasure, root, number, page, error);
}

gboolean
cmk_erasure_drop (CmkErasure *erasure, CmkErasureScope scope, const CmkSecret *root_key, GError **error)
{
  g_autoptr (CmkSecret) root = read_root (erasure, error);
  g_autoptr (GArray) slots = root != NULL ? cmk_store_list_erasures (erasure->store, error) : NULL;
  if (slots == NULL)
    return FALSE;
  guint first = 0;
  /* A record that was put back from another state may name what is no slot here. */
  while (first < slots->len && g_array_index (slots, gint64, first) < SLOTS_PER_PAGE)
    first++;
  for (gint64 number = 1; number <= count_pages (root); number++)
    {
      guint n_slots = 0;
      while (first + n_slots < slots->len && g_array_index (slots, gint64, first + n_slots) / SLOTS_PER_PAGE == number)
        n_slots++;
      const gint64 *of_page = n_slots > 0 ? &g_array_index (slots, gint64, first) : NULL;
      if ((n_slots > 0 || scope == CMK_ERASURE_ALL_PAGES) &&
          !renew_page (erasure, root, number, of_page, n_slots, error))
        return FALSE;
      first += n_slots;
    }
  return cmk_store_clear_erasures (erasure->store, error) && write_page (erasure, ROOT_PAGE, 0, root_key, root, error);
}

/* --- protecting --- */

static CmkSecret *
append_page_key (const CmkSecret *root, GError **error)
{
  gsize size = cmk_secret_length (root);
  if (count_pages (root) == MAX_PAGES)
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED,
                   "the store holds %d secrets already, which is as many as it can: delete keys that are not needed",
                   MAX_PAGES * SLOTS_PER_PAGE);
      return NULL;
    }
  CmkSecret *longer = cmk_secret_new (size + CMK_ERASURE_KEY_SIZE, error);
  if (longer == NULL)
    return NULL;
  memcpy (cmk_secret_data (longer), cmk_secret_peek (root), size);
  if (cmk_random_bytes (cmk_secret_data (longer) + size, CMK_ERASURE_KEY_SIZE, error))
    return longer;
  cmk_secret_free (longer);
  return NULL;
}

/* A page with a free slot, and the root page that has its key. */
static CmkSecret *
find_free_page (CmkErasure *erasure, CmkSecret **ret_root, gint64 *ret_number, GError **error)
{
  g_autoptr (CmkSecret) root = read_root (erasure, error);
  if (root == NULL || !cmk_store_find_free_erasure_page (erasure->store, ret_number, error))
    return NULL;
  g_autoptr (CmkSecret) page = NULL;
  if (*ret_number >= 0)
    {
      page = read_slots (erasure, root, *ret_number, error);
      *ret_root = g_steal_pointer (&root);
      return g_steal_pointer (&page);
    }
  g_autoptr (CmkSecret) longer = append_page_key (root, error);
  if (longer == NULL || !write_page (erasure, ROOT_PAGE, 0, erasure->root_key, longer, error))
    return NULL;
  page = cmk_secret_new (PAGE_SIZE, error);
  *ret_number = count_pages (longer);
  *ret_root = g_steal_pointer (&longer);
  return g_steal_pointer (&page);
}

/* A new key in a slot that was free. */
static CmkSecret *
take_slot (CmkErasure *erasure, gint64 *ret_slot, GError **error)
{
  g_autoptr (CmkSecret) root = NULL;
  gint64 number = -1;
  g_autoptr (CmkSecret) page = find_free_page (erasure, &root, &number, error);
  if (page == NULL)
    return NULL;
  gint64 index = 0;
  while (index < SLOTS_PER_PAGE && !is_free (page, index))
    index++;
  if (index == SLOTS_PER_PAGE)
    {
      fail_corrupted (error);
      return NULL;
    }
  *ret_slot = number * SLOTS_PER_PAGE + index;
  if (!cmk_random_bytes (key_at (page, index), CMK_ERASURE_KEY_SIZE, error) ||
      !write_slots (erasure, root, number, page, error))
    return NULL;
  return copy_key_at (page, index, error);
}

GBytes *
cmk_erasure_protect (CmkErasure *erasure, GBytes *envelope, GError **error)
{
  gint64 slot;
  g_autoptr (CmkSecret) key = take_slot (erasure, &slot, error);
  g_autoptr (CmkSecret) payload =
      key != NULL ? cmk_secret_new_copy (g_bytes_get_data (envelope, NULL), g_bytes_get_size (envelope), error) : NULL;
  if (payload == NULL)
    return NULL;
  g_autoptr (GBytes) identity = identity_of (erasure, SLOT_DOMAIN, slot);
  g_autoptr (GBytes) sealed = cmk_envelope_seal (key, identity, payload, error);
  if (sealed == NULL)
    return NULL;
  g_autoptr (GByteArray) stored = g_byte_array_new ();
  cmk_bytes_put_i64 (stored, slot);
  g_byte_array_append (stored, g_bytes_get_data (sealed, NULL), (guint) g_bytes_get_size (sealed));
  return g_byte_array_free_to_bytes (g_steal_pointer (&stored));
}

static CmkSecret *
find_slot_key (CmkErasure *erasure, gint64 slot, GError **error)
{
  g_autoptr (CmkSecret) root = read_root (erasure, error);
  g_autoptr (CmkSecret) page = root != NULL ? read_slots (erasure, root, slot / SLOTS_PER_PAGE, error) : NULL;
  return page != NULL ? copy_key_at (page, slot % SLOTS_PER_PAGE, error) : NULL;
}

GBytes *
cmk_erasure_reveal (CmkErasure *erasure, GBytes *stored, GError **error)
{
  gsize size = 0;
  const guint8 *position = g_bytes_get_data (stored, &size);
  if (size <= SLOT_SIZE)
    {
      fail_corrupted (error);
      return NULL;
    }
  gint64 slot = cmk_bytes_get_i64 (&position);
  g_autoptr (CmkSecret) key = slot > 0 ? find_slot_key (erasure, slot, error) : NULL;
  if (slot <= 0)
    fail_corrupted (error);
  if (key == NULL)
    return NULL;
  g_autoptr (GBytes) identity = identity_of (erasure, SLOT_DOMAIN, slot);
  g_autoptr (GBytes) sealed = g_bytes_new_from_bytes (stored, SLOT_SIZE, size - SLOT_SIZE);
  g_autoptr (CmkSecret) envelope = cmk_envelope_open (key, identity, sealed, error);
  return envelope != NULL ? g_bytes_new (cmk_secret_peek (envelope), cmk_secret_length (envelope)) : NULL;
}
