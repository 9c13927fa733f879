/* SPDX-License-Identifier: Apache-2.0
 *
 * A limit on failed asymmetric decryptions, by key and caller: what an attack on the padding needs many of, and what an
 * honest caller hardly ever has. A bucket of as many failures as a minute allows, which fills again at that rate. In
 * memory only, of monotonic time. Any thread. */
#pragma once

#include "base/uuid.h"

typedef struct _CmkDecryptFailures CmkDecryptFailures;

/* @per_minute 0: no limit. */
CmkDecryptFailures *cmk_decrypt_failures_new (guint per_minute);
void cmk_decrypt_failures_free (CmkDecryptFailures *failures);

/* Take one failure of @uid with @key_id out of its bucket before decrypting, to be given back after a success: so calls
 * that run at the same time cannot get past the limit together. @now: g_get_monotonic_time(). CMK_ERROR_THROTTLED, saying
 * when to come back, if none is left. */
gboolean cmk_decrypt_failures_charge (CmkDecryptFailures *failures, const CmkUuid *key_id, guint32 uid, gint64 now,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_decrypt_failures_refund (CmkDecryptFailures *failures, const CmkUuid *key_id, guint32 uid);

/* Is any bucket not full again yet? */
gboolean cmk_decrypt_failures_any (CmkDecryptFailures *failures, gint64 now);
