/* SPDX-License-Identifier: Apache-2.0
 *
 * The clock's mark (base/clock.h) as a fact of the store, so that what is certain to have passed stays so. */
#pragma once

#include "store/store.h"

/* Start the clock from the store. *ret_kept_at: the confirmed time of its mark; 0 if there is none.
 * CMK_ERROR_STATE_CORRUPTED if it is damaged: without it nothing could be said to have expired. */
gboolean cmk_clock_mark_load (CmkStore *store, gint64 *ret_kept_at, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* In a transaction. */
gboolean cmk_clock_mark_put (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
