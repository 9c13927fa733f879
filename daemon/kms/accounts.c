/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/accounts.h"

/* Above every uid. */
#define FIRST_OTHER_OWNER (G_GINT64_CONSTANT (1) << 32)

typedef struct
{
  gint64 owner;
  guint32 uid;
  char *name;
  gboolean is_stored; /* for certain */
} Account;

struct _CmkAccounts
{
  GMutex mutex;
  GHashTable *by_name;  /* set of Account: by uid and name */
  GHashTable *by_owner; /* gint64 in an Account -> Account */
  GHashTable *uids;     /* set: those that are somebody's */
};

static guint
hash_account (gconstpointer account)
{
  const Account *hashed = account;
  return g_str_hash (hashed->name) ^ hashed->uid;
}

static gboolean
equal_accounts (gconstpointer a, gconstpointer b)
{
  const Account *first = a, *second = b;
  return first->uid == second->uid && g_str_equal (first->name, second->name);
}

static void
free_account (gpointer account)
{
  g_free (((Account *) account)->name);
  g_free (account);
}

CmkAccounts *
cmk_accounts_new (void)
{
  CmkAccounts *accounts = g_new0 (CmkAccounts, 1);
  g_mutex_init (&accounts->mutex);
  accounts->by_name = g_hash_table_new_full (hash_account, equal_accounts, free_account, NULL);
  accounts->by_owner = g_hash_table_new (g_int64_hash, g_int64_equal);
  accounts->uids = g_hash_table_new (NULL, NULL);
  return accounts;
}

void
cmk_accounts_free (CmkAccounts *accounts)
{
  if (accounts == NULL)
    return;
  g_hash_table_unref (accounts->uids);
  g_hash_table_unref (accounts->by_owner);
  g_hash_table_unref (accounts->by_name);
  g_mutex_clear (&accounts->mutex);
  g_free (accounts);
}

static void
add_account (CmkAccounts *accounts, const CmkAccountRecord *record, gboolean is_stored)
{
  Account *account = g_new (Account, 1);
  *account = (Account) {
    .owner = record->owner,
    .uid = record->uid,
    .name = g_strdup (record->name),
    .is_stored = is_stored,
  };
  g_hash_table_add (accounts->by_name, account);
  g_hash_table_insert (accounts->by_owner, &account->owner, account);
  g_hash_table_add (accounts->uids, GUINT_TO_POINTER (account->uid));
}

static void
add_stored (const CmkAccountRecord *record, gpointer accounts)
{
  add_account (accounts, record, TRUE);
}

gboolean
cmk_accounts_load (CmkAccounts *accounts, CmkStore *store, GError **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  g_hash_table_remove_all (accounts->uids);
  g_hash_table_remove_all (accounts->by_owner);
  g_hash_table_remove_all (accounts->by_name);
  return cmk_store_visit_accounts (store, add_stored, accounts, error);
}

gint64
cmk_accounts_find (CmkAccounts *accounts, guint32 uid, const char *name)
{
  const Account sought = { .uid = uid, .name = (char *) name };
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  const Account *account = g_hash_table_lookup (accounts->by_name, &sought);
  if (account != NULL)
    return account->owner;
  return g_hash_table_contains (accounts->uids, GUINT_TO_POINTER (uid)) ? CMK_NO_OWNER : (gint64) uid;
}

static gint64
choose_owner (const CmkAccounts *accounts, guint32 uid)
{
  if (!g_hash_table_contains (accounts->uids, GUINT_TO_POINTER (uid)))
    return uid;
  gint64 owner = FIRST_OTHER_OWNER;
  while (g_hash_table_contains (accounts->by_owner, &owner))
    owner++;
  return owner;
}

gint64
cmk_accounts_assign (CmkAccounts *accounts, guint32 uid, const char *name)
{
  const Account sought = { .uid = uid, .name = (char *) name };
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  const Account *account = g_hash_table_lookup (accounts->by_name, &sought);
  if (account != NULL)
    return account->owner;
  const CmkAccountRecord record = { .owner = choose_owner (accounts, uid), .uid = uid, .name = name };
  add_account (accounts, &record, FALSE);
  return record.owner;
}

gboolean
cmk_accounts_write (CmkAccounts *accounts, CmkStore *store, gint64 owner, GError **error)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  const Account *account = g_hash_table_lookup (accounts->by_owner, &owner);
  g_return_val_if_fail (account != NULL, FALSE);
  const CmkAccountRecord record = { .owner = owner, .uid = account->uid, .name = account->name };
  return cmk_store_put_account (store, &record, error);
}

/* Has it ever been found to be stored? */
static gboolean
is_stored (CmkAccounts *accounts, gint64 owner)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  const Account *account = g_hash_table_lookup (accounts->by_owner, &owner);
  return account != NULL && account->is_stored;
}

static void
note_stored (CmkAccounts *accounts, gint64 owner)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  ((Account *) g_hash_table_lookup (accounts->by_owner, &owner))->is_stored = TRUE;
}

gboolean
cmk_accounts_claim (CmkAccounts *accounts, CmkStore *store, guint32 uid, const char *name, GError **error)
{
  gint64 owner = cmk_accounts_assign (accounts, uid, name);
  gboolean has;
  if (is_stored (accounts, owner))
    return TRUE;
  if (!cmk_store_has_account (store, owner, &has, error))
    return FALSE;
  if (!has)
    {
      g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin (store, error);
      if (transaction == NULL || !cmk_accounts_write (accounts, store, owner, error) ||
          !cmk_store_commit (transaction, error))
        return FALSE;
    }
  note_stored (accounts, owner);
  return TRUE;
}

gboolean
cmk_accounts_drop_unused (CmkStore *store, GError **error)
{
  gboolean any;
  if (!cmk_store_has_unused_accounts (store, &any, error))
    return FALSE;
  if (!any)
    return TRUE;
  g_autoptr (CmkStoreTransaction) transaction = cmk_store_begin_removal (store, error);
  return transaction != NULL && cmk_store_delete_unused_accounts (store, error) &&
         cmk_store_commit (transaction, error);
}

guint32
cmk_accounts_uid (CmkAccounts *accounts, gint64 owner)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&accounts->mutex);
  const Account *account = g_hash_table_lookup (accounts->by_owner, &owner);
  return account != NULL ? account->uid : (guint32) owner;
}
