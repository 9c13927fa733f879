/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: what the list of keys has to know of grants. */
#pragma once

#include "store/store.h"

/* The serial of the first key after @after that fits @filter and seems to be granted to whom it is for; G_MAXINT64 if
 * there is none. By index; nothing that it reads is authenticated. */
gboolean cmk_store_next_granted (CmkStore *store, const CmkKeyFilter *filter, gint64 after, gint64 *ret_serial,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* May whom @filter is for describe the key @id, by a grant that we wrote? */
gboolean cmk_store_may_describe (CmkStore *store, const CmkKeyFilter *filter, const CmkUuid *id, gboolean *ret_may,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
