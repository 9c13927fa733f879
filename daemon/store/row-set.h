/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: all rows as one set. A hook of SQLite's tells of every change, those of foreign keys' actions
 * too, so no statement can forget to. */
#pragma once

#include "store/store.h"

typedef struct
{
  guint64 words[4];    /* what the rows contribute, modulo 2^256, least significant word first */
  gboolean is_known;   /* FALSE: not computed, and not kept up to date */
  gboolean by_content; /* a row whose MAC is damaged counts with the one that it should have */
} CmkRowSum;

/* Have the open database report its changes. */
void cmk_row_set_watch (CmkStore *store);

/* From all rows. */
gboolean cmk_row_set_compute (CmkStore *store, gboolean by_content, CmkRowSum *ret_sum,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What of the sum may stand on the disk. */
gboolean cmk_row_set_mac (CmkStore *store, const CmkRowSum *sum, guint8 ret_mac[CMK_ROW_MAC_SIZE],
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
