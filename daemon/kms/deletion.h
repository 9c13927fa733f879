/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a key: scheduled for a date, cancelled until then, and carried out. Worker thread. */
#pragma once

#include "kms/due.h"

CmkKeyRecord *cmk_deletion_schedule (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, guint days,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Back to the state before. */
CmkKeyRecord *cmk_deletion_cancel (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Delete the keys whose date has come by @proven (base/clock.h). *ret_more: there may be more than @effort allowed. */
gboolean cmk_deletion_run_due (CmkKms *kms, CmkDueEffort effort, gint64 proven, gboolean *ret_more,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
