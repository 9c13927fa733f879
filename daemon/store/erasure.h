/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: which slots are to be erased since their records are gone. */
#pragma once

#include "store/row.h"

/* A row is about to change; @after: NULL if it goes. Its slot, should it be gone thereby, is kept in mind until the
 * commit. */
void cmk_erasure_note (CmkStore *store, const CmkTable *table, const CmkRowSource *before, const CmkRowSource *after);

/* At the end of a transaction, and before the list is read in one. */
gboolean cmk_erasure_write_noted (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
