/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is to say of TPM and state: what the TPM is, and what it said last; in the journal when a trouble begins
 * and when it is over. */
#include "kms/vault-internal.h"

#include "base/error.h"
#include "cmkd-journal.h"

#include <string.h>

#define WELL "nothing to do"
#define OTHER_TPM                                                                                                      \
  "this TPM did not seal the state, or it was cleared since: bring the old one back and restart cmkd, or run "         \
  "`cmkctl recover`"
#define SEE_JOURNAL "the TPM answered with an error: see the journal of cmkd; restart the machine if it goes on"
#define NOT_SEEN    "enable the TPM in the firmware, and let cmkd open it (group tss, or Tcti= in cmkd.conf)"

/* An error of ours about the TPM has the cause in its text, but not every one is from tpm2-tss. */
static const char *
find_advice (const GError *error)
{
  const char *trouble = cmk_tpm_trouble ();
  return trouble != NULL && strstr (error->message, trouble) != NULL ? trouble : SEE_JOURNAL;
}

void
cmk_vault_tell_trouble (const char *what, const GError *error)
{
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID",
                    error->code == CMK_ERROR_TPM_CHANGED ? CMKD_MESSAGE_TPM_CHANGED : CMKD_MESSAGE_TPM_TROUBLE,
                    "MESSAGE", "%s: %s", what, error->message);
}

static void
set_health (CmkVault *vault, const char *state, const char *advice, const GError *error)
{
  const char *old = g_atomic_pointer_get (&vault->tpm_advice);
  g_atomic_pointer_set (&vault->tpm_state, state);
  g_atomic_pointer_set (&vault->tpm_advice, advice);
  if (old == NULL || old == advice) /* what comes first is told by who opens the vault */
    return;
  if (error != NULL)
    cmk_vault_tell_trouble ("the TPM is in trouble", error);
  else
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", CMKD_MESSAGE_TPM_WORKS, "MESSAGE",
                      "the TPM works again");
}

gboolean
cmk_vault_note_tpm (CmkVault *vault, gboolean ok, GError **error)
{
  if (ok)
    set_health (vault, "ok", WELL, NULL);
  if (ok || error == NULL || *error == NULL || (*error)->domain != CMK_ERROR)
    return ok;
  switch ((*error)->code)
    {
    case CMK_ERROR_TPM_UNAVAILABLE:
      set_health (vault, vault->tpm == NULL ? "absent" : "failed", find_advice (*error), *error);
      break;
    case CMK_ERROR_TPM_CHANGED:
      set_health (vault, "changed", find_advice (*error), *error);
      break;
    case CMK_ERROR_TPM_LOCKOUT:
      set_health (vault, "lockout", find_advice (*error), *error);
      break;
    default:
      break;
    }
  return FALSE;
}

gboolean
cmk_vault_note_trouble (CmkVault *vault, gboolean ok, GError **error)
{
  return ok || cmk_vault_note_tpm (vault, FALSE, error);
}

const char *
cmk_vault_tpm_state (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->tpm_state);
}

const char *
cmk_vault_tpm_advice (CmkVault *vault)
{
  const char *advice = g_atomic_pointer_get (&vault->tpm_advice);
  if (g_str_equal (cmk_vault_tpm_state (vault), "changed"))
    return OTHER_TPM;
  return advice != NULL ? advice : NOT_SEEN;
}

void
cmk_vault_note_identity (CmkVault *vault)
{
  const CmkTpmIdentity *identity = cmk_tpm_identity (vault->tpm);
  g_atomic_pointer_set (&vault->manufacturer, g_intern_string (identity->manufacturer));
  g_atomic_pointer_set (&vault->firmware, g_intern_string (identity->firmware));
  gsize size;
  const guint8 *name = g_bytes_get_data (cmk_tpm_root_name (vault->tpm), &size);
  g_autoptr (GString) text = g_string_new (NULL);
  for (gsize i = 0; i < size; i++)
    g_string_append_printf (text, "%02x", name[i]);
  g_atomic_pointer_set (&vault->root_name, g_intern_string (text->str));
  g_atomic_pointer_set (&vault->root_key, cmk_tpm_root_is_persistent (vault->tpm) ? "persistent" : "transient");
}

const char *
cmk_vault_tpm_manufacturer (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->manufacturer);
}

const char *
cmk_vault_tpm_firmware (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->firmware);
}

const char *
cmk_vault_root_key (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->root_key);
}

const char *
cmk_vault_root_name (CmkVault *vault)
{
  return g_atomic_pointer_get (&vault->root_name);
}

guint64
cmk_vault_state_size (CmkVault *vault)
{
  return cmk_store_size (vault->directory);
}
