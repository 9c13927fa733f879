/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is who. What is in the state belongs to an owner: a number that stands for an account, that is for a name under a
 * uid. It is the uid itself for the first account that wrote something under it, and one from 2^32 up for whoever has
 * the uid later, under another name: he has nothing of his predecessor's. All of it is in memory. Any thread, but for
 * what writes. */
#pragma once

#include <glib.h>

#include "store/store.h"

typedef struct _CmkAccounts CmkAccounts;

/* Of an account that has nothing here, under a uid that was another's. */
#define CMK_NO_OWNER (-2)

CmkAccounts *cmk_accounts_new (void);
void cmk_accounts_free (CmkAccounts *accounts);

/* What @store has, in place of what is known; until then no uid has been anybody's. Worker. */
gboolean cmk_accounts_load (CmkAccounts *accounts, CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The owner that stands for @name under @uid, or CMK_NO_OWNER. */
gint64 cmk_accounts_find (CmkAccounts *accounts, guint32 uid, const char *name);

/* The same, after having given the account a number if it has none: one that lasts once cmk_accounts_write() has been
 * committed. Worker. */
gint64 cmk_accounts_assign (CmkAccounts *accounts, guint32 uid, const char *name);

/* In the transaction that writes something of @owner's, who was assigned that number: whose it is is written with
 * it. */
gboolean cmk_accounts_write (CmkAccounts *accounts, CmkStore *store, gint64 owner,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The account has been found to have something here. Whose it is is written down if it is not yet, as in a state that
 * is older than the table of accounts, lest the number be given to another. In no transaction. Worker. */
gboolean cmk_accounts_claim (CmkAccounts *accounts, CmkStore *store, guint32 uid, const char *name,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forget, before cmk_accounts_load(), who has nothing here any more. In no transaction. Worker. */
gboolean cmk_accounts_drop_unused (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The uid of @owner's account. */
guint32 cmk_accounts_uid (CmkAccounts *accounts, gint64 owner);
