/* SPDX-License-Identifier: Apache-2.0
 *
 * KeyMaterialExpiring: each number of days of [Expiry] NoticeDays ahead of the expiry of material, whoever has material
 * that was there by then is told, once (a crash while it is sent: perhaps twice); late if nobody ran at the time. Goes
 * by confirmed time: a clock that was wrong for a while neither sends nor swallows a notice. */
#pragma once

#include "base/config.h"
#include "store/store.h"

typedef struct _CmkExpiryNotices CmkExpiryNotices;

/* The material of @key_id expires at @expires_at. */
typedef void (*CmkExpiringFunc) (const CmkUuid *key_id, gint64 expires_at, gpointer user_data);

/* @config outlives the notices. */
CmkExpiryNotices *cmk_expiry_notices_new (const CmkConfig *config, CmkExpiringFunc expiring, gpointer user_data);
void cmk_expiry_notices_free (CmkExpiryNotices *notices);

/* What was told until when, from the store; of a store that does not know: everything until @confirmed. */
gboolean cmk_expiry_notices_load (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* In a transaction. @are_delivered: all that was told has been sent; what was not is told again by the next process. */
gboolean cmk_expiry_notices_put (CmkExpiryNotices *notices, CmkStore *store, gboolean are_delivered,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Tell what is to be told by @confirmed. If that cannot be found out nobody is told, and it is due again in a
 * minute. */
gboolean cmk_expiry_notices_tell (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Nothing is due by @confirmed, and by that time nothing more will be. */
void cmk_expiry_notices_pass (CmkExpiryNotices *notices, gint64 confirmed);

/* There is material that expires at @expires_at. */
void cmk_expiry_notices_note (CmkExpiryNotices *notices, gint64 expires_at);

/* When the next notice may be due; 0: none will be. */
gint64 cmk_expiry_notices_next (const CmkExpiryNotices *notices);
