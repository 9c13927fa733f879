/* SPDX-License-Identifier: Apache-2.0
 *
 * ESYS saves a session as the TPM's context followed by what ESYS itself knows of it, the session key among that. The
 * two are taken apart here, so that only the second is a secret, and so that the first, which may be anybody's, is
 * never parsed as the second. Layout: IESYS_CONTEXT_DATA of tpm2-tss, the same from 2.0 to 4.1. */
#include "tpm/handover.h"

#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define SNAPSHOT_VERSION 1

#define ESYS_KEY_RESOURCE     1U /* IESYSC_KEY_RSRC */
#define ESYS_SESSION_RESOURCE 3U /* IESYSC_SESSION_RSRC */

#define MAX_SESSION_VALUE 128 /* two SHA-512 digests */

/* Bytes that are written, or read, one value after another. */
typedef struct
{
  guint8 data[sizeof (TPMS_CONTEXT) + sizeof (TPM2B_PUBLIC)];
  gsize size;
  gsize offset; /* of what is read next */
} Buffer;

static void
wipe_buffer (Buffer *buffer)
{
  explicit_bzero (buffer, sizeof *buffer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Buffer, wipe_buffer)

static gboolean
put (Buffer *buffer, gconstpointer data, gsize size)
{
  if (size > sizeof buffer->data - buffer->size)
    return FALSE;
  if (size > 0)
    memcpy (buffer->data + buffer->size, data, size);
  buffer->size += size;
  return TRUE;
}

static gboolean
put_u16 (Buffer *buffer, guint16 value)
{
  return Tss2_MU_UINT16_Marshal (value, buffer->data, sizeof buffer->data, &buffer->size) == TSS2_RC_SUCCESS;
}

static gboolean
put_u32 (Buffer *buffer, guint32 value)
{
  return Tss2_MU_UINT32_Marshal (value, buffer->data, sizeof buffer->data, &buffer->size) == TSS2_RC_SUCCESS;
}

static gboolean
get_u16 (Buffer *buffer, guint16 *ret_value)
{
  return Tss2_MU_UINT16_Unmarshal (buffer->data, buffer->size, &buffer->offset, ret_value) == TSS2_RC_SUCCESS;
}

static gboolean
get_u32 (Buffer *buffer, guint32 *ret_value)
{
  return Tss2_MU_UINT32_Unmarshal (buffer->data, buffer->size, &buffer->offset, ret_value) == TSS2_RC_SUCCESS;
}

void
cmk_tpm_handover_free (CmkTpmHandover *handover)
{
  if (handover == NULL)
    return;
  g_clear_pointer (&handover->snapshot, g_bytes_unref);
  g_clear_pointer (&handover->session, g_bytes_unref);
  cmk_secret_free (handover->session_state);
  g_free (handover);
}

/* --- the session ------------------------------------------------------------------------------------------------- */

static gboolean
marshal_context (const TPMS_CONTEXT *context, GBytes **ret_bytes)
{
  guint8 data[sizeof (TPMS_CONTEXT)];
  gsize size = 0;
  if (Tss2_MU_TPMS_CONTEXT_Marshal (context, data, sizeof data, &size) != TSS2_RC_SUCCESS)
    return FALSE;
  *ret_bytes = g_bytes_new (data, size);
  return TRUE;
}

static gboolean
skip (Buffer *buffer, gsize size)
{
  if (size > buffer->size - buffer->offset)
    return FALSE;
  buffer->offset += size;
  return TRUE;
}

static gboolean
skip_sized (Buffer *buffer)
{
  guint16 size;
  return get_u16 (buffer, &size) && skip (buffer, size);
}

/* Is it, to the byte, what ESYS writes of an HMAC session with AES? tpm2-tss 3.2 copies sessionValue, whose size is in
 * the data, without a look at the room that it has. */
static gboolean
is_state_of_session (gconstpointer state, gsize size)
{
  g_auto (Buffer) data = { 0 };
  guint32 type;
  guint16 value_size;
  gboolean has_kind = put (&data, state, size) && skip (&data, 2 + 4) && /* size (ESYS leaves it 0), handle */
                      skip_sized (&data) &&                              /* name */
                      get_u32 (&data, &type) && type == ESYS_SESSION_RESOURCE;
  return has_kind && skip_sized (&data) && skip_sized (&data) && skip_sized (&data) && /* bound_entity, both salts */
         skip (&data, 2 + 2 + 2 + 2) &&               /* symmetric: algorithm, bits, mode; authHash */
         skip_sized (&data) && skip (&data, 1 + 1) && /* sessionKey; sessionType, sessionAttributes */
         skip_sized (&data) && skip_sized (&data) &&  /* nonceCaller, nonceTPM */
         skip (&data, 4 + 4 + 4) &&                   /* encrypt, decrypt, type_policy_session */
         get_u16 (&data, &value_size) && value_size <= MAX_SESSION_VALUE && skip (&data, value_size) &&
         skip (&data, 2) && data.offset == data.size; /* sizeHmacValue */
}

/* Take apart what ESYS made of a saved session. */
static gboolean
split (TPMS_CONTEXT *context, CmkTpmHandover *handover)
{
  g_auto (Buffer) blob = { 0 };
  guint32 reserved;
  guint16 tpm_size;
  if (!put (&blob, context->contextBlob.buffer, context->contextBlob.size) || !get_u32 (&blob, &reserved) ||
      reserved != 0 || !get_u16 (&blob, &tpm_size) || tpm_size >= blob.size - blob.offset)
    return FALSE;
  const guint8 *tpm_part = blob.data + blob.offset;
  blob.offset += tpm_size;
  if (!is_state_of_session (blob.data + blob.offset, blob.size - blob.offset))
    return FALSE;
  handover->session_state = cmk_secret_new_copy (blob.data + blob.offset, blob.size - blob.offset, NULL);
  if (handover->session_state == NULL)
    return FALSE;
  memcpy (context->contextBlob.buffer, tpm_part, tpm_size);
  context->contextBlob.size = tpm_size;
  return marshal_context (context, &handover->session);
}

/* And put it together again, with @state in its second part. */
static gboolean
join (GBytes *session, gconstpointer state, gsize state_size, TPMS_CONTEXT *ret_context)
{
  gsize size, offset = 0;
  const guint8 *data = g_bytes_get_data (session, &size);
  g_auto (Buffer) blob = { 0 };
  if (Tss2_MU_TPMS_CONTEXT_Unmarshal (data, size, &offset, ret_context) != TSS2_RC_SUCCESS || offset != size ||
      ret_context->savedHandle >> TPM2_HR_SHIFT != TPM2_HT_HMAC_SESSION || !put_u32 (&blob, 0) ||
      !put_u16 (&blob, ret_context->contextBlob.size) ||
      !put (&blob, ret_context->contextBlob.buffer, ret_context->contextBlob.size) || !put (&blob, state, state_size) ||
      blob.size > sizeof ret_context->contextBlob.buffer)
    return FALSE;
  memcpy (ret_context->contextBlob.buffer, blob.data, blob.size);
  ret_context->contextBlob.size = (guint16) blob.size;
  return TRUE;
}

static void
wipe_context (TPMS_CONTEXT *context)
{
  explicit_bzero (context, sizeof *context);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPMS_CONTEXT, wipe_context)

static gboolean
load_session (CmkTpm *tpm, GBytes *session, gconstpointer state, gsize state_size, CmkTpmHandle *ret_session)
{
  g_auto (TPMS_CONTEXT) context = { 0 };
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  if (!join (session, state, state_size, &context))
    return FALSE;
  /* It will have the number that it had. */
  const CmkTpmHandle expected = { .tr = ESYS_TR_NONE, .handle = context.savedHandle };
  cmk_tpm_note (tpm, &expected);
  CMK_TPM_COMMAND (tpm, rc, Esys_ContextLoad (tpm->esys, &context, &tr));
  cmk_tpm_scrub (tpm);
  gboolean ok = cmk_tpm_ok (tpm, rc, "load a session", NULL);
  if (ok)
    cmk_tpm_hold (tpm, tr, ret_session);
  cmk_tpm_unnote (tpm, expected.handle);
  return ok;
}

/* What cannot be taken apart goes back to where it can be flushed from. */
static void
take_back (CmkTpm *tpm, const TPMS_CONTEXT *context)
{
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_ContextLoad (tpm->esys, context, &tr));
  if (cmk_tpm_ok (tpm, rc, "load a session", NULL))
    cmk_tpm_hold (tpm, tr, &tpm->kept_session);
}

