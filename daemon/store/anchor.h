/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: the one row that vouches for all others. */
#pragma once

#include "store/store.h"

/* At the end of a transaction: the anchor that was put in it or, if rows were changed, the last one, which is behind
 * now. Nothing if there has never been one. */
gboolean cmk_anchor_write (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
