/* SPDX-License-Identifier: Apache-2.0
 *
 * The durable state: one SQLite database, one owner. daemon/store is the only door to SQLite; results are translated
 * once, there: CMK_ERROR_STORAGE_FULL, CMK_ERROR_STORAGE_FAILURE, CMK_ERROR_STATE_CORRUPTED.
 *
 * Every row is authenticated by a MAC over all its columns, its table and its primary key, so an edited, swapped or
 * truncated row is CMK_ERROR_STATE_CORRUPTED for what it describes and harmless to all else. The key of the MAC comes
 * from outside, see cmk_store_set_mac(). Worker thread only, but for opening. */
#pragma once

#include <glib.h>

#include "base/spec.h"
#include "base/uuid.h"

#define CMK_ROW_MAC_SIZE 32

typedef struct _CmkStore CmkStore;

/* Computes the MAC of @data. */
typedef gboolean (*CmkRowMac) (gpointer user_data, const guint8 *data, gsize size, guint8 ret_mac[CMK_ROW_MAC_SIZE],
                               GError **error);

/* Open, or make, the database in @directory (mode 0700, ours, no symlink: else CMK_ERROR_STORAGE_FAILURE saying what
 * to mend). The directory is locked for this process alone. An older format is brought forward to ours; a newer one is
 * CMK_ERROR_STATE_CORRUPTED and left untouched. */
CmkStore *cmk_store_open (const char *directory, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_store_close (CmkStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkStore, cmk_store_close)

/* Return when no cmkd holds @directory, at once if none does, and after so many @seconds whatever is: one that is
 * ending may be wanted again already. */
void cmk_store_await_release (const char *directory, guint seconds);

/* What the store in @directory takes on the disk, in bytes; 0 if that cannot be told. Any thread. */
guint64 cmk_store_size (const char *directory);

/* From here on rows are written with this MAC and refused without it. Nothing but meta values is written before, nor
 * before cmk_store_load_anchor() or cmk_store_authenticate_anew() has told which rows there are: such a commit is
 * refused. */
void cmk_store_set_mac (CmkStore *store, CmkRowMac mac, gpointer user_data);

/* There is no MAC to be had: let rows be read by their form alone, and nothing be written, until
 * cmk_store_set_mac(). */
void cmk_store_read_unverified (CmkStore *store);

/* --- the rows as a whole ---
 *
 * A MAC says that a row is ours, not that it is the latest. So each row adds HMAC ("cmkd row in set 1" || its MAC) to a
 * sum modulo 2^256, which every change keeps up to date in memory; the anchor holds a MAC of the sum, never the sum,
 * for who knew it could look for older rows that add up to it. */

#define CMK_STAGE_SIZE 16

typedef struct
{
  guint8 stage[CMK_STAGE_SIZE]; /* which of the TPM's two stages this state belongs to; zeroes: to none */
  guint32 nv_handle;            /* of the NV index that holds the stages; 0: none */
  gboolean is_behind;           /* something was changed since the TPM last took note; set by cmk_store_commit() */
  guint64 steps;                /* how often the TPM took note */
} CmkStoreAnchor;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkStoreAnchor, g_free)

/* Compute the sum from all rows and compare it with what the anchor says. NULL without an error if there is no anchor
 * (a new state, or one of format 3): it is to be written in the next transaction. *ret_rows_are_current: FALSE if a row
 * is older than the latest of its place, is missing, or should not be there; TRUE too if rows are merely damaged, which
 * whoever reads them finds out. CMK_ERROR_STATE_CORRUPTED if the anchor itself, a fact or an erasure is not as we wrote
 * it: that is nobody's in particular. */
CmkStoreAnchor *cmk_store_load_anchor (CmkStore *store, gboolean *ret_rows_are_current, GError **error);

/* In a transaction: what its commit writes as the anchor, as it is (without setting is_behind). Takes the rows for what
 * they are now. */
