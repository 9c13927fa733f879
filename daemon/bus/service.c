/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base/clock.h"
#include "version.h"

static const struct
{
  const char *state;
  const char *advice;
} tpm_advice[] = {
  { "ok", "nothing to do" },
  { "absent", "enable the TPM in the firmware, and let cmkd open it (group tss, or Tcti= in cmkd.conf)" },
  { "changed", "this TPM did not seal the store: connect the one that did, or start anew and import again" },
  { "lockout", "the TPM refuses until its lockout time is over, or an administrator resets it" },
  { "failed", "the TPM answered with an error: see the journal of cmkd; restart the machine if it goes on" },
};

static const char *
advice_for (const char *state)
{
  for (gsize i = 0; i < G_N_ELEMENTS (tpm_advice); i++)
    if (g_str_equal (tpm_advice[i].state, state))
      return tpm_advice[i].advice;
  return "";
}

static const char *
state_status (CmkVault *vault)
{
  return g_str_equal (cmk_vault_keyring_status (vault), "locked") ? "locked" : "ok";
}

static gboolean
run_get_status (CmkKms *kms, G_GNUC_UNUSED const CmkCaller *caller, G_GNUC_UNUSED gpointer request,
                G_GNUC_UNUSED CmkEffort effort, GVariantDict *answer, G_GNUC_UNUSED GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  const char *tpm_state = cmk_vault_tpm_state (vault);
  g_variant_dict_insert (answer, "Version", "s", CMKD_VERSION);
  g_variant_dict_insert (answer, "TpmState", "s", tpm_state);
  g_variant_dict_insert (answer, "TpmAdvice", "s", advice_for (tpm_state));
  g_variant_dict_insert (answer, "TpmManufacturer", "s", cmk_vault_tpm_manufacturer (vault));
  g_variant_dict_insert (answer, "TpmFirmware", "s", cmk_vault_tpm_firmware (vault));
  g_variant_dict_insert (answer, "StateStatus", "s", state_status (vault));
  g_variant_dict_insert (answer, "ClockState", "s", cmk_clock_state ());
  g_variant_dict_insert (answer, "KeyringStatus", "s", cmk_vault_keyring_status (vault));
  static const struct
  {
    CmkWrappingKeySpec spec;
    const char *field;
  } shelves[] = {
    { CMK_WRAPPING_KEY_RSA_2048, "ReadyRsa2048" },
    { CMK_WRAPPING_KEY_RSA_3072, "ReadyRsa3072" },
    { CMK_WRAPPING_KEY_RSA_4096, "ReadyRsa4096" },
    { CMK_WRAPPING_KEY_EC_SM2, "ReadyEcSm2" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (shelves); i++)
    g_variant_dict_insert (answer, shelves[i].field, "u",
                           cmk_wrapping_pool_ready (cmk_kms_pool (kms), shelves[i].spec));
  return TRUE;
}

static const CmkMethod get_status = {
  .name = "GetStatus",
  .run = run_get_status,
  .cached = CMK_CACHED_ON_MAIN_LOOP,
  .log_level = G_LOG_LEVEL_DEBUG,
};

static gboolean
on_get_status (G_GNUC_UNUSED CmkDBusService *skeleton, GDBusMethodInvocation *invocation, CmkCalls *calls)
{
  cmk_calls_begin (calls, invocation, &get_status, NULL, NULL);
  return TRUE;
}

static void
refresh (CmkDBusService *skeleton, const char *old, const char *now, void (*set) (CmkDBusService *, const char *))
{
  if (g_strcmp0 (old, now) != 0)
    set (skeleton, now);
}

/* Most calls find nothing to set, which would cost much through GObject. */
void
cmk_bus_refresh_service (CmkDBusService *skeleton, CmkKms *kms)
{
  CmkVault *vault = cmk_kms_vault (kms);
  refresh (skeleton, cmk_dbus_service_get_tpm_state (skeleton), cmk_vault_tpm_state (vault),
           cmk_dbus_service_set_tpm_state);
  refresh (skeleton, cmk_dbus_service_get_tpm_manufacturer (skeleton), cmk_vault_tpm_manufacturer (vault),
           cmk_dbus_service_set_tpm_manufacturer);
  refresh (skeleton, cmk_dbus_service_get_tpm_firmware (skeleton), cmk_vault_tpm_firmware (vault),
           cmk_dbus_service_set_tpm_firmware);
  refresh (skeleton, cmk_dbus_service_get_state_status (skeleton), state_status (vault),
           cmk_dbus_service_set_state_status);
}

void
cmk_bus_serve_service (CmkDBusService *skeleton, CmkCalls *calls, CmkKms *kms)
{
  cmk_dbus_service_set_version (skeleton, CMKD_VERSION);
  cmk_bus_refresh_service (skeleton, kms);
  g_signal_connect (skeleton, "handle-get-status", G_CALLBACK (on_get_status), calls);
}
