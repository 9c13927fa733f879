/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/import-windows.h"

#include "base/clock.h"

/* From the parameters to the import, by hand, on the same machine or with a colleague at another one. Whoever takes
 * longer, and a token is good for 24 hours, finds a daemon that has to be started. */
#define FRESH_SECONDS (15 * 60)

struct _CmkImportWindows
{
  GMutex mutex;
  GHashTable *ends; /* CmkUuid -> confirmed time */
};

CmkImportWindows *
cmk_import_windows_new (void)
{
  CmkImportWindows *windows = g_new0 (CmkImportWindows, 1);
  g_mutex_init (&windows->mutex);
  windows->ends = g_hash_table_new_full (cmk_uuid_hash, cmk_uuid_equal_func, g_free, g_free);
  return windows;
}

void
cmk_import_windows_free (CmkImportWindows *windows)
{
  if (windows == NULL)
    return;
  g_hash_table_unref (windows->ends);
  g_mutex_clear (&windows->mutex);
  g_free (windows);
}

static gboolean
is_over (G_GNUC_UNUSED gpointer set_id, gpointer end, gpointer now)
{
  return *(const gint64 *) end <= *(const gint64 *) now;
}

static void
drop_old (CmkImportWindows *windows, gint64 now)
{
  g_hash_table_foreach_remove (windows->ends, is_over, &now);
}

void
cmk_import_windows_open (CmkImportWindows *windows, const CmkUuid *set_id)
{
  gint64 now = cmk_clock_confirmed ();
  gint64 end = now + FRESH_SECONDS;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&windows->mutex);
  drop_old (windows, now);
  g_hash_table_insert (windows->ends, g_memdup2 (set_id, sizeof *set_id), g_memdup2 (&end, sizeof end));
}

void
cmk_import_windows_close (CmkImportWindows *windows, const CmkUuid *set_id)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&windows->mutex);
  g_hash_table_remove (windows->ends, set_id);
}

gboolean
cmk_import_windows_any (CmkImportWindows *windows)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&windows->mutex);
  drop_old (windows, cmk_clock_confirmed ());
  return g_hash_table_size (windows->ends) > 0;
}
