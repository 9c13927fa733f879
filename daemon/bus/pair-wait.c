/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/pair-wait.h"

typedef struct
{
  CmkCall *call;
  CmkPairWait *wait;
} Waiting;

void
cmk_pair_wait_clear (CmkPairWait *wait)
{
  if (wait->pair != NULL)
    cmk_wrapping_pool_give_back (wait->pool, g_steal_pointer (&wait->pair));
}

static void
on_pair_ready (CmkWrappingPair *pair, const GError *error, gpointer data)
{
  g_autofree Waiting *waiting = data;
  waiting->wait->pair = pair;
  cmk_call_resume (waiting->call, error);
}

void
cmk_pair_wait_begin (CmkPairWait *wait, CmkCall *call, CmkKms *kms, const CmkCaller *caller, CmkWrappingKeySpec spec,
                     const CmkUuid *key_id)
{
  wait->pool = cmk_kms_pool (kms);
  Waiting *waiting = g_new (Waiting, 1);
  *waiting = (Waiting) { .call = call, .wait = wait };
  cmk_wrapping_pool_wait (wait->pool, spec, key_id, caller->uid, on_pair_ready, waiting);
}
