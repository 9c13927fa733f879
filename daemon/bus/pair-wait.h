/* SPDX-License-Identifier: Apache-2.0
 *
 * A call that needs a key pair of the pool, and waits for it when none is ready. Main loop. */
#pragma once

#include "bus/call.h"

/* Part of a request. Zeroed: nothing was waited for. */
typedef struct
{
  CmkWrappingPool *pool; /* that was waited at */
  CmkWrappingPair *pair; /* that was waited for, and not yet taken */
} CmkPairWait;

/* Gives back a pair that nobody took. */
void cmk_pair_wait_clear (CmkPairWait *wait);

/* CmkMethod.wait: wait for a pair of @spec for @caller and resume @call; @key_id as in cmk_wrapping_pool_wait(). @wait
 * lives as long as the call. */
void cmk_pair_wait_begin (CmkPairWait *wait, CmkCall *call, CmkKms *kms, const CmkCaller *caller,
                          CmkWrappingKeySpec spec, const CmkUuid *key_id);