static void
save_session (CmkTpm *tpm, guint seconds, CmkTpmHandover *handover)
{
  gint64 unused = (g_get_monotonic_time () - tpm->kept_since) / G_USEC_PER_SEC;
  if (tpm->kept_session.tr == ESYS_TR_NONE || tpm->broken || unused >= tpm->session_seconds)
    return;
  TPMS_CONTEXT *context = NULL;
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc, Esys_ContextSave (tpm->esys, tpm->kept_session.tr, &context));
  if (!cmk_tpm_ok (tpm, rc, "save the session", NULL))
    return;
  /* Saved is not in the TPM any more, but for its number. */
  cmk_tpm_unnote (tpm, tpm->kept_session.handle);
  tpm->kept_session = CMK_TPM_HANDLE_NONE;
  handover->session_seconds = seconds;
  TPMS_CONTEXT parts = *context;
  if (!split (&parts, handover))
    take_back (tpm, context);
  wipe_context (&parts);
  wipe_context (context);
  Esys_Free (context);
}

/* --- the snapshot ------------------------------------------------------------------------------------------------ */

static gboolean
put_root (CmkTpm *tpm, Buffer *buffer)
{
  TPM2B_PUBLIC public = { 0 };
  gsize *size = &buffer->size;
  if (tpm->root != ESYS_TR_NONE)
    return put_u16 (buffer, TRUE) && cmk_tpm_read_root_public (tpm, &public) &&
           Tss2_MU_TPM2B_PUBLIC_Marshal (&public, buffer->data, sizeof buffer->data, size) == TSS2_RC_SUCCESS;
  return tpm->root_context != NULL && put_u16 (buffer, FALSE) &&
         put_u16 (buffer, (guint16) g_bytes_get_size (tpm->root_name)) &&
         put (buffer, g_bytes_get_data (tpm->root_name, NULL), g_bytes_get_size (tpm->root_name)) &&
         Tss2_MU_TPMS_CONTEXT_Marshal (tpm->root_context, buffer->data, sizeof buffer->data, size) == TSS2_RC_SUCCESS;
}

