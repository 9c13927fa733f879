/* SPDX-License-Identifier: Apache-2.0 */
#include "store/database.h"

#include "base/error.h"
#include "store/anchor.h"
#include "store/erasure.h"
#include "store/log.h"
#include "store/reserve.h"

CmkStoreTransaction *
cmk_store_begin (CmkStore *store, GError **error)
{
  g_return_val_if_fail (store->transaction == NULL, NULL);
  if (store->reads_unverified)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_STATE_NOT_ALLOWED,
                           "the state can only be read until its own TPM is back or an administrator recovers it");
      return NULL;
    }
  if (store->log_is_suspect && !cmk_log_recover (store, error))
    return NULL;
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "BEGIN IMMEDIATE", error);
  if (statement == NULL || !cmk_store_run (store, statement, error))
    return NULL;
  CmkStoreTransaction *transaction = g_new0 (CmkStoreTransaction, 1);
  transaction->store = store;
  transaction->rows = store->rows;
  transaction->erasures = g_array_new (FALSE, FALSE, sizeof (gint64));
  store->transaction = transaction;
  return transaction;
}

CmkStoreTransaction *
cmk_store_begin_removal (CmkStore *store, GError **error)
{
  g_return_val_if_fail (store->transaction == NULL, NULL);
  if (store->log_is_suspect && !cmk_log_recover (store, error))
    return NULL;
  if (!store->reads_unverified)
    cmk_reserve_make_room (store);
  CmkStoreTransaction *transaction = cmk_store_begin (store, error);
  if (transaction != NULL)
    transaction->is_removal = TRUE;
  return transaction;
}

/* Some failures have SQLite roll back by itself. */
static void
roll_back (CmkStore *store)
{
  g_autoptr (GError) error = NULL;
  if (!sqlite3_get_autocommit (store->database) && !cmk_store_execute (store, "ROLLBACK", &error))
    g_warning ("a transaction could not be rolled back: %s", error->message);
}

/* Whether it was committed or not. */
static void
finish (CmkStoreTransaction *transaction)
{
  CmkStore *store = g_steal_pointer (&transaction->store);
  g_autoptr (GError) error = NULL;
  store->transaction = NULL;
  store->removal_lacked_room =
      transaction->is_removal && g_error_matches (transaction->error, CMK_ERROR, CMK_ERROR_STORAGE_FULL);
  if (store->log_is_suspect && !cmk_log_recover (store, &error))
    g_warning ("%s", error->message);
  cmk_log_keep_short (store);
  cmk_reserve_keep (store);
}

gboolean
cmk_store_check_transaction (CmkStore *store, GError **error)
{
  CmkStoreTransaction *transaction = store->transaction;
  g_return_val_if_fail (transaction != NULL, FALSE);
  if (transaction->error == NULL && !sqlite3_get_autocommit (store->database))
    return TRUE;
  if (transaction->error != NULL)
    g_propagate_error (error, g_error_copy (transaction->error));
  else
    g_set_error (error, CMK_ERROR, CMK_ERROR_STORAGE_FAILURE,
                 "the state in %s: a change failed and took with it those that belong to it: try again",
                 store->directory);
  return FALSE;
}

/* What the rows have become is known only now. */
static gboolean
write_and_commit (CmkStore *store, GError **error)
{
  if (!cmk_store_check_transaction (store, error) || !cmk_erasure_write_noted (store, error) ||
      !cmk_anchor_write (store, error))
    return FALSE;
  g_autoptr (sqlite3_stmt) statement = cmk_store_prepare (store, "COMMIT", error);
  return statement != NULL && cmk_store_run (store, statement, error);
}

gboolean
cmk_store_commit (CmkStoreTransaction *transaction, GError **error)
{
  CmkStore *store = transaction->store;
  g_return_val_if_fail (store != NULL, FALSE);
  if (!write_and_commit (store, error))
    {
      roll_back (store);
      finish (transaction);
      return FALSE;
    }
  store->rows = transaction->rows;
  if (transaction->anchor != NULL)
    {
      g_free (store->anchor);
      store->anchor = g_steal_pointer (&transaction->anchor);
    }
  finish (transaction);
  return TRUE;
}

void
cmk_store_transaction_free (CmkStoreTransaction *transaction)
{
  if (transaction == NULL)
    return;
  if (transaction->store != NULL)
    {
      roll_back (transaction->store);
      finish (transaction);
    }
  g_array_unref (transaction->erasures);
  g_free (transaction->anchor);
  g_clear_error (&transaction->error);
  g_free (transaction);
}
