/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base/clock.h"
#include "base/error.h"
#include "bus/arguments.h"
#include "kms/recovery.h"
#include "version.h"

/* What to do about a state, in the words of a person. */
typedef struct
{
  const char *state;
  const char *text;
} Advice;

static const Advice anchor_advice[] = {
  { "ok", "nothing to do" },
  { "behind", "the TPM has not taken note of the last changes, which is tried again: see the journal of cmkd" },
  { "none",
    "the TPM gives cmkd no NV index, so nobody notices when an older copy of the state is put back, and a copy from "
    "before a deletion can still be opened on this machine: free an NV index, or the owner's authorisation, and "
    "restart cmkd" },
  { "rolled-back", "the state is older than what the TPM knows of: put the newest copy back and restart cmkd, or run "
                   "`cmkctl recover`" },
  { "locked", "not known until the TPM opens the state" },
  { NULL, NULL },
};

static const char *
advice_for (const Advice *advice, const char *state)
{
  while (advice->state != NULL && !g_str_equal (advice->state, state))
    advice++;
  return advice->state != NULL ? advice->text : "";
}

/* --- GetStatus --- */

static gboolean
run_get_status (CmkKms *kms, G_GNUC_UNUSED const CmkCaller *caller, G_GNUC_UNUSED gpointer request,
                G_GNUC_UNUSED CmkEffort effort, GVariantDict *answer, G_GNUC_UNUSED GError **error)
{
  CmkVault *vault = cmk_kms_vault (kms);
  const char *anchor_state = cmk_vault_anchor_state (vault);
  g_variant_dict_insert (answer, "Version", "s", CMKD_VERSION);
  g_variant_dict_insert (answer, "TpmState", "s", cmk_vault_tpm_state (vault));
  g_variant_dict_insert (answer, "TpmAdvice", "s", cmk_vault_tpm_advice (vault));
  g_variant_dict_insert (answer, "TpmManufacturer", "s", cmk_vault_tpm_manufacturer (vault));
  g_variant_dict_insert (answer, "TpmFirmware", "s", cmk_vault_tpm_firmware (vault));
  g_variant_dict_insert (answer, "RootKey", "s", cmk_vault_root_key (vault));
  g_variant_dict_insert (answer, "RootKeyName", "s", cmk_vault_root_name (vault));
  g_variant_dict_insert (answer, "StateStatus", "s", cmk_vault_state_status (vault));
  g_variant_dict_insert (answer, "StateBytes", "t", cmk_vault_state_size (vault));
  g_variant_dict_insert (answer, "AnchorState", "s", anchor_state);
  g_variant_dict_insert (answer, "AnchorAdvice", "s", advice_for (anchor_advice, anchor_state));
  g_variant_dict_insert (answer, "AnchorSteps", "t", cmk_vault_anchor_steps (vault));
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
  .is_no_use = TRUE,
  .weight = CMK_AUDIT_STATUS,
};

static gboolean
on_get_status (G_GNUC_UNUSED CmkDBusService *skeleton, GDBusMethodInvocation *invocation, CmkCalls *calls)
{
  cmk_calls_begin (calls, invocation, &get_status, NULL, NULL);
  return TRUE;
}

/* --- Recover --- */

static const CmkOption recover_options[] = { { "Accept", "s" }, { NULL, NULL } };

static int *
parse_recover (GVariant *options, GError **error)
{
  int cause = 0;
  if (!cmk_arguments_check_options (options, recover_options, error) ||
      !cmk_arguments_get_choice (options, "Accept", cmk_recovery_causes, &cause, error))
    return NULL;
  if (cause != 0)
    return g_memdup2 (&cause, sizeof cause);
  g_autofree char *causes = cmk_spec_list (cmk_recovery_causes);
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
               "Accept: say what you accept, %s: `cmkctl recover` tells what is the matter and what it would cost",
               causes);
  return NULL;
}

static GVariant *
list_ids (GPtrArray *records)
{
  g_auto (GVariantBuilder) ids = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < records->len; i++)
    {
      char id[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (&((const CmkKeyRecord *) g_ptr_array_index (records, i))->id, id);
      g_variant_builder_add (&ids, "s", id);
    }
  return g_variant_builder_end (&ids);
}

static gboolean
run_recover (CmkKms *kms, const CmkCaller *caller, gpointer request, G_GNUC_UNUSED CmkEffort effort,
             GVariantDict *answer, GError **error)
{
  g_auto (CmkRecovery) recovery = { 0 };
  if (!cmk_recovery_run (kms, caller, (CmkRecoveryCause) * (const int *) request, &recovery, error))
    return FALSE;
  g_variant_dict_insert_value (answer, "PendingImport", list_ids (recovery.pending_import));
  g_variant_dict_insert_value (answer, "Lost", list_ids (recovery.lost));
  return TRUE;
}

static const CmkMethod recover = {
  .name = "Recover",
  .run = run_recover,
  .free_request = g_free,
  .weight = CMK_AUDIT_CHANGE,
};

static gboolean
on_recover (G_GNUC_UNUSED CmkDBusService *skeleton, GDBusMethodInvocation *invocation, GVariant *options,
            CmkCalls *calls)
{
  g_autoptr (GError) error = NULL;
  gpointer request = parse_recover (options, &error);
  cmk_calls_begin (calls, invocation, &recover, request, error);
  return TRUE;
}

/* --- properties --- */

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
  refresh (skeleton, cmk_dbus_service_get_state_status (skeleton), cmk_vault_state_status (vault),
           cmk_dbus_service_set_state_status);
}

void
cmk_bus_serve_service (CmkDBusService *skeleton, CmkCalls *calls, CmkKms *kms)
{
  cmk_dbus_service_set_version (skeleton, CMKD_VERSION);
  cmk_bus_refresh_service (skeleton, kms);
  g_signal_connect (skeleton, "handle-get-status", G_CALLBACK (on_get_status), calls);
  g_signal_connect (skeleton, "handle-recover", G_CALLBACK (on_recover), calls);
}
