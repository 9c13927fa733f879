/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in the TPM, written down at each change. An object is noted before it is loaded and until it has been
 * flushed: whoever flushes it in the end compares its name. Only what nobody else can have is announced, as long as its
 * handle is not known: an object that is bound to this TPM and has a number of its own in its public area. The root key
 * and the endorsement key are made by templates that all software has, and what was imported may have been imported
 * twice. */
#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define ENTRY_SIZE (sizeof (TPM2_HANDLE) + CMK_TPM_NAME_SIZE)

static void
write_down (CmkTpm *tpm)
{
  g_autoptr (GByteArray) note = g_byte_array_new ();
  g_byte_array_append (note, (const guint8 *) tpm->tcti, (guint) strlen (tpm->tcti) + 1);
  const gint64 now = GINT64_TO_BE (g_get_monotonic_time ());
  g_byte_array_append (note, (const guint8 *) &now, sizeof now);
  for (guint i = 0; i < tpm->loaded->len; i++)
    {
      const CmkTpmLoaded *loaded = &g_array_index (tpm->loaded, CmkTpmLoaded, i);
      const guint32 handle = GUINT32_TO_BE (loaded->handle);
      g_byte_array_append (note, (const guint8 *) &handle, sizeof handle);
      g_byte_array_append (note, loaded->name, sizeof loaded->name);
    }
  g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (g_steal_pointer (&note));
  tpm->notebook.write (tpm->notebook.data, bytes);
}

gsize
cmk_tpm_parse_note (GBytes *note, const char *tcti, gint64 *ret_time, CmkTpmLoaded *ret_loaded)
{
  gsize size, count, name_size = strlen (tcti) + 1, start = name_size + sizeof *ret_time;
  const guint8 *data = g_bytes_get_data (note, &size);
  if (size < start || memcmp (data, tcti, name_size) != 0 || (size - start) % ENTRY_SIZE != 0)
    return 0;
  memcpy (ret_time, data + name_size, sizeof *ret_time);
  *ret_time = GINT64_FROM_BE (*ret_time);
  count = MIN ((size - start) / ENTRY_SIZE, CMK_TPM_MAX_LOADED);
  for (gsize i = 0; i < count; i++)
    {
      const guint8 *entry = data + start + i * ENTRY_SIZE;
      guint32 handle;
      memcpy (&handle, entry, sizeof handle);
      ret_loaded[i].handle = GUINT32_FROM_BE (handle);
      memcpy (ret_loaded[i].name, entry + sizeof handle, CMK_TPM_NAME_SIZE);
    }
  return count;
}

static gboolean
remove_handle (CmkTpm *tpm, TPM2_HANDLE handle)
{
  for (guint i = 0; i < tpm->loaded->len; i++)
    if (g_array_index (tpm->loaded, CmkTpmLoaded, i).handle == handle)
      {
        g_array_remove_index (tpm->loaded, i);
        return TRUE;
      }
  return FALSE;
}

static gboolean
is_unique (const TPM2B_PUBLIC *public)
{
  return (public->publicArea.objectAttributes & TPMA_OBJECT_FIXEDTPM) != 0;
}

void
cmk_tpm_announce (CmkTpm *tpm, const TPM2B_PUBLIC *public)
{
  if (tpm->notebook.write == NULL)
    return;
  gboolean changed = remove_handle (tpm, 0); /* of a Load whose answer never came */
  g_autoptr (GBytes) name = is_unique (public) ? cmk_tpm_name_of (public) : NULL;
  if (name != NULL)
    {
      CmkTpmLoaded loaded = { .handle = 0 };
      memcpy (loaded.name, g_bytes_get_data (name, NULL), sizeof loaded.name);
      g_array_append_val (tpm->loaded, loaded);
    }
  if (changed || name != NULL)
    write_down (tpm);
}

void
cmk_tpm_withdraw (CmkTpm *tpm)
{
  /* Without an answer it may have been loaded. */
  if (!tpm->broken && remove_handle (tpm, 0))
    write_down (tpm);
}

static void
find_name (CmkTpm *tpm, ESYS_TR tr, guint8 ret_name[CMK_TPM_NAME_SIZE])
{
  cmk_tpm_auto_free TPM2B_NAME *name = NULL;
  if (Esys_TR_GetName (tpm->esys, tr, &name) == TSS2_RC_SUCCESS && name->size == CMK_TPM_NAME_SIZE)
    memcpy (ret_name, name->name, CMK_TPM_NAME_SIZE);
}

/* An object that was announced has its handle now. */
static void
remove_announced (CmkTpm *tpm, const CmkTpmLoaded *loaded)
{
  for (guint i = 0; i < tpm->loaded->len; i++)
    {
      const CmkTpmLoaded *other = &g_array_index (tpm->loaded, CmkTpmLoaded, i);
      if (other->handle == 0 && memcmp (other->name, loaded->name, sizeof loaded->name) == 0)
        {
          g_array_remove_index (tpm->loaded, i);
          return;
        }
    }
}

void
cmk_tpm_note (CmkTpm *tpm, const CmkTpmHandle *handle)
{
  if (tpm->notebook.write == NULL || handle->handle == 0)
    return;
  CmkTpmLoaded loaded = { .handle = handle->handle };
  if (handle->handle >> TPM2_HR_SHIFT == TPM2_HT_TRANSIENT)
    find_name (tpm, handle->tr, loaded.name);
  remove_announced (tpm, &loaded);
  g_array_append_val (tpm->loaded, loaded);
  write_down (tpm);
}

void
cmk_tpm_unnote (CmkTpm *tpm, TPM2_HANDLE handle)
{
  if (handle != 0 && remove_handle (tpm, handle))
    write_down (tpm);
}

void
cmk_tpm_open_notebook (CmkTpm *tpm, const CmkTpmNotebook *notebook)
{
  cmk_tpm_flush_leftovers (tpm, notebook->last);
  tpm->notebook = *notebook;
  tpm->notebook.last = NULL;
  if (notebook->last != NULL)
    write_down (tpm);
}

void
cmk_tpm_close_notebook (CmkTpm *tpm)
{
  if (tpm->notebook.write != NULL && tpm->loaded->len == 0)
    tpm->notebook.write (tpm->notebook.data, NULL);
  g_array_unref (tpm->loaded);
}
