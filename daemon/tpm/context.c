/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts of loaded objects, kept between calls: a ContextLoad is cheaper than a Load. That of a session, which has
 * the session key in it, goes through handover.c only. Whatever goes wrong here costs time only. */
#include "tpm/internal.h"

#include <tss2/tss2_mu.h>

/* The entry is ours (the cache has authenticated it), so this is about mistakes, not about attacks. */
static gboolean
unmarshal_context (GBytes *bytes, TPMS_CONTEXT *context)
{
  gsize size, offset = 0;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  return size <= sizeof (TPMS_CONTEXT) &&
         Tss2_MU_TPMS_CONTEXT_Unmarshal (data, size, &offset, context) == TSS2_RC_SUCCESS && offset == size &&
         context->savedHandle >> TPM2_HR_SHIFT == TPM2_HT_TRANSIENT;
}

/* ESYS takes the name of a context's object from the entry. Under one cache name there may still be an older object. */
static gboolean
has_public (CmkTpm *tpm, ESYS_TR tr, const TPM2B_PUBLIC *public)
{
  cmk_tpm_auto_free TPM2B_NAME *name = NULL;
  return Esys_TR_GetName (tpm->esys, tr, &name) == TSS2_RC_SUCCESS && cmk_tpm_is_name_of (name, public);
}

gboolean
cmk_tpm_context_load (CmkTpm *tpm, const char *cache_name, const TPM2B_PUBLIC *public, CmkTpmHandle *object)
{
  if (cache_name == NULL || tpm->cache.lookup == NULL)
    return FALSE;
  g_autoptr (GBytes) kept = tpm->cache.lookup (tpm->cache.data, cache_name);
  if (kept == NULL)
    return FALSE;

  TPMS_CONTEXT context;
  ESYS_TR tr = ESYS_TR_NONE;
  if (unmarshal_context (kept, &context))
    {
      TSS2_RC rc;
      cmk_tpm_announce (tpm, public);
      CMK_TPM_COMMAND (tpm, rc, Esys_ContextLoad (tpm->esys, &context, &tr));
      if (cmk_tpm_ok (tpm, rc, "load a kept context", NULL))
        {
          cmk_tpm_hold (tpm, tr, object);
          if (has_public (tpm, tr, public))
            return TRUE;
          cmk_tpm_flush (tpm, object);
        }
      cmk_tpm_withdraw (tpm);
    }
  cmk_tpm_context_drop (tpm, cache_name);
  return FALSE;
}

void
cmk_tpm_context_keep (CmkTpm *tpm, const char *cache_name, const CmkTpmHandle *object)
{
  if (cache_name == NULL || tpm->cache.keep == NULL)
    return;
  cmk_tpm_auto_free TPMS_CONTEXT *context = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_ContextSave (tpm->esys, object->tr, &context));
  if (!cmk_tpm_ok (tpm, rc, "save a context", NULL))
    return;

  guint8 data[sizeof (TPMS_CONTEXT)];
  gsize size = 0;
  if (Tss2_MU_TPMS_CONTEXT_Marshal (context, data, sizeof data, &size) != TSS2_RC_SUCCESS)
    return;
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  tpm->cache.keep (tpm->cache.data, cache_name, bytes);
}

void
cmk_tpm_context_drop (CmkTpm *tpm, const char *cache_name)
{
  if (tpm->cache.drop != NULL)
    tpm->cache.drop (tpm->cache.data, cache_name);
}
