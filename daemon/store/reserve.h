/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: space that is kept for taking things away, which on a full disk needs some too. */
#pragma once

#include "store/store.h"

/* Open its file, making it where it is missing. A full disk is no error; a file that is not ours is. */
gboolean cmk_reserve_claim (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Hold the space, if it is not held and there is that much. */
void cmk_reserve_keep (CmkStore *store);

void cmk_reserve_release (CmkStore *store);

/* Before a removal: see to it that the log has room for it, if need be from the reserve. */
void cmk_reserve_make_room (CmkStore *store);
