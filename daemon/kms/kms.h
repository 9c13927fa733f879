/* SPDX-License-Identifier: Apache-2.0
 *
 * The key management service: the rules of the contract over vault, pool and caches. Knows no D-Bus.
 *
 * Functions that take a CmkCaller run on the worker thread unless they say otherwise; they check in the contract's
 * order (design 1.7) and change nothing when they refuse. Answers are given out after the commit. */
#pragma once

#include "base/config.h"
#include "base/spec.h"
#include "base/uuid.h"
#include "kms/accounts.h"
#include "kms/active-keys.h"
#include "kms/budget.h"
#include "kms/import-windows.h"
#include "kms/rates.h"
#include "kms/settling.h"
#include "kms/vault.h"
#include "kms/worker.h"
#include "kms/wrapping-pool.h"

typedef struct _CmkKms CmkKms;
typedef struct _CmkDue CmkDue;

typedef struct _CmkAccess CmkAccess;

/* Whoever asks, as the bus daemon vouches, and for what. */
typedef struct
{
  guint32 uid;
  const char *account; /* that had this uid when the connection was made; never "" */
  const guint32 *groups;
  gsize n_groups;
  gboolean is_administrator; /* of this cmkd: may decide what becomes of its state */
  CmkOperation operation;    /* as grants call it */
  CmkAccess *access;         /* what the call may do: see kms/access.h */
} CmkCaller;

/* How a call names a key: an id, or an alias ("alias/NAME"). */
typedef struct
{
  CmkUuid id;
  char *alias; /* NULL: by id */
} CmkKeyReference;

void cmk_key_reference_clear (CmkKeyReference *reference);

/* A call that could be answered from the caches was not: run it again on the worker. Never leaves the daemon. */
#define CMK_CACHE_MISS (cmk_cache_miss_quark ())
GQuark cmk_cache_miss_quark (void);

typedef enum
{
  CMK_EFFORT_CACHED, /* main loop or calculator: neither TPM nor disk; a miss is CMK_CACHE_MISS */
  CMK_EFFORT_FULL,   /* worker */
} CmkEffort;

/* What is told on the main loop. */
typedef struct
{
  /* A key changed, durably; before the answer of the call that changed it. */
  void (*key_changed) (const CmkUuid *key_id, CmkKeyState state, const char *reason, gpointer user_data);
  void (*material_expiring) (const CmkUuid *key_id, gint64 expires_at, gpointer user_data);
  /* When it returns, all that was told has left the process. */
  void (*flush) (gpointer user_data);
} CmkKmsEvents;

/* Open the store in @directory, erase and delete what came due while nobody served, start the threads. @config must
 * outlive it. Main thread, before the loop runs. */
CmkKms *cmk_kms_open (const CmkConfig *config, const char *directory, const CmkKmsEvents *events, gpointer user_data,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a daemon that nobody uses is still needed for within so many @seconds; NULL: nothing. All else can wait until
 * the next start, or is done by cmk_kms_close(). Pairs that are ready or being made ahead are no reason: they are lost
 * with the process whenever it ends. Main thread. */
const char *cmk_kms_reason_to_stay (CmkKms *kms, gint64 seconds);

/* For good, as far as we know. No more waiting for wrapping keys: who waits is told to call again. What else is under
 * way goes on. Main thread. */
void cmk_kms_begin_stop (CmkKms *kms);

/* Finish what is queued and close. Main thread, after the loop. */
void cmk_kms_close (CmkKms *kms);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkKms, cmk_kms_close)

/* The parts, for the rules in this directory and for status. */
const CmkConfig *cmk_kms_config (CmkKms *kms);
CmkVault *cmk_kms_vault (CmkKms *kms);
CmkStore *cmk_kms_store (CmkKms *kms);
CmkWorker *cmk_kms_worker (CmkKms *kms);
CmkWorker *cmk_kms_calculator (CmkKms *kms);
CmkWrappingPool *cmk_kms_pool (CmkKms *kms);
CmkAccounts *cmk_kms_accounts (CmkKms *kms);
CmkActiveKeys *cmk_kms_active_keys (CmkKms *kms);
CmkSettling *cmk_kms_settling (CmkKms *kms);
CmkRates *cmk_kms_rates (CmkKms *kms);
CmkBudgets *cmk_kms_decrypt_failures (CmkKms *kms); /* by key and uid */
CmkDue *cmk_kms_due (CmkKms *kms);
CmkImportWindows *cmk_kms_import_windows (CmkKms *kms);

