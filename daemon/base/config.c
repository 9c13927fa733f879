/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include "base/error.h"

#define MAX_NOTICE_DAYS 3650

typedef struct
{
  const char *group;
  const char *key;
  gsize offset;
  guint minimum;
  guint maximum;
} NumberKey;

static const NumberKey number_keys[] = {
  { "Tpm", "AnswerSeconds", G_STRUCT_OFFSET (CmkConfig, answer_seconds), 1, 600 },
  { "Daemon", "IdleSeconds", G_STRUCT_OFFSET (CmkConfig, idle_seconds), 0, CMK_MAX_IDLE_SECONDS },
  { "Authorization", "KeepSeconds", G_STRUCT_OFFSET (CmkConfig, keep_seconds), 0, 3600 },
  { "WrappingKeys", "ReadyRsa2048", G_STRUCT_OFFSET (CmkConfig, ready_pairs[CMK_WRAPPING_KEY_RSA_2048]), 0, 64 },
  { "WrappingKeys", "ReadyRsa3072", G_STRUCT_OFFSET (CmkConfig, ready_pairs[CMK_WRAPPING_KEY_RSA_3072]), 0, 64 },
  { "WrappingKeys", "ReadyRsa4096", G_STRUCT_OFFSET (CmkConfig, ready_pairs[CMK_WRAPPING_KEY_RSA_4096]), 0, 64 },
  { "WrappingKeys", "ReadyEcSm2", G_STRUCT_OFFSET (CmkConfig, ready_pairs[CMK_WRAPPING_KEY_EC_SM2]), 0, 64 },
  { "Cache", "ContextSeconds", G_STRUCT_OFFSET (CmkConfig, context_seconds), 0, 7 * 86400 },
  { "Cache", "MaterialSeconds", G_STRUCT_OFFSET (CmkConfig, material_seconds), 0, 86400 },
  { "Cache", "SessionSeconds", G_STRUCT_OFFSET (CmkConfig, session_seconds), 0, 86400 },
  { "Cache", "SessionAfterStopSeconds", G_STRUCT_OFFSET (CmkConfig, session_after_stop_seconds), 0, 86400 },
  { "Anchor", "AnchorSeconds", G_STRUCT_OFFSET (CmkConfig, anchor_seconds), 0, 86400 },
  { "Anchor", "StepsPerDay", G_STRUCT_OFFSET (CmkConfig, steps_per_day), 0, 10000000 },
  { "Limits", "KeysPerUser", G_STRUCT_OFFSET (CmkConfig, keys_per_user), 0, 10000000 },
  { "Limits", "GrantsPerKey", G_STRUCT_OFFSET (CmkConfig, grants_per_key), 0, 10000 },
  { "Limits", "ImportSetsPerKey", G_STRUCT_OFFSET (CmkConfig, import_sets_per_key), 0, 100000 },
  { "Limits", "ImportSetsPerUser", G_STRUCT_OFFSET (CmkConfig, import_sets_per_user), 0, 1000000 },
  { "Limits", "DecryptFailuresPerMinute", G_STRUCT_OFFSET (CmkConfig, decrypt_failures_per_minute), 0, 1000000 },
  { "Limits", "KeysPerSecond", G_STRUCT_OFFSET (CmkConfig, keys_per_second), 0, 1000000 },
  { "Limits", "ParametersPerSecond", G_STRUCT_OFFSET (CmkConfig, parameters_per_second), 0, 1000000 },
  { "Limits", "ImportsPerSecond", G_STRUCT_OFFSET (CmkConfig, imports_per_second), 0, 1000000 },
  { "Limits", "TpmKeysPerHour", G_STRUCT_OFFSET (CmkConfig, tpm_keys_per_hour), 0, 1000000 },
};

