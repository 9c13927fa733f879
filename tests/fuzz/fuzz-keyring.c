/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the kernel keyring that another process of the same user has made or altered: names and payloads of any
 * form, which may be others each time they are read. FZ-05 */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "kms/object-contexts.h"

#include <errno.h>
#include <keyutils.h>
#include <stdlib.h>

#define MAX_KEYS     6
#define FIRST_SERIAL 100
#define RING         1

static FuzzInput *input;
static guint n_keys; /* that were there before */
static GBytes *last; /* what was last added */

/* --- in place of the kernel --------------------------------------------------------------------------------------- */

key_serial_t
add_key (const char *type G_GNUC_UNUSED, const char *description G_GNUC_UNUSED, const void *payload, size_t size,
         key_serial_t ring G_GNUC_UNUSED)
{
  g_clear_pointer (&last, g_bytes_unref);
  last = g_bytes_new (payload, size);
  return FIRST_SERIAL + MAX_KEYS;
}

static long
result (void)
{
  errno = EDQUOT;
  return fuzz_take_byte (input) == 0xff ? -1 : 0;
}

long
keyctl_search (key_serial_t ring G_GNUC_UNUSED, const char *type, const char *description G_GNUC_UNUSED,
               key_serial_t destination G_GNUC_UNUSED)
{
  errno = ENOKEY;
  return g_str_equal (type, "keyring") ? RING : n_keys > 0 ? FIRST_SERIAL : -1;
}

/* Mostly what was added; else anything. */
static GBytes *
payload_of (key_serial_t serial)
{
  if (serial == FIRST_SERIAL + MAX_KEYS && last != NULL && fuzz_take_choice (input, 4) != 1)
    return g_bytes_ref (last);
  return fuzz_take_bytes (input);
}

long
keyctl_read (key_serial_t serial, char *buffer, size_t room)
{
  g_autoptr (GBytes) payload = payload_of (serial);
  gsize size = g_bytes_get_size (payload);
  if (buffer != NULL && size > 0)
    memcpy (buffer, g_bytes_get_data (payload, NULL), MIN (room, size));
  return result () < 0 ? -1 : (long) size;
}

static int
give_out (gconstpointer data, gsize size, void **ret_buffer)
{
  if (result () < 0)
    return -1;
  *ret_buffer = calloc (1, size + 1);
  if (size > 0)
    memcpy (*ret_buffer, data, size);
  return (int) size;
}

int
keyctl_read_alloc (key_serial_t serial, void **ret_buffer)
{
  key_serial_t serials[MAX_KEYS];
  if (serial != RING)
    {
      g_autoptr (GBytes) payload = payload_of (serial);
      return give_out (g_bytes_get_data (payload, NULL), g_bytes_get_size (payload), ret_buffer);
    }
  for (guint i = 0; i < n_keys; i++)
    serials[i] = FIRST_SERIAL + (key_serial_t) i;
  return give_out (serials, n_keys * sizeof *serials, ret_buffer);
}

int
keyctl_describe_alloc (key_serial_t serial G_GNUC_UNUSED, char **ret_buffer)
{
  g_autofree char *name = fuzz_take_text (input);
  g_autofree char *description =
      fuzz_take_choice (input, 4) == 1 ? g_strdup (name) : g_strconcat ("user;0;0;3f010000;", name, NULL);
  return give_out (description, strlen (description), (void **) ret_buffer);
}

key_serial_t
keyctl_get_keyring_ID (key_serial_t id G_GNUC_UNUSED, int create G_GNUC_UNUSED)
{
  return RING;
}

long
keyctl_set_timeout (key_serial_t serial G_GNUC_UNUSED, unsigned int seconds G_GNUC_UNUSED)
{
  return result ();
}

long
keyctl_setperm (key_serial_t serial G_GNUC_UNUSED, key_perm_t permissions G_GNUC_UNUSED)
{
  return result ();
}

long
keyctl_link (key_serial_t serial G_GNUC_UNUSED, key_serial_t ring G_GNUC_UNUSED)
{
  return result ();
}

long
keyctl_unlink (key_serial_t serial G_GNUC_UNUSED, key_serial_t ring G_GNUC_UNUSED)
{
  return result ();
}

long
keyctl_invalidate (key_serial_t serial G_GNUC_UNUSED)
{
  return result ();
}

long
keyctl_update (key_serial_t serial G_GNUC_UNUSED, const void *payload G_GNUC_UNUSED, size_t size G_GNUC_UNUSED)
{
  return result ();
}

/* --- what is done with it ----------------------------------------------------------------------------------------- */

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  g_assert_true (cmk_secret_init (NULL));
  g_assert_true (cmk_crypto_init (NULL));
  return 0;
}

/* What comes back is what was kept, or nothing. */
static void
use_context (CmkKeyring *keyring)
{
  static const guint8 kept[] = "a context";
  CmkObjectContexts *contexts = cmk_object_contexts_new (keyring, cmk_secret_new (32, NULL));
  const CmkTpmContextCache cache = cmk_object_contexts_cache (contexts);
  g_autofree char *name = fuzz_take_text (input);
  g_autoptr (GBytes) context = g_bytes_new_static (kept, sizeof kept);
  g_autoptr (GBytes) found = cache.lookup (cache.data, name);
  g_assert_null (found);
  cache.keep (cache.data, name, context);
  found = cache.lookup (cache.data, name);
  g_assert_true (found == NULL || g_bytes_equal (found, context));
  cache.drop (cache.data, name);
  cmk_object_contexts_free (contexts);
}

static void
use_material (CmkKeyring *keyring)
{
  CmkUuid id = { { 0 } };
  guint n_rounds = fuzz_take_choice (input, 4);
  g_autoptr (CmkSecret) material = cmk_secret_new (32, NULL);
  for (guint i = 0; i < n_rounds; i++)
    {
      id.bytes[0] = (guint8) fuzz_take_choice (input, 2);
      cmk_keyring_keep_material (keyring, &id, material);
      g_autoptr (CmkSecret) found = cmk_keyring_lookup_material (keyring, &id);
      g_assert_true (found == NULL || cmk_secret_length (found) == cmk_secret_length (material));
    }
  cmk_keyring_drop_material (keyring, &id);
}

static void
use_left (CmkKeyring *keyring)
{
  static const guint8 left[] = "a snapshot";
  (void) cmk_keyring_leave (keyring, "snapshot", left, sizeof left, 60);
  g_autoptr (CmkSecret) taken G_GNUC_UNUSED = cmk_keyring_take (keyring, "snapshot");
  cmk_keyring_note (keyring, left, sizeof left);
  g_autoptr (CmkSecret) note G_GNUC_UNUSED = cmk_keyring_read_note (keyring);
  cmk_keyring_note (keyring, NULL, 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static void (*const uses[]) (CmkKeyring *) = { use_context, use_material, use_left };
  const CmkUuid store_id = { { 1 } };
  FuzzInput whole = { data, size };
  input = &whole;
  n_keys = fuzz_take_choice (input, MAX_KEYS + 1);
  CmkKeyring *keyring = cmk_keyring_open (&store_id, 60, 60);
  for (guint i = 0; i < 4; i++)
    uses[fuzz_take_choice (input, G_N_ELEMENTS (uses))](keyring);
  cmk_keyring_close (keyring);
  g_clear_pointer (&last, g_bytes_unref);
  return 0;
}
