/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: the public half goes when the private one does. */
#pragma once

#include "store/store.h"

/* Nothing to delete is fine. */
gboolean cmk_store_delete_public_key (CmkStore *store, const CmkUuid *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
