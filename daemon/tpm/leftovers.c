/* SPDX-License-Identifier: Apache-2.0
 *
 * What is ours and we hold no ESYS_TR of any more: its number is all that is known, or its name, and a TPM gives
 * numbers away again. A resource manager has flushed what was ours when the connection went, and shows nobody else's
 * objects; nor any session as loaded while no command runs: whatever it saved is somebody's. So a session is flushed by
 * its number only while it is loaded, which says that there is no resource manager, and that nobody has given the
 * number back meanwhile; and an object only if its name is the one that was noted.
 *
 * What an earlier process noted comes to us through the kernel keyring, where any process of our uid may write it. One
 * that does so to have something flushed could do that itself: it can open what we open. */
#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_sys.h>

static gboolean
is_loaded (CmkTpm *tpm, TPM2_HANDLE handle)
{
  cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
  TSS2_RC rc;
  TPM2_HANDLE first = TPM2_LOADED_SESSION_FIRST + (handle & TPM2_HR_HANDLE_MASK);
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first, 1,
                                       NULL, &data));
  return cmk_tpm_ok (tpm, rc, "list the loaded sessions", NULL) && data->data.handles.count > 0 &&
         data->data.handles.handle[0] == handle;
}

static gboolean
is_session (TPM2_HANDLE handle)
{
  TPM2_HT type = (TPM2_HT) (handle >> TPM2_HR_SHIFT);
  return type == TPM2_HT_HMAC_SESSION || type == TPM2_HT_POLICY_SESSION;
}

void
cmk_tpm_flush_session_by_number (CmkTpm *tpm, TPM2_HANDLE handle)
{
  if (!is_session (handle) || !is_loaded (tpm, handle))
    return;
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc = Esys_TR_FromTPMPublic (tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
  if (rc == TSS2_RC_SUCCESS)
    rc = Esys_FlushContext (tpm->esys, tr);
  if (rc != TSS2_RC_SUCCESS && tr != ESYS_TR_NONE && cmk_tss_is_answer (rc))
    (void) Esys_TR_Close (tpm->esys, &tr);
  (void) cmk_tpm_ok (tpm, rc, "flush", NULL);
}

void
cmk_tpm_flush_object_by_number (CmkTpm *tpm, TPM2_HANDLE handle)
{
  TSS2_SYS_CONTEXT *sys = NULL;
  TSS2_RC rc = Esys_GetSysContext (tpm->esys, &sys);
  if (rc == TSS2_RC_SUCCESS)
    rc = Tss2_Sys_FlushContext (sys, handle);
  (void) cmk_tpm_ok (tpm, rc, "flush", NULL);
}

/* --- of an earlier process ---------------------------------------------------------------------------------------- */

typedef struct
{
  CmkTpmLoaded noted[CMK_TPM_MAX_LOADED];
  gsize count;
  gint64 time; /* monotonic, when it was so */
} Leftovers;

static gboolean
have (const Leftovers *leftovers, gboolean sessions)
{
  for (gsize i = 0; i < leftovers->count; i++)
    if (is_session (leftovers->noted[i].handle) == sessions)
      return TRUE;
  return FALSE;
}

/* The TPM counts the milliseconds since it was last reset. What it had loaded then has gone, and others have the
 * numbers. */
static gboolean
was_reset_since (CmkTpm *tpm, gint64 time)
{
  cmk_tpm_auto_free TPMS_TIME_INFO *info = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_ReadClock (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &info));
  return !cmk_tpm_ok (tpm, rc, "read the clock", NULL) || g_get_monotonic_time () - (gint64) info->time * 1000 > time;
}

static void
flush_sessions (CmkTpm *tpm, const Leftovers *leftovers)
{
  if (was_reset_since (tpm, leftovers->time))
    return;
  for (gsize i = 0; i < leftovers->count && !tpm->broken; i++)
    cmk_tpm_flush_session_by_number (tpm, leftovers->noted[i].handle);
}

static gboolean
is_noted (const Leftovers *leftovers, TPM2_HANDLE handle, const guint8 name[CMK_TPM_NAME_SIZE])
{
  for (gsize i = 0; i < leftovers->count; i++)
    {
      const CmkTpmLoaded *noted = &leftovers->noted[i];
      gboolean is_there = noted->handle == handle || (noted->handle == 0 && noted->name[0] + noted->name[1] != 0);
      if (is_there && memcmp (noted->name, name, CMK_TPM_NAME_SIZE) == 0)
        return TRUE;
    }
  return FALSE;
}

/* What lies there, by its name; zeros for a sequence, which has none. FALSE: nothing that could be ours. */
static gboolean
read_name (CmkTpm *tpm, TPM2_HANDLE handle, guint8 ret_name[CMK_TPM_NAME_SIZE])
{
  cmk_tpm_auto_free TPM2B_NAME *name = NULL;
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  memset (ret_name, 0, CMK_TPM_NAME_SIZE);
  CMK_TPM_COMMAND (tpm, rc, Esys_TR_FromTPMPublic (tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr));
  if (cmk_tss_base (rc) == TPM2_RC_SEQUENCE)
    return TRUE;
  if (!cmk_tpm_ok (tpm, rc, "look at what is loaded", NULL))
    return FALSE;
  rc = Esys_TR_GetName (tpm->esys, tr, &name);
  (void) Esys_TR_Close (tpm->esys, &tr);
  if (rc != TSS2_RC_SUCCESS || name->size != CMK_TPM_NAME_SIZE)
    return FALSE;
  memcpy (ret_name, name->name, CMK_TPM_NAME_SIZE);
  return TRUE;
}

static void
flush_objects (CmkTpm *tpm, const Leftovers *leftovers)
{
  cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                       (TPM2_HANDLE) TPM2_HT_TRANSIENT << TPM2_HR_SHIFT, TPM2_MAX_CAP_HANDLES, NULL,
                                       &data));
  if (!cmk_tpm_ok (tpm, rc, "list the loaded objects", NULL) || data->capability != TPM2_CAP_HANDLES)
    return;
  for (guint32 i = 0; i < data->data.handles.count && !tpm->broken; i++)
    {
      guint8 name[CMK_TPM_NAME_SIZE];
      TPM2_HANDLE handle = data->data.handles.handle[i];
      if (read_name (tpm, handle, name) && is_noted (leftovers, handle, name))
        cmk_tpm_flush_object_by_number (tpm, handle);
    }
}

void
cmk_tpm_flush_leftovers (CmkTpm *tpm, GBytes *note)
{
  if (note == NULL)
    return;
  Leftovers leftovers;
  leftovers.count = cmk_tpm_parse_note (note, tpm->tcti, &leftovers.time, leftovers.noted);
  if (leftovers.count > 0)
    g_message ("the last cmkd was killed: flushing what it has left in the TPM");
  if (have (&leftovers, TRUE))
    flush_sessions (tpm, &leftovers);
  if (have (&leftovers, FALSE) && !tpm->broken)
    flush_objects (tpm, &leftovers);
}