gboolean cmk_store_put_anchor (CmkStore *store, const CmkStoreAnchor *anchor, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Has anything been committed since the anchor was last put? */
gboolean cmk_store_is_behind (CmkStore *store);

/* --- store-wide facts, authenticated like any row; unlike meta values, they may change --- */

/* NULL without an error if there is none. */
GBytes *cmk_store_get_fact (CmkStore *store, const char *name, GError **error);
/* In a transaction. */
gboolean cmk_store_put_fact (CmkStore *store, const char *name, GBytes *value,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- erasure: see kms/erasure.h. All but reading in a transaction. ---
 *
 * The envelope of a key or of an import set begins with its slot, 8 bytes big-endian. A record that goes, or whose
 * envelope is replaced, for whatever reason, leaves that slot in the list of erasures, in the same commit. */

/* Slots (gint64) whose records are gone, in order; in a transaction, those that it has taken out itself too. */
GArray *cmk_store_list_erasures (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_has_erasures (CmkStore *store, gboolean *ret_any, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_clear_erasures (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_STATE_CORRUPTED if it is missing or not as we wrote it. */
GBytes *cmk_store_get_erasure_page (CmkStore *store, gint64 page, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* @n_free: how many of its slots are. Inserts or replaces. */
gboolean cmk_store_put_erasure_page (CmkStore *store, gint64 page, guint n_free, GBytes *content,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Some page with a free slot; -1 if there is none. By index. */
gboolean cmk_store_find_free_erasure_page (CmkStore *store, gint64 *ret_page, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* All of them: for a new tree. */
gboolean cmk_store_delete_erasure_pages (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Every import set; none is of use any more. */
gboolean cmk_store_delete_import_sets (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Call @each with every row that has an envelope, so that it can be given another one; FALSE from it ends the walk. */
typedef gboolean (*CmkStoreReseal) (gpointer user_data, GBytes *envelope, GBytes **ret_envelope, GError **error);
gboolean cmk_store_reseal_envelopes (CmkStore *store, CmkStoreReseal each, gpointer user_data,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Authenticate every row anew, as it is, with the MAC that is set now: the rows were read with another, or with
 * none. */
gboolean cmk_store_authenticate_anew (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Store-wide values: written together at first start, before there is a MAC key, hence not MACed; what they hold is
 * authenticated by its own envelope or checked against the TPM. NULL without an error when there is none. */
GBytes *cmk_store_get_meta (CmkStore *store, const char *name, GError **error);
gboolean cmk_store_put_meta (CmkStore *store, const char *name, GBytes *value,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Several changes become durable together or not at all. cmk_store_commit() returns when they are on the disk.
 * A transaction that goes out of scope uncommitted is rolled back. They do not nest. Nothing but meta values is changed
 * outside of one. */
typedef struct _CmkStoreTransaction CmkStoreTransaction;
CmkStoreTransaction *cmk_store_begin (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_commit (CmkStoreTransaction *transaction, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same for what takes away, or notes what must be noted before something else is done: a full disk does not hold it
 * up, for some space is kept for these. */
CmkStoreTransaction *cmk_store_begin_removal (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_store_transaction_free (CmkStoreTransaction *transaction);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkStoreTransaction, cmk_store_transaction_free)

/* One key. A row holds no secret: @sealed_key is the TPM's blob, @envelope is encrypted under what that blob holds. */
typedef struct
{
  CmkUuid id;
  gint64 serial; /* position in ListKeys; set by cmk_store_insert_key() */
  gint64 owner;  /* see kms/accounts.h */
  gint64 created_at;
  CmkKeySpec spec;
  CmkKeyUsage usage;
  CmkOrigin origin;
  CmkProtectionLevel protection_level;
  CmkKeyState state;
  char *description;
  gint64 expires_at;   /* of the material; 0 = never, and 0 when there is none */
  GBytes *sealed_key;  /* NULL when there is no material */
  GBytes *envelope;    /* likewise */
  GBytes *fingerprint; /* NULL until the first import; kept for ever after */

  /* Of a key in PendingDeletion; else 0, and neither written nor read. */
  gint64 delete_at;
  CmkKeyState state_before;
} CmkKeyRecord;

CmkKeyRecord *cmk_key_record_new (void);
void cmk_key_record_free (CmkKeyRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkKeyRecord, cmk_key_record_free)

/* CMK_ERROR_KEY_ALREADY_EXISTS if the id is taken. Sets record->serial. */
gboolean cmk_store_insert_key (CmkStore *store, CmkKeyRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* When material is taken out, what it was is nowhere in the directory after the commit. */
gboolean cmk_store_update_key (CmkStore *store, const CmkKeyRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The key and all that hangs on it: import sets, public key, aliases, tags. What it was is nowhere in the directory
 * after the commit. */
gboolean cmk_store_delete_key (CmkStore *store, const CmkUuid *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_KEY_NOT_FOUND if there is none, CMK_ERROR_STATE_CORRUPTED if the row, or that of its scheduled deletion, is
 * not as we wrote it. A row whose id was altered on the disk is not found: to know it for one all would have to be
 * read. */
CmkKeyRecord *cmk_store_get_key (CmkStore *store, const CmkUuid *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The public key (DER SubjectPublicKeyInfo) of the asymmetric key @id, for as long as it has material: taking the
 * material out takes this out as well. Putting one that is there already replaces it. In the transaction that writes
 * the key. */
gboolean cmk_store_put_public_key (CmkStore *store, const CmkUuid *id, GBytes *public_key,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* CMK_ERROR_STATE_CORRUPTED if it is missing or not as we wrote it: call it only for a key that must have one. */
GBytes *cmk_store_get_public_key (CmkStore *store, const CmkUuid *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Does the row of @id, whose MAC may be wrong, say that @owner owns the key? Good for nothing but to choose what not to
 * tell others. */
gboolean cmk_store_claims_owner (CmkStore *store, const CmkUuid *id, gint64 owner);

#define CMK_OWNER_ANY (-1)

typedef struct
{
  gint64 owner; /* or CMK_OWNER_ANY */
  const guint32
      *groups; /* gids: keys that may be described by a grant to one of these, or to the owner, are listed too */
  gsize n_groups;
  int state; /* 0 = any; a key whose material expires by @now is without it */
  gint64 now;
  int spec;   /* 0 = any */
  int origin; /* 0 = any */
  gint64 after_serial;
  guint limit;
} CmkKeyFilter;

/* Up to filter->limit records in the order they were made; by index, never a scan of others' keys for one owner.
 * A corrupted row is left out, with a warning in the log, and does not count.
 * *ret_more: is there another one after the last? */
GPtrArray *cmk_store_list_keys (CmkStore *store, const CmkKeyFilter *filter, gboolean *ret_more,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Is there no key at all? */
gboolean cmk_store_is_empty (CmkStore *store, gboolean *ret_empty, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_store_count_keys (CmkStore *store, gint64 owner, guint *ret_count,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Ids of keys whose material expires at or before @when, soonest first, at most @limit; by index. */
GArray *cmk_store_list_expired (CmkStore *store, gint64 when, guint limit, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Call @visit with each key whose material expires after @after and not after @until, soonest first, until it says
 * FALSE. By index; a corrupted row is left out, with a warning. */
typedef gboolean (*CmkStoreVisit) (const CmkKeyRecord *record, gpointer user_data);
gboolean cmk_store_visit_expiring (CmkStore *store, gint64 after, gint64 until, CmkStoreVisit visit, gpointer user_data,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* When the first material expires after @after, or 0 if none will. By index. */
gboolean cmk_store_next_expiry (CmkStore *store, gint64 after, gint64 *ret_when,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same of keys to be deleted: ids, soonest first, of those whose date has come by @when, and the next date. */
GArray *cmk_store_list_deletable (CmkStore *store, gint64 when, guint limit, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_next_deletion (CmkStore *store, gint64 *ret_when, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One alias, in the name space of the owner that made it. */
typedef struct
{
  gint64 serial; /* position in ListAliases; set by cmk_store_insert_alias() */
  gint64 owner;
  char *name; /* with its prefix */
  CmkUuid key_id;
} CmkAliasRecord;

CmkAliasRecord *cmk_alias_record_new (gint64 owner, const char *name, const CmkUuid *key_id);
void cmk_alias_record_free (CmkAliasRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkAliasRecord, cmk_alias_record_free)

/* FALSE with CMK_ERROR_ALIAS_ALREADY_EXISTS if @owner has an alias @name, be its row damaged or not. */
gboolean cmk_store_check_alias_free (CmkStore *store, gint64 owner, const char *name,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The name is free. Sets record->serial. */
gboolean cmk_store_insert_alias (CmkStore *store, CmkAliasRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Make the alias one of record->key_id. */
gboolean cmk_store_update_alias (CmkStore *store, const CmkAliasRecord *record,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_delete_alias (CmkStore *store, gint64 owner, const char *name,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_ALIAS_NOT_FOUND if @owner has none of that name, CMK_ERROR_STATE_CORRUPTED if it, or another of @owner's
 * that may have been it, is not as we wrote it. So with deleting one. */
CmkAliasRecord *cmk_store_get_alias (CmkStore *store, gint64 owner, const char *name,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct
{
  gint64 owner;          /* or CMK_OWNER_ANY: with a key only */
  const CmkUuid *key_id; /* NULL = of any key */
  gint64 after_serial;
  guint limit;
} CmkAliasFilter;

/* Up to filter->limit records in the order they were made, by index. A corrupted row is left out, with a warning.
 * *ret_more: is there another one after the last? */
GPtrArray *cmk_store_list_aliases (CmkStore *store, const CmkAliasFilter *filter, gboolean *ret_more,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Of everybody's. */
gboolean cmk_store_count_aliases (CmkStore *store, const CmkUuid *key_id, guint *ret_count,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- owners ---
 *
 * An owner is a number that stands for an account, that is for a name under a uid. */
typedef struct
{
  gint64 owner;
  guint32 uid;
  const char *name;
} CmkAccountRecord;

/* Nothing, if there is one of that number already. */
gboolean cmk_store_put_account (CmkStore *store, const CmkAccountRecord *record,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_store_has_account (CmkStore *store, gint64 owner, gboolean *ret_has,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Those that no key, alias, import set or grant names. */
gboolean cmk_store_has_unused_accounts (CmkStore *store, gboolean *ret_any, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_delete_unused_accounts (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* All of them, by number. A damaged one is CMK_ERROR_STATE_CORRUPTED, which cmk_store_load_anchor() says first. */
typedef void (*CmkStoreVisitAccount) (const CmkAccountRecord *record, gpointer user_data);
gboolean cmk_store_visit_accounts (CmkStore *store, CmkStoreVisitAccount visit, gpointer user_data,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- grants --- */

/* Stored, never renumbered. */
typedef enum
{
  CMK_GRANTEE_USER = 1,
  CMK_GRANTEE_GROUP = 2,
} CmkGranteeKind;

typedef struct
{
  CmkUuid id;
  CmkUuid key_id;
  gint64 key_serial; /* as in the key's record: what lists go by */
  CmkGranteeKind grantee_kind;
  gint64 grantee;   /* an owner, or a gid */
  guint operations; /* CmkOperation, one or more */
  gint64 created_at;
} CmkGrantRecord;

/* Is it for this owner, or for one of these groups? */
gboolean cmk_grant_is_for (const CmkGrantRecord *grant, gint64 owner, const guint32 *groups, gsize n_groups);

gboolean cmk_store_insert_grant (CmkStore *store, const CmkGrantRecord *record,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The one of that id. */
gboolean cmk_store_update_grant (CmkStore *store, const CmkGrantRecord *record,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Be its row damaged or not. *ret_found: has the key one of that id? */
gboolean cmk_store_delete_grant (CmkStore *store, const CmkUuid *key_id, const CmkUuid *id, gboolean *ret_found,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Of all keys. */
gboolean cmk_store_delete_grants (CmkStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CmkGrantRecord of the key, in the order they were made. A damaged row is left out, with a warning. */
GArray *cmk_store_list_grants (CmkStore *store, const CmkUuid *key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Damaged ones too. */
gboolean cmk_store_count_grants (CmkStore *store, const CmkUuid *key_id, guint *ret_count,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The tags of a key, in an encoding that the store does not look into; zero bytes for none. */
gboolean cmk_store_put_tags (CmkStore *store, const CmkUuid *key_id, GBytes *tags,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
GBytes *cmk_store_get_tags (CmkStore *store, const CmkUuid *key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One import parameter set: the wrapping pair of one GetParametersForImport call. */
typedef struct
{
  CmkUuid id;
  CmkUuid key_id;
  gint64 owner; /* who asked */
  CmkWrappingAlgorithm algorithm;
  CmkWrappingKeySpec wrapping_spec;
  gint64 expires_at;
  guint failures; /* unwraps that failed; with CMKD_UNWRAP_FAILURE_BUDGET of them the set is stored as expired */
  GBytes *sealed_key;
  GBytes *envelope; /* the private key */
} CmkImportSetRecord;

CmkImportSetRecord *cmk_import_set_record_new (void);
void cmk_import_set_record_free (CmkImportSetRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkImportSetRecord, cmk_import_set_record_free)

gboolean cmk_store_insert_import_set (CmkStore *store, const CmkImportSetRecord *record,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_update_import_set (CmkStore *store, const CmkImportSetRecord *record,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_store_delete_import_set (CmkStore *store, const CmkUuid *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Those that end at or before @when, or after @latest, as none that was issued by now does. */
gboolean cmk_store_delete_expired_import_sets (CmkStore *store, gint64 when, gint64 latest,
                                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* When the next set expires, or 0 if there is none. By index. */
gboolean cmk_store_next_import_set_expiry (CmkStore *store, gint64 *ret_when, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* NULL without an error if there is none. */
CmkImportSetRecord *cmk_store_get_import_set (CmkStore *store, const CmkUuid *id, GError **error);

/* Sets that expire after @now and not after @latest, of one key and of one owner. */
gboolean cmk_store_count_import_sets (CmkStore *store, const CmkUuid *key_id, gint64 owner, gint64 now, gint64 latest,
                                      guint *ret_of_key, guint *ret_of_owner, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- what a cmkd leaves to the next one ---
 *
 * Digests by which the next start knows what this one has put into the kernel keyring. Good for one start; a crash
 * leaves none. */
#define CMK_HANDOVER_SIZE 64

void cmk_store_put_handover (CmkStore *store, const guint8 digests[CMK_HANDOVER_SIZE]);
gboolean cmk_store_take_handover (CmkStore *store, guint8 ret_digests[CMK_HANDOVER_SIZE]);
