/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: the scheduled deletion of a key, which the record of the key carries. */
#pragma once

#include "store/store.h"

/* Fill in when @record is to be deleted and what it was before. CMK_ERROR_STATE_CORRUPTED if that is missing or not as
 * we wrote it. */
gboolean cmk_store_load_deletion (CmkStore *store, CmkKeyRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Have a row if @record is to be deleted, and none if it is not. */
gboolean cmk_store_keep_deletion (CmkStore *store, const CmkKeyRecord *record,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
