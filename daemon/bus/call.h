/* SPDX-License-Identifier: Apache-2.0
 *
 * One method call, from its checked request to its answer: who calls, a try from the caches, else the worker, then the
 * reply and its entry in the journal, both with the call's RequestId. */
#pragma once

#include <gio/gio.h>

#include "bus/admission.h"
#include "bus/audit.h"
#include "bus/authority.h"
#include "bus/callers.h"
#include "kms/kms.h"

typedef struct _CmkCall CmkCall;
typedef struct _CmkCalls CmkCalls;

/* Where a method tries to answer from the caches before it goes to the worker. */
typedef enum
{
  CMK_CACHED_NOWHERE,
  CMK_CACHED_ON_MAIN_LOOP,  /* takes microseconds */
  CMK_CACHED_ON_CALCULATOR, /* may take milliseconds */
} CmkCachedPlace;

typedef struct
{
  const char *name;

  /* Do it and put the fields of the answer, but for RequestId, into @answer. On the worker with CMK_EFFORT_FULL;
   * before that, with CMK_EFFORT_CACHED, where @cached says. */
  gboolean (*run) (CmkKms *kms, const CmkCaller *caller, gpointer request, CmkEffort effort, GVariantDict *answer,
                   GError **error);
  CmkCachedPlace cached;

  /* What CMK_CACHE_MISS from the worker means: wait on the main loop for what is missing, then
   * cmk_call_resume(). NULL if that cannot be. */
  void (*wait) (CmkCall *call, CmkKms *kms, const CmkCaller *caller, gpointer request);

  /* What the journal is told of this call besides: into @ret_facts, which are CMK_AUDIT_MAX_FACTS, and empty. Also of a
   * call that was refused, if its arguments made sense. NULL: nothing. */
  void (*tell_facts) (gconstpointer request, CmkAuditFact *ret_facts);

  /* Does @request keep the TPM, and so everybody, waiting for seconds? A user has one such call under way at a time.
   * NULL: none does. */
  gboolean (*is_long) (gconstpointer request);

  /* How often a user may call it. */
  CmkRate rate;

  GDestroyNotify free_request;

  /* Asking about cmkd itself is no use of it: it ends all the same when there is none. */
  gboolean is_no_use;

  CmkAuditWeight weight; /* of its entry in the journal */
} CmkMethod;

/* All calls under way. @authority (it outlives them) decides what others than root may do; NULL: everybody may do with
 * his own keys what he likes. @answered is called on the main loop whenever one has been answered. */
CmkCalls *cmk_calls_new (CmkKms *kms, GDBusConnection *connection, CmkAdmission *admission, CmkAuthority *authority,
                         void (*answered) (gpointer), gpointer user_data);
void cmk_calls_free (CmkCalls *calls);

guint cmk_calls_count (CmkCalls *calls);

/* The monotonic time at which the last call began or ended, or all began. */
gint64 cmk_calls_last_use (CmkCalls *calls);

/* Take a call: @request (owned) is what its arguments said, or NULL and @error why they were refused. Always answers
 * @invocation, now or later. */
void cmk_calls_begin (CmkCalls *calls, GDBusMethodInvocation *invocation, const CmkMethod *method, gpointer request,
                      const GError *error);

/* What @call waited for is in its request; or it never will be, with @error. A call whose sender has left meanwhile is
 * dropped: its answer would take effect for nobody. Main loop. */
void cmk_call_resume (CmkCall *call, const GError *error);