static CmkConfig *
new_default (void)
{
  CmkConfig *config = g_new0 (CmkConfig, 1);
  config->tcti = g_strdup ("device:/dev/tpmrm0");
  config->answer_seconds = 15;
  config->idle_seconds = CMK_IDLE_NOT_SAID;
  config->keep_seconds = 5;
  config->ready_pairs[CMK_WRAPPING_KEY_RSA_2048] = 4;
  config->ready_pairs[CMK_WRAPPING_KEY_RSA_3072] = 1;
  config->ready_pairs[CMK_WRAPPING_KEY_RSA_4096] = 1;
  config->context_seconds = 86400;
  config->material_seconds = 300;
  config->session_seconds = CMK_CONFIG_BY_TPM;
  config->anchor_seconds = 300;
  config->steps_per_day = 1440;
  config->keys_per_user = 10000;
  config->grants_per_key = 50;
  config->import_sets_per_key = 16;
  config->import_sets_per_user = 256;
  config->decrypt_failures_per_minute = 30;
  config->tpm_keys_per_hour = 30;
  config->keys_per_second = 100;
  config->parameters_per_second = 100;
  config->imports_per_second = 100;
  config->notice_days[config->n_notice_days++] = 7;
  config->notice_days[config->n_notice_days++] = 1;
  return config;
}

static gboolean
apply_number (CmkConfig *config, const NumberKey *key, const char *value, const char *path, GError **error)
{
  guint64 number;
  if (!g_ascii_string_to_unsigned (value, 10, key->minimum, key->maximum, &number, NULL))
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "%s: [%s] %s must be a whole number from %u to %u",
                   path, key->group, key->key, key->minimum, key->maximum);
      return FALSE;
    }
  G_STRUCT_MEMBER (guint, config, key->offset) = (guint) number;
  return TRUE;
}

static gboolean
refuse_notice_days (const char *path, GError **error)
{
  g_set_error (
      error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
      "%s: [Expiry] NoticeDays must be up to %d whole numbers from 1 to %d with semicolons between, the largest "
      "first, or nothing at all",
      path, CMK_MAX_NOTICES, MAX_NOTICE_DAYS);
  return FALSE;
}

static gboolean
apply_notice_days (CmkConfig *config, const char *value, const char *path, GError **error)
{
  g_auto (GStrv) words = g_strsplit (value, ";", -1);
  guint least_so_far = MAX_NOTICE_DAYS + 1;
  config->n_notice_days = 0;
  for (char **word = words; *word != NULL; word++)
    {
      guint64 days;
      if (config->n_notice_days == CMK_MAX_NOTICES ||
          !g_ascii_string_to_unsigned (g_strstrip (*word), 10, 1, MAX_NOTICE_DAYS, &days, NULL) || days >= least_so_far)
        return refuse_notice_days (path, error);
      config->notice_days[config->n_notice_days++] = least_so_far = (guint) days;
    }
  return TRUE;
}

static gboolean
apply (CmkConfig *config, const char *group, const char *name, const char *value, const char *path, GError **error)
{
  if (g_str_equal (group, "Tpm") && g_str_equal (name, "Tcti"))
    {
      g_free (config->tcti);
      config->tcti = g_strdup (value);
      return TRUE;
    }
  if (g_str_equal (group, "Expiry") && g_str_equal (name, "NoticeDays"))
    return apply_notice_days (config, value, path, error);
  for (gsize i = 0; i < G_N_ELEMENTS (number_keys); i++)
    if (g_str_equal (group, number_keys[i].group) && g_str_equal (name, number_keys[i].key))
      return apply_number (config, &number_keys[i], value, path, error);
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "%s: unknown key %s in group [%s]; see cmkd.conf(5)",
               path, name, group);
  return FALSE;
}

CmkConfig *
cmk_config_load (const char *path, gboolean required, GError **error)
{
  g_autoptr (CmkConfig) config = new_default ();
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) local_error = NULL;
  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, &local_error))
    {
      if (!required && g_error_matches (local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return g_steal_pointer (&config);
      g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER, "%s: %s", path, local_error->message);
      return NULL;
    }
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (GStrv) names = g_key_file_get_keys (file, *group, NULL, NULL);
      for (char **name = names; name != NULL && *name != NULL; name++)
        {
          g_autofree char *value = g_key_file_get_value (file, *group, *name, NULL);
          if (!apply (config, *group, *name, value, path, error))
            return NULL;
        }
    }
  return g_steal_pointer (&config);
}

void
cmk_config_free (CmkConfig *config)
{
  if (config == NULL)
    return;
  g_free (config->tcti);
  g_free (config);
}
