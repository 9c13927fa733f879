/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/clock-mark.h"

#include "base/clock.h"
#include "base/error.h"
#include "kms/bytes.h"

#define FACT       "clock"
#define N_NUMBERS  7
#define MARK_BYTES (sizeof (CmkUuid) + N_NUMBERS * sizeof (gint64))

gboolean
cmk_clock_mark_load (CmkStore *store, gint64 *ret_kept_at, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) value = cmk_store_get_fact (store, FACT, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (value == NULL)
    {
      *ret_kept_at = 0;
      cmk_clock_start (NULL);
      return TRUE;
    }
  gsize size;
  const guint8 *position = g_bytes_get_data (value, &size);
  if (size != MARK_BYTES)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_CORRUPTED,
                           "the store's mark of the time is damaged: restore the state directory from a backup");
      return FALSE;
    }
  CmkClockMark mark;
  mark.boot_id = cmk_bytes_get_uuid (&position);
  mark.boottime = cmk_bytes_get_i64 (&position);
  mark.confirmed = cmk_bytes_get_i64 (&position);
  mark.proven = cmk_bytes_get_i64 (&position);
  mark.confirming.ahead = cmk_bytes_get_i64 (&position);
  mark.confirming.stood = cmk_bytes_get_i64 (&position);
  mark.proving.ahead = cmk_bytes_get_i64 (&position);
  mark.proving.stood = cmk_bytes_get_i64 (&position);
  *ret_kept_at = mark.confirmed / G_USEC_PER_SEC;
  cmk_clock_start (&mark);
  return TRUE;
}

gboolean
cmk_clock_mark_put (CmkStore *store, GError **error)
{
  CmkClockMark mark;
  cmk_clock_get_mark (&mark);
  g_autoptr (GByteArray) bytes = g_byte_array_sized_new (MARK_BYTES);
  cmk_bytes_put_uuid (bytes, &mark.boot_id);
  cmk_bytes_put_i64 (bytes, mark.boottime);
  cmk_bytes_put_i64 (bytes, mark.confirmed);
  cmk_bytes_put_i64 (bytes, mark.proven);
  cmk_bytes_put_i64 (bytes, mark.confirming.ahead);
  cmk_bytes_put_i64 (bytes, mark.confirming.stood);
  cmk_bytes_put_i64 (bytes, mark.proving.ahead);
  cmk_bytes_put_i64 (bytes, mark.proving.stood);
  g_autoptr (GBytes) value = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  return cmk_store_put_fact (store, FACT, value, error);
}