static GBytes *
take_snapshot (CmkTpm *tpm)
{
  Buffer buffer = { 0 };
  guint16 firmware_size = (guint16) strlen (tpm->identity.firmware);
  if (put_u16 (&buffer, SNAPSHOT_VERSION) && put_u16 (&buffer, (guint16) tpm->gap_is_wide) &&
      put (&buffer, tpm->identity.manufacturer, sizeof tpm->identity.manufacturer) &&
      put_u16 (&buffer, firmware_size) && put (&buffer, tpm->identity.firmware, firmware_size) &&
      put_root (tpm, &buffer))
    return g_bytes_new (buffer.data, buffer.size);
  return NULL;
}

/* The persistent root key as ESYS would have it after a ReadPublic: the form that Esys_TR_Deserialize() takes. */
static gboolean
restore_persistent (CmkTpm *tpm, Buffer *snapshot)
{
  TPM2B_PUBLIC public = { 0 };
  Buffer esys = { 0 };
  if (Tss2_MU_TPM2B_PUBLIC_Unmarshal (snapshot->data, snapshot->size, &snapshot->offset, &public) != TSS2_RC_SUCCESS)
    return FALSE;
  g_autoptr (GBytes) name = cmk_tpm_name_of (&public);
  if (name == NULL || !put_u32 (&esys, CMK_TPM_ROOT_HANDLE) || !put_u16 (&esys, (guint16) g_bytes_get_size (name)) ||
      !put (&esys, g_bytes_get_data (name, NULL), g_bytes_get_size (name)) || !put_u32 (&esys, ESYS_KEY_RESOURCE) ||
      Tss2_MU_TPM2B_PUBLIC_Marshal (&public, esys.data, sizeof esys.data, &esys.size) != TSS2_RC_SUCCESS ||
      !cmk_tpm_ok (tpm, Esys_TR_Deserialize (tpm->esys, esys.data, esys.size, &tpm->root), "know the root key", NULL))
    return FALSE;
  tpm->root_name = g_steal_pointer (&name);
  return TRUE;
}

