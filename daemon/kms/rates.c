/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/rates.h"

#include "kms/budget.h"

struct _CmkRates
{
  CmkBudgets *budgets[CMK_N_RATES]; /* NULL: of CMK_RATE_NONE */
};

CmkRates *
cmk_rates_new (const CmkConfig *config)
{
  const struct
  {
    guint number;
    const char *excess;
    const char *setting;
  } limits[CMK_N_RATES] = {
    [CMK_RATE_KEYS] = { config->keys_per_second, "you make too many keys or grants at once", "KeysPerSecond" },
    [CMK_RATE_PARAMETERS] = { config->parameters_per_second, "you ask for too many wrapping keys",
                              "ParametersPerSecond" },
    [CMK_RATE_IMPORTS] = { config->imports_per_second, "you import too much at once", "ImportsPerSecond" },
  };
  CmkRates *rates = g_new0 (CmkRates, 1);
  for (gsize i = CMK_RATE_NONE + 1; i < CMK_N_RATES; i++)
    rates->budgets[i] = cmk_budgets_new (limits[i].number, G_TIME_SPAN_SECOND, limits[i].excess, limits[i].setting);
  return rates;
}

void
cmk_rates_free (CmkRates *rates)
{
  for (gsize i = 0; i < CMK_N_RATES; i++)
    cmk_budgets_free (rates->budgets[i]);
  g_free (rates);
}

gboolean
cmk_rates_charge (CmkRates *rates, CmkRate rate, guint32 uid, GError **error)
{
  return rate == CMK_RATE_NONE || cmk_budgets_charge (rates->budgets[rate], NULL, uid, g_get_monotonic_time (), error);
}
