/* SPDX-License-Identifier: Apache-2.0
 *
 * How many calls of those that cost the disk and the TPM most a user may make in a second, so that what is left of them
 * serves others: so many at once, then so many a second. Any thread. */
#pragma once

#include "base/config.h"

typedef struct _CmkRates CmkRates;

typedef enum
{
  CMK_RATE_NONE,       /* all others: as often as he likes */
  CMK_RATE_KEYS,       /* CreateKey, GrantKey: KeysPerSecond */
  CMK_RATE_PARAMETERS, /* GetParametersForImport: ParametersPerSecond */
  CMK_RATE_IMPORTS,    /* ImportKeyMaterial: ImportsPerSecond */
  CMK_N_RATES,
} CmkRate;

CmkRates *cmk_rates_new (const CmkConfig *config);
void cmk_rates_free (CmkRates *rates);

/* Before anything is done. CMK_ERROR_THROTTLED, saying when to come back, if @uid has called too often. */
gboolean cmk_rates_charge (CmkRates *rates, CmkRate rate, guint32 uid, GError **error) G_GNUC_WARN_UNUSED_RESULT;