static gboolean
restore_transient (CmkTpm *tpm, Buffer *snapshot)
{
  guint16 name_size;
  if (!get_u16 (snapshot, &name_size) || name_size > snapshot->size - snapshot->offset)
    return FALSE;
  g_autoptr (GBytes) name = g_bytes_new (snapshot->data + snapshot->offset, name_size);
  snapshot->offset += name_size;
  TPMS_CONTEXT *context = calloc (1, sizeof *context); /* as ESYS would give it out */
  if (context == NULL ||
      Tss2_MU_TPMS_CONTEXT_Unmarshal (snapshot->data, snapshot->size, &snapshot->offset, context) != TSS2_RC_SUCCESS)
    {
      free (context);
      return FALSE;
    }
  tpm->root_context = context;
  tpm->root_name = g_steal_pointer (&name);
  return TRUE;
}

static gboolean
restore_snapshot (CmkTpm *tpm, GBytes *bytes)
{
  Buffer snapshot = { 0 };
  guint16 version, gap_is_wide, firmware_size, is_persistent;
  if (!put (&snapshot, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)) || !get_u16 (&snapshot, &version) ||
      version != SNAPSHOT_VERSION || !get_u16 (&snapshot, &gap_is_wide) ||
      sizeof tpm->identity.manufacturer > snapshot.size - snapshot.offset)
    return FALSE;
  memcpy (tpm->identity.manufacturer, snapshot.data + snapshot.offset, sizeof tpm->identity.manufacturer);
  snapshot.offset += sizeof tpm->identity.manufacturer;
  if (!get_u16 (&snapshot, &firmware_size) || firmware_size > snapshot.size - snapshot.offset)
    return FALSE;
  g_autofree char *firmware = g_strndup ((const char *) snapshot.data + snapshot.offset, firmware_size);
  snapshot.offset += firmware_size;
  if (!get_u16 (&snapshot, &is_persistent) ||
      !(is_persistent ? restore_persistent (tpm, &snapshot) : restore_transient (tpm, &snapshot)))
    return FALSE;
  tpm->gap_is_wide = gap_is_wide;
  tpm->identity.firmware = g_steal_pointer (&firmware);
  return TRUE;
}

/* --- from one to the next ---------------------------------------------------------------------------------------- */

CmkTpmHandover *
cmk_tpm_hand_over (CmkTpm *tpm, guint session_seconds)
{
  if (tpm->broken || tpm->esys == NULL)
    return NULL;
  g_autoptr (CmkTpmHandover) handover = g_new0 (CmkTpmHandover, 1);
  tpm->patience = (CmkTpmPatience) { 0 };
  handover->snapshot = take_snapshot (tpm);
  if (handover->snapshot == NULL)
    return NULL;
  if (session_seconds != 0)
    save_session (tpm, session_seconds, handover);
  return g_steal_pointer (&handover);
}

gboolean
cmk_tpm_take_over (CmkTpm *tpm, const CmkTpmHandover *handover)
{
  if (handover->session_state != NULL &&
      is_state_of_session (cmk_secret_peek (handover->session_state), cmk_secret_length (handover->session_state)) &&
      load_session (tpm, handover->session, cmk_secret_peek (handover->session_state),
                    cmk_secret_length (handover->session_state), &tpm->kept_session))
    tpm->kept_since = g_get_monotonic_time ();
  return !tpm->broken && restore_snapshot (tpm, handover->snapshot);
}

void
cmk_tpm_abandon_session (CmkTpm *tpm, GBytes *session)
{
  g_clear_pointer (&tpm->abandoned_session, g_bytes_unref);
  tpm->abandoned_session = g_bytes_ref (session);
}

void
cmk_tpm_flush_abandoned (CmkTpm *tpm)
{
  /* For ESYS: no size, no handle, an empty name and no kind of resource (IESYSC_WITHOUT_MISC_RSRC). */
  static const guint8 nothing[2 + 4 + 2 + 4] = { 0 };
  g_autoptr (GBytes) session = g_steal_pointer (&tpm->abandoned_session);
  CmkTpmHandle handle = CMK_TPM_HANDLE_NONE;
  if (session != NULL && load_session (tpm, session, nothing, sizeof nothing, &handle))
    cmk_tpm_flush (tpm, &handle);
}
