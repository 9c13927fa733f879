/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/internal.h"

#include "tpm/esys-hashing.h"

#include <string.h>

/* How often others may save a context before the oldest saved session blocks them: a TPM that counts to 255 only gets
 * its session back after each call. */
#define WIDE_CONTEXT_GAP 4096

static void
read_manufacturer (guint32 value, char ret_text[5])
{
  for (gsize i = 0; i < 4; i++)
    ret_text[i] = (char) (value >> (24 - 8 * i));
  for (gsize i = 0; i < 4; i++)
    if (ret_text[i] != '\0' && !g_ascii_isgraph (ret_text[i]))
      ret_text[i] = ' '; /* what a chip says is not to be trusted on a terminal */
  ret_text[4] = '\0';
  g_strchomp (ret_text);
}

static gboolean
read_identity (CmkTpm *tpm, GError **error)
{
  cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
                                       TPM2_PT_MANUFACTURER, TPM2_PT_CONTEXT_GAP_MAX - TPM2_PT_MANUFACTURER + 1, NULL,
                                       &data));
  if (!cmk_tpm_ok (tpm, rc, "ask the TPM what it is", error))
    return FALSE;
  /* The count is that of whatever list it says to be. */
  if (data->capability != TPM2_CAP_TPM_PROPERTIES)
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, "ask the TPM what it is", error);

  guint32 version[2] = { 0 };
  const TPML_TAGGED_TPM_PROPERTY *properties = &data->data.tpmProperties;
  for (guint32 i = 0; i < properties->count; i++)
    {
      guint32 value = properties->tpmProperty[i].value;
      switch (properties->tpmProperty[i].property)
        {
        case TPM2_PT_MANUFACTURER:
          read_manufacturer (value, tpm->identity.manufacturer);
          break;
        case TPM2_PT_FIRMWARE_VERSION_1:
          version[0] = value;
          break;
        case TPM2_PT_FIRMWARE_VERSION_2:
          version[1] = value;
          break;
        case TPM2_PT_CONTEXT_GAP_MAX:
          tpm->gap_is_wide = value >= WIDE_CONTEXT_GAP;
          break;
        default:
          break;
        }
    }

  g_autoptr (GString) firmware = g_string_new (NULL);
  g_string_printf (firmware, "%u.%u", version[0] >> 16, version[0] & 0xffff);
  if (version[1] != 0)
    g_string_append_printf (firmware, ".%u.%u", version[1] >> 16, version[1] & 0xffff);
  tpm->identity.firmware = g_string_free (g_steal_pointer (&firmware), FALSE);
  return TRUE;
}

static gboolean
is_managed_by_kernel (const char *tcti)
{
  return g_str_has_prefix (tcti, "device:/dev/tpmrm");
}

gboolean
cmk_tpm_is_managed (const char *tcti)
{
  return is_managed_by_kernel (tcti) || g_str_has_prefix (tcti, "tabrmd");
}

gboolean
cmk_tpm_affords_kept_session (const char *tcti)
{
  return is_managed_by_kernel (tcti);
}

CmkTpm *
cmk_tpm_open_warm (const char *tcti, const CmkTpmHandover *handover, const CmkTpmNotebook *notebook, GError **error)
{
  g_autoptr (CmkTpm) tpm = g_new0 (CmkTpm, 1);
  tpm->tcti = g_strdup (tcti);
  tpm->stranded = g_array_new (FALSE, FALSE, sizeof (TPM2_HANDLE));
  tpm->root = ESYS_TR_NONE;
  tpm->kept_session = CMK_TPM_HANDLE_NONE;
  tpm->loaded = g_array_new (FALSE, FALSE, sizeof (CmkTpmLoaded));

  if (!cmk_tpm_connect (tpm, error))
    return NULL;
  if (notebook != NULL && !cmk_tpm_is_managed (tcti))
    cmk_tpm_open_notebook (tpm, notebook);
  if (!cmk_tpm_connect (tpm, error))
    return NULL;
  if (handover != NULL && cmk_tpm_take_over (tpm, handover))
    return g_steal_pointer (&tpm);
  if (!cmk_tpm_connect (tpm, error) || !read_identity (tpm, error) || !cmk_tpm_find_root (tpm, error))
    return NULL;
  return g_steal_pointer (&tpm);
}

CmkTpm *
cmk_tpm_open (const char *tcti, GError **error)
{
  return cmk_tpm_open_warm (tcti, NULL, NULL, error);
}

void
cmk_tpm_close (CmkTpm *tpm)
{
  if (tpm == NULL)
    return;
  tpm->patience = (CmkTpmPatience) { 0 };
  cmk_tpm_flush (tpm, &tpm->kept_session);
  g_clear_pointer (&tpm->abandoned_session, g_bytes_unref);
  cmk_tpm_settle (tpm);
  cmk_tpm_disconnect (tpm);
  cmk_tpm_close_notebook (tpm);
  g_clear_pointer (&tpm->root_context, Esys_Free);
  g_clear_pointer (&tpm->root_name, g_bytes_unref);
  g_clear_pointer (&tpm->abilities, cmk_tpm_abilities_free);
  g_array_unref (tpm->stranded);
  g_free (tpm->identity.firmware);
  g_free (tpm->tcti);
  g_free (tpm);
  cmk_esys_hashing_forget ();
}

void
cmk_tpm_set_context_cache (CmkTpm *tpm, const CmkTpmContextCache *cache)
{
  tpm->cache = *cache;
}

GBytes *
cmk_tpm_root_name (CmkTpm *tpm)
{
  return tpm->root_name;
}

gboolean
cmk_tpm_root_is_persistent (CmkTpm *tpm)
{
  return tpm->root != ESYS_TR_NONE;
}

const CmkTpmIdentity *
cmk_tpm_identity (CmkTpm *tpm)
{
  return &tpm->identity;
}
