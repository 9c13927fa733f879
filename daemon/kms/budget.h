/* SPDX-License-Identifier: Apache-2.0
 *
 * How often each user may do what is dear or dangerous: a bucket of as many as a period allows, which fills again at
 * that rate. In memory only, of monotonic time. Any thread. */
#pragma once

#include "base/uuid.h"

typedef struct _CmkBudgets CmkBudgets;

/* @number in each @period (microseconds); 0: no limit. @excess says what was too much, in a refusal, and @setting names
 * the key of cmkd.conf; both are constant. */
CmkBudgets *cmk_budgets_new (guint number, gint64 period, const char *excess, const char *setting);
void cmk_budgets_free (CmkBudgets *budgets);

/* Take one out of the bucket of @uid, and of @key_id if each key has one of its own (else NULL), before it is done: so
 * calls that run at the same time cannot get past the limit together. @now: g_get_monotonic_time().
 * CMK_ERROR_THROTTLED, saying when to come back, if none is left. */
gboolean cmk_budgets_charge (CmkBudgets *budgets, const CmkUuid *key_id, guint32 uid, gint64 now,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Give it back. */
void cmk_budgets_refund (CmkBudgets *budgets, const CmkUuid *key_id, guint32 uid);

/* Is any bucket not full again yet? No process knows of another's, so each that ends would give everybody a new one. */
gboolean cmk_budgets_any_used (CmkBudgets *budgets, gint64 now);
