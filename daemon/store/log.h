/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: the write-ahead log. */
#pragma once

#include "store/store.h"

/* Have the open database write one. */
gboolean cmk_log_start (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The log may be that of another database, or hold what was refused; closing would write it into ours. */
gboolean cmk_log_keep_at_close (CmkStore *store, gboolean keep, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Write all of it back into the database, durably, and empty it. */
gboolean cmk_log_empty (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* After a commit: the same if it holds what was erased, or has grown. If that fails it is tried again with the next. */
void cmk_log_keep_short (CmkStore *store);

/* After a write or a flush has failed: open the database anew, with what was acknowledged and nothing else in its
 * log. */
gboolean cmk_log_recover (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
