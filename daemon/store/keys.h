/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: which keys a CmkKeyFilter lets through, for every statement that lists keys. */
#pragma once

#include "store/database.h"

/* Of a row of keys, with the parameters of cmk_store_bind_filter(). The state is that which whoever asks sees: 1 and 2
 * are Enabled and Disabled, 3 is PendingImport. */
#define CMK_KEY_FITS_FILTER                                                                                            \
  "(?3 = 0 OR CASE WHEN state IN (1, 2) AND expires_at BETWEEN 1 AND ?6 THEN 3 ELSE state END = ?3) AND "              \
  "(?4 = 0 OR spec = ?4) AND (?5 = 0 OR origin = ?5)"

/* ?3 to ?6. */
gboolean cmk_store_bind_filter (CmkStore *store, sqlite3_stmt *statement, const CmkKeyFilter *filter,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