/* Begin a call: unlock the vault if need be, erase and delete what is due, and say what time it is for this call. */
gboolean cmk_kms_begin (CmkKms *kms, gint64 *ret_now, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a call that only describes keys, which goes on where nothing else does: under another TPM, and with a
 * state that was rolled back. */
gboolean cmk_kms_begin_reading (CmkKms *kms, gint64 *ret_now, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What is @caller's belongs to this owner; CMK_NO_OWNER: he has nothing. Right once the call has begun. Any thread. */
gint64 cmk_kms_owner (CmkKms *kms, const CmkCaller *caller);

/* The same for what is about to be written; see cmk_accounts_assign(). */
gint64 cmk_kms_assign_owner (CmkKms *kms, const CmkCaller *caller);

/* In the transaction that writes it. */
gboolean cmk_kms_write_owner (CmkKms *kms, gint64 owner, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The id that @caller means: that of @reference, or of the key whose alias it is. CMK_ERROR_ALIAS_NOT_FOUND. */
gboolean cmk_kms_resolve (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, CmkUuid *ret_id,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The key that @caller may see under that name, and is permitted what he is about to do with: CMK_ERROR_KEY_NOT_FOUND,
 * with the one text, for a key that does not exist, for one of another owner, and for one whose deletion is overdue;
 * CMK_ERROR_ALIAS_NOT_FOUND. Material that expired by @when is not in the record: now, to use the key or tell of it;
 * cmk_clock_confirmed(), to change it, since what is not in the record that is written is erased. */
CmkKeyRecord *cmk_kms_load_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference, gint64 when,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Begin a call that is about one key as it is now: cmk_kms_begin(), then cmk_kms_load_key(). */
CmkKeyRecord *cmk_kms_begin_with_key (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *reference,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

void cmk_kms_refuse_unknown_key (GError **error);

/* TRUE if @state is Enabled; else the contract's error for a key in that state. */
gboolean cmk_kms_require_enabled (CmkKeyState state, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE unless @state is PendingDeletion. */
gboolean cmk_kms_require_no_deletion (CmkKeyState state, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The deletion of @record is overdue: nobody may see it any more, whether or not the sweep has succeeded. */
gboolean cmk_kms_is_deleted (const CmkKeyRecord *record);

/* Make the changed @record durable, forget what is cached of the key, tell @reason. */
gboolean cmk_kms_commit_key (CmkKms *kms, const CmkKeyRecord *record, const char *reason,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a commit of another record of the key, or of its end, must be followed by: forget what is cached of the key,
 * tell
 * @reason. */
void cmk_kms_key_changed (CmkKms *kms, const CmkUuid *key_id, CmkKeyState state, const char *reason);

/* What the Enabled key @record is used with is at hand: keep it for the uses that come next. @material may be NULL, and
 * is not kept of a key of level TPM; @public_key is NULL of a symmetric key. */
void cmk_kms_keep_active (CmkKms *kms, const CmkKeyRecord *record, const CmkSecret *material, GBytes *public_key);

/* Nothing of the key is cached any more. What takes its material away does this before its commit, so that a crash
 * leaves nothing in the keyring that could still be used. */
void cmk_kms_forget (CmkKms *kms, const CmkUuid *key_id);

/* Tell that a key changed. Any thread. */
void cmk_kms_tell (CmkKms *kms, const CmkUuid *key_id, CmkKeyState state, const char *reason);

/* Main thread: what was told before, and delivered since, has left the process. */
void cmk_kms_flush_told (CmkKms *kms);

/* Take the material out of @record: what deletion and expiry do. A key that is scheduled for deletion stays so. */
void cmk_kms_strip_material (CmkKeyRecord *record);
void cmk_kms_strip_if_expired (CmkKeyRecord *record, gint64 now);

/* In a transaction: what was sealed for @record is stored in a slot of its own. */
gboolean cmk_kms_protect_material (CmkKms *kms, CmkKeyRecord *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Put @material into @record, sealed or inside the TPM as its level asks, as the last command of the session. */
gboolean cmk_kms_seal_material (CmkKms *kms, CmkTpmSession *session, CmkKeyRecord *record, const CmkSecret *material,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Before the TPM makes an RSA key for @uid, or opens a credential: either takes it seconds, and everybody waits.
 * CMK_ERROR_THROTTLED if @uid has had too many (TpmKeysPerHour). */
gboolean cmk_kms_charge_tpm_key (CmkKms *kms, guint32 uid, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Who the envelope of the material of @record is sealed for. */
CmkSecretIdentity cmk_kms_material_identity (const CmkKeyRecord *record);

/* Keys whose erasure shares a commit. */
#define CMK_SWEEP_SLICE 100
