/* SPDX-License-Identifier: Apache-2.0
 *
 * Ready wrapping pairs, made ahead of need and sealed when made: a call waits neither for the generator nor for the
 * TPM. An RSA key of cmkd's own making is one of them as well, before anybody has seen its public half. Two threads
 * generate: one at idle priority to fill the pool, one at normal priority for whoever waits. */
#pragma once

#include "base/config.h"
#include "base/spec.h"
#include "base/uuid.h"
#include "kms/vault.h"
#include "kms/worker.h"

typedef struct _CmkWrappingPool CmkWrappingPool;

/* A pair whose private half is sealed under its id. */
typedef struct
{
  CmkUuid id;
  CmkWrappingKeySpec spec;
  GBytes *public_key; /* DER SubjectPublicKeyInfo */
  GBytes *sealed_key;
  GBytes *envelope;
} CmkWrappingPair;

void cmk_wrapping_pair_free (CmkWrappingPair *pair);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkWrappingPair, cmk_wrapping_pair_free)

/* Who the private half of a pair is sealed for. */
CmkSecretIdentity cmk_wrapping_pair_identity (const CmkUuid *id, CmkWrappingKeySpec spec);

CmkWrappingPool *cmk_wrapping_pool_start (const CmkConfig *config, CmkVault *vault, CmkWorker *worker);

/* Make no more pairs: whoever waits gets CMK_ERROR_THROTTLED (on the main loop, if it still runs). */
void cmk_wrapping_pool_stop (CmkWrappingPool *pool);

/* After stop: wait for the threads. The worker must still run, and have ended before cmk_wrapping_pool_free(). */
void cmk_wrapping_pool_join (CmkWrappingPool *pool);
void cmk_wrapping_pool_free (CmkWrappingPool *pool);

/* A ready pair, or NULL if there is none at the moment. Any thread. */
CmkWrappingPair *cmk_wrapping_pool_take (CmkWrappingPool *pool, CmkWrappingKeySpec spec);

/* Put @pair, which nobody has seen, back for the next. Takes it; NULL is fine. Any thread. */
void cmk_wrapping_pool_give_back (CmkWrappingPool *pool, CmkWrappingPair *pair);

/* Forget the ready pairs: the TPM that sealed them is not there any more. Any thread. */
void cmk_wrapping_pool_discard (CmkWrappingPool *pool);

/* Called once, on the main loop: with a @pair that it owns from then on, or with an @error. */
typedef void (*CmkPairReadyFunc) (CmkWrappingPair *pair, const GError *error, gpointer user_data);

/* Wait for a pair for an import into the key @key_id of @uid, or, with @key_id NULL, to make a new key of it. Users are
 * served in turn, each one's calls in the order in which they came. Main loop. */
void cmk_wrapping_pool_wait (CmkWrappingPool *pool, CmkWrappingKeySpec spec, const CmkUuid *key_id, guint32 uid,
                             CmkPairReadyFunc ready, gpointer user_data);

/* How many calls wait for a pair for an import into @key_id, and how many of @uid for any import. Any thread. */
void cmk_wrapping_pool_count_waiting (CmkWrappingPool *pool, const CmkUuid *key_id, guint32 uid, guint *ret_for_key,
                                      guint *ret_of_uid);

/* How many pairs of @spec are ready. Any thread. */
guint cmk_wrapping_pool_ready (CmkWrappingPool *pool, CmkWrappingKeySpec spec);
