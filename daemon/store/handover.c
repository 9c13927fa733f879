/* SPDX-License-Identifier: Apache-2.0
 *
 * Beside the database and not in it: it is worth nothing after a crash, so it is worth no flush either. */
#include "store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define HANDOVER_FILE "handover"

void
cmk_store_put_handover (CmkStore *store, const guint8 digests[CMK_HANDOVER_SIZE])
{
  int fd = cmk_store_open_file (store, HANDOVER_FILE, NULL);
  if (fd < 0)
    return;
  if (TEMP_FAILURE_RETRY (ftruncate (fd, 0)) != 0 ||
      TEMP_FAILURE_RETRY (pwrite (fd, digests, CMK_HANDOVER_SIZE, 0)) != CMK_HANDOVER_SIZE)
    g_debug ("the next start will be a cold one: %s", g_strerror (errno));
  close (fd);
}

gboolean
cmk_store_take_handover (CmkStore *store, guint8 ret_digests[CMK_HANDOVER_SIZE])
{
  if (faccessat (store->directory_fd, HANDOVER_FILE, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
    return FALSE;
  int fd = cmk_store_open_file (store, HANDOVER_FILE, NULL);
  if (fd < 0)
    return FALSE;
  gboolean whole = TEMP_FAILURE_RETRY (pread (fd, ret_digests, CMK_HANDOVER_SIZE, 0)) == CMK_HANDOVER_SIZE;
  close (fd);
  return unlinkat (store->directory_fd, HANDOVER_FILE, 0) == 0 && whole;
}
