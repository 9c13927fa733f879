/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: a key file, every key of which is documented in cmkd.conf(5). Read once, then constant. */
#pragma once

#include <glib.h>

#include "base/spec.h"

#define CMK_MAX_NOTICES 8

#define CMK_MAX_IDLE_SECONDS (7 * 86400)
#define CMK_IDLE_NOT_SAID    G_MAXUINT
/* What is best depends on how the TPM is reached. */
#define CMK_CONFIG_BY_TPM G_MAXUINT

typedef struct
{
  char *tcti;                                     /* [Tpm] Tcti */
  guint answer_seconds;                           /* [Tpm] AnswerSeconds */
  guint idle_seconds;                             /* [Daemon] IdleSeconds; 0 = for ever; CMK_IDLE_NOT_SAID */
  guint keep_seconds;                             /* [Authorization] KeepSeconds; 0 = each call is asked about */
  guint ready_pairs[CMK_WRAPPING_KEY_EC_SM2 + 1]; /* [WrappingKeys] ReadyRsa2048, -3072, -4096, ReadyEcSm2 */
  guint context_seconds;                          /* [Cache] ContextSeconds */
  guint material_seconds;                         /* [Cache] MaterialSeconds; 0 = never cached */
  guint session_seconds;                          /* [Cache] SessionSeconds; 0 = never kept, or BY_TPM */
  guint session_after_stop_seconds;               /* [Cache] SessionAfterStopSeconds; 0 = it ends with the daemon */
  guint keys_per_user;                            /* [Limits] KeysPerUser */
  guint grants_per_key;                           /* [Limits] GrantsPerKey */
  guint import_sets_per_key;                      /* [Limits] ImportSetsPerKey */
  guint import_sets_per_user;                     /* [Limits] ImportSetsPerUser */
  guint anchor_seconds;                           /* [Anchor] AnchorSeconds */
  guint steps_per_day;                            /* [Anchor] StepsPerDay; 0 = no limit */
  guint decrypt_failures_per_minute;              /* [Limits] DecryptFailuresPerMinute; 0 = no limit */
  guint tpm_keys_per_hour;                        /* [Limits] TpmKeysPerHour; 0 = no limit */
  guint keys_per_second;                          /* [Limits] KeysPerSecond; 0 = no limit */
  guint parameters_per_second;                    /* [Limits] ParametersPerSecond; 0 = no limit */
  guint imports_per_second;                       /* [Limits] ImportsPerSecond; 0 = no limit */
  guint notice_days[CMK_MAX_NOTICES];             /* [Expiry] NoticeDays, most days first */
  guint n_notice_days;
} CmkConfig;

/* The defaults, overlaid with @path if it exists. A @path that was asked for by name (@required) must exist.
 * CMK_ERROR_INVALID_PARAMETER naming the file, group and key for what is unknown or out of range. */
CmkConfig *cmk_config_load (const char *path, gboolean required, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_config_free (CmkConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkConfig, cmk_config_free)
