/* SPDX-License-Identifier: Apache-2.0
 *
 * ESYS 3.2 has one ESYS_TR for a handle, however often it is opened, and does not count: what one user closes is closed
 * for all. So none is closed here, they go with the connection; and each use asks first whether its own still
 * stands. */
#include "tpm/nv-index.h"

#include "base/error.h"
#include "tpm/internal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

/* In the range that the TCG leaves to owners (Registry of Reserved TPM 2.0 Handles and Localities). */
#define FIRST_HANDLE 0x018c6d00U
#define LAST_HANDLE  0x018c6dffU

/* Nothing for the owner and nothing by policy: only who has the authorisation value reads and writes. NO_DA, no failure
 * of ours may count towards the TPM's lockout. */
#define ATTRIBUTES (TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA)

#define MAX_AUTH_SIZE 32 /* of an index whose name algorithm is SHA-256 */

#define NO_SPACE "the TPM has no room for another NV index; remove one that nobody needs with tpm2_nvundefine"
#define OWNED    "the owner hierarchy of the TPM has a password; remove it with tpm2_changeauth -c owner -p PASSWORD"
#define DISABLED "the owner hierarchy of the TPM is disabled; enable it in the firmware setup"
#define PLATFORM "it belongs to the firmware; remove it in the firmware setup"
#define UNABLE   "the TPM, or what lies between it and cmkd, has no NV indexes of the kind; cmkd can do without"

static const struct
{
  TSS2_RC base;
  const char *why;
} refusals[] = {
  { TPM2_RC_NV_SPACE, NO_SPACE },   { TPM2_RC_BAD_AUTH, OWNED },    { TPM2_RC_AUTH_FAIL, OWNED },
  { TPM2_RC_HIERARCHY, DISABLED },  { TPM2_RC_VALUE, UNABLE },      { TPM2_RC_NV_AUTHORIZATION, PLATFORM },
  { TPM2_RC_COMMAND_CODE, UNABLE }, { TPM2_RC_ATTRIBUTES, UNABLE }, { TPM2_RC_SIZE, UNABLE },
  { TPM2_RC_NV_SIZE, UNABLE },      { TPM2_RC_HASH, UNABLE },
};

struct _CmkTpmNvIndex
{
  TPM2_HANDLE handle;
  guint8 label[CMK_TPM_NV_LABEL_SIZE];
  CmkSecret *auth;
  ESYS_TR tr; /* of the connection in which it was last used */
};

G_DEFINE_QUARK (cmk - tpm - nv - error - quark, cmk_tpm_nv_error)

static void
wipe_auth (TPM2B_AUTH *auth)
{
  explicit_bzero (auth, sizeof *auth);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_AUTH, wipe_auth)

static void
wipe_contents (TPM2B_MAX_NV_BUFFER *contents)
{
  explicit_bzero (contents, sizeof *contents);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TPM2B_MAX_NV_BUFFER, wipe_contents)

static void
free_contents (TPM2B_MAX_NV_BUFFER *contents)
{
  wipe_contents (contents);
  Esys_Free (contents);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TPM2B_MAX_NV_BUFFER, free_contents)

/* --- what the TPM says ------------------------------------------------------------------------------------------- */

static gboolean
set_missing (TPM2_HANDLE handle, TSS2_RC rc, GError **error)
{
  g_set_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_MISSING,
               "the TPM has no NV index at 0x%x: it was removed, or the TPM was cleared (TPM code 0x%x)", handle, rc);
  return FALSE;
}

static gboolean
set_foreign (TPM2_HANDLE handle, TSS2_RC rc, GError **error)
{
  g_set_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_FOREIGN,
               "the NV index at 0x%x is not the one that cmkd defined: it was removed, and another defined in its "
               "place (TPM code 0x%x)",
               handle, rc);
  return FALSE;
}

/* Whose commands are altered on the way gets the same code as who is not authorised: it is the latter if the session
 * still works otherwise. */
static gboolean
is_altered (CmkTpmSession *session, TSS2_RC rc)
{
  CmkTpm *tpm = session->tpm;
  if (cmk_tss_base (rc) != TPM2_RC_BAD_AUTH && cmk_tss_base (rc) != TPM2_RC_AUTH_FAIL)
    return FALSE;
  if (tpm->broken || session->session.tr == ESYS_TR_NONE)
    return TRUE;
  cmk_tpm_auto_free TPM2B_DIGEST *nonce = NULL;
  rc = cmk_tpm_session_make_ready (session, TPMA_SESSION_ENCRYPT, CMK_TPM_MORE);
  if (rc == TSS2_RC_SUCCESS)
    rc = Esys_GetRandom (tpm->esys, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, 16, &nonce);
  (void) cmk_tpm_ok (tpm, rc, "try the session", NULL);
  return cmk_tss_base (rc) == TPM2_RC_BAD_AUTH || cmk_tss_base (rc) == TPM2_RC_AUTH_FAIL ||
         rc == TSS2_ESYS_RC_RSP_AUTH_FAILED;
}

/* What came of a command that only the owner can give. */
static gboolean
owner_ok (CmkTpmSession *session, TSS2_RC rc, CmkTpmPlace place, const char *what, GError **error)
{
  g_autoptr (GError) general = NULL;
  if (cmk_tpm_session_ok (session, rc, place, what, &general))
    return TRUE;
  if (is_altered (session, rc))
    {
      g_propagate_error (error, g_steal_pointer (&general));
      return FALSE;
    }
  /* A resource manager that does not know a command says so for the TPM, with a layer of its own above the code. */
  TSS2_RC base = cmk_tss_base (rc & ~(TSS2_RC) TSS2_RC_LAYER_MASK);
  for (gsize i = 0; i < G_N_ELEMENTS (refusals); i++)
    if (refusals[i].base == base && !g_error_matches (general, CMK_ERROR, CMK_ERROR_TPM_CHANGED))
      {
        g_set_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_REFUSED, "cannot %s: %s (TPM code 0x%x)", what,
                     refusals[i].why, rc);
        return FALSE;
      }
  g_propagate_error (error, g_steal_pointer (&general));
  return FALSE;
}

/* What came of reading or writing @index. */
static gboolean
use_ok (CmkTpmSession *session, CmkTpmNvIndex *index, TSS2_RC rc, CmkTpmPlace place, const char *what, GError **error)
{
  g_autoptr (GError) general = NULL;
  if (cmk_tpm_session_ok (session, rc, place, what, &general))
    return TRUE;
  index->tr = ESYS_TR_NONE;
  if (!g_error_matches (general, CMK_ERROR, CMK_ERROR_TPM_CHANGED) && !is_altered (session, rc))
    switch (cmk_tss_base (rc))
      {
      case TPM2_RC_HANDLE:
        return set_missing (index->handle, rc, error);

      case TPM2_RC_BAD_AUTH:
      case TPM2_RC_AUTH_FAIL:
      case TPM2_RC_NV_RANGE:
      case TPM2_RC_NV_LOCKED:
      case TPM2_RC_NV_AUTHORIZATION:
      case TPM2_RC_NV_UNINITIALIZED:
        return set_foreign (index->handle, rc, error);

      default:
        break;
      }
  g_propagate_error (error, g_steal_pointer (&general));
  return FALSE;
}

/* --- public areas ------------------------------------------------------------------------------------------------ */

static void
fill_public (TPM2_HANDLE handle, const guint8 label[CMK_TPM_NV_LABEL_SIZE], TPM2B_NV_PUBLIC *public)
{
  *public = (TPM2B_NV_PUBLIC) {
    .nvPublic = { .nvIndex = handle,
                  .nameAlg = TPM2_ALG_SHA256,
                  .attributes = ATTRIBUTES,
                  .authPolicy = { .size = CMK_TPM_NV_LABEL_SIZE },
                  .dataSize = CMK_TPM_NV_SIZE },
  };
  memcpy (public->nvPublic.authPolicy.buffer, label, CMK_TPM_NV_LABEL_SIZE);
}

static gboolean
has_label (const TPMS_NV_PUBLIC *public, const guint8 label[CMK_TPM_NV_LABEL_SIZE])
{
  return memcmp (public->authPolicy.buffer, label, CMK_TPM_NV_LABEL_SIZE) == 0;
}

/* Written or not. */
static gboolean
is_of_our_kind (const TPMS_NV_PUBLIC *public)
{
  return public->nameAlg == TPM2_ALG_SHA256 && (public->attributes & ~TPMA_NV_WRITTEN) == ATTRIBUTES &&
         public->dataSize == CMK_TPM_NV_SIZE && public->authPolicy.size == CMK_TPM_NV_LABEL_SIZE;
}

static gboolean
is_written (const TPMS_NV_PUBLIC *public)
{
  return (public->attributes & TPMA_NV_WRITTEN) != 0;
}

/* The index at @handle. Its public area is that for which ESYS has the name, had without a second command; somebody on
 * the bus may have altered both, which the first command in a session finds. */
static gboolean
look_at (CmkTpm *tpm, TPM2_HANDLE handle, ESYS_TR *ret_tr, TPM2B_NV_PUBLIC *ret_public, GError **error)
{
  const char *what = "look at an NV index";
  TSS2_RC rc;
  CMK_TPM_COMMAND (tpm, rc,
                   Esys_TR_FromTPMPublic (tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ret_tr));
  if (cmk_tss_base (rc) == TPM2_RC_HANDLE)
    return set_missing (handle, rc, error);
  if (!cmk_tpm_ok (tpm, rc, what, error))
    return FALSE;

  cmk_tpm_auto_free guint8 *data = NULL;
  gsize size, offset = 0;
  TPM2_HANDLE same_handle;
  TPM2B_NAME name = { 0 };
  guint32 type;
  return cmk_tpm_ok (tpm, Esys_TR_Serialize (tpm->esys, *ret_tr, &data, &size), what, error) &&
         cmk_tss_ok (Tss2_MU_TPM2_HANDLE_Unmarshal (data, size, &offset, &same_handle), what, error) &&
         cmk_tss_ok (Tss2_MU_TPM2B_NAME_Unmarshal (data, size, &offset, &name), what, error) &&
         cmk_tss_ok (Tss2_MU_UINT32_Unmarshal (data, size, &offset, &type), what, error) &&
         cmk_tss_ok (Tss2_MU_TPM2B_NV_PUBLIC_Unmarshal (data, size, &offset, ret_public), what, error);
}

/* Those of ours that are taken, in ascending order. */
static GArray *
list_handles (CmkTpm *tpm, GError **error)
{
  g_autoptr (GArray) handles = g_array_new (FALSE, FALSE, sizeof (TPM2_HANDLE));
  TPM2_HANDLE next = FIRST_HANDLE;
  TPMI_YES_NO more = TPM2_YES;
  while (more == TPM2_YES && next <= LAST_HANDLE)
    {
      cmk_tpm_auto_free TPMS_CAPABILITY_DATA *data = NULL;
      TSS2_RC rc;
      CMK_TPM_COMMAND (tpm, rc,
                       Esys_GetCapability (tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, next,
                                           TPM2_MAX_CAP_HANDLES, &more, &data));
      if (rc == TSS2_RC_SUCCESS && data->capability != TPM2_CAP_HANDLES)
        rc = TSS2_ESYS_RC_MALFORMED_RESPONSE; /* the count is that of whatever list it says to be */
      if (!cmk_tpm_ok (tpm, rc, "list the NV indexes", error))
        return NULL;
      const TPML_HANDLE *found = &data->data.handles;
      for (guint32 i = 0; i < found->count && found->handle[i] >= next; i++)
        {
          next = found->handle[i] + 1;
          if (found->handle[i] <= LAST_HANDLE)
            g_array_append_val (handles, found->handle[i]);
        }
      /* No progress is none of a TPM's; it must not keep us here. */
      if (found->count == 0 || found->handle[found->count - 1] + 1 != next)
        break;
    }
  return g_steal_pointer (&handles);
}

static void
append_entry (GArray *entries, const TPMS_NV_PUBLIC *public)
{
  CmkTpmNvEntry entry = { .handle = public->nvIndex, .is_written = is_written (public) };
  memcpy (entry.label, public->authPolicy.buffer, sizeof entry.label);
  g_array_append_val (entries, entry);
}

GArray *
cmk_tpm_nv_index_list (CmkTpm *tpm, GError **error)
{
  tpm->patience = (CmkTpmPatience) { 0 };
  g_autoptr (GArray) handles = cmk_tpm_connect (tpm, error) ? list_handles (tpm, error) : NULL;
  if (handles == NULL)
    return NULL;
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (CmkTpmNvEntry));
  for (guint i = 0; i < handles->len; i++)
    {
      g_autoptr (GError) failure = NULL;
      TPM2B_NV_PUBLIC public = { 0 };
      ESYS_TR tr;
      if (look_at (tpm, g_array_index (handles, TPM2_HANDLE, i), &tr, &public, &failure))
        {
          if (is_of_our_kind (&public.nvPublic))
            append_entry (entries, &public.nvPublic);
        }
      /* Somebody may remove his own meanwhile. */
      else if (!g_error_matches (failure, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_MISSING))
        {
          g_propagate_error (error, g_steal_pointer (&failure));
          return NULL;
        }
    }
  return g_steal_pointer (&entries);
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static CmkTpmNvIndex *
new_index (TPM2_HANDLE handle, const guint8 label[CMK_TPM_NV_LABEL_SIZE], const CmkSecret *auth, GError **error)
{
  g_return_val_if_fail (cmk_secret_length (auth) <= MAX_AUTH_SIZE, NULL);
  g_autoptr (CmkTpmNvIndex) index = g_new0 (CmkTpmNvIndex, 1);
  index->handle = handle;
  index->tr = ESYS_TR_NONE;
  memcpy (index->label, label, CMK_TPM_NV_LABEL_SIZE);
  index->auth = cmk_secret_new_copy (cmk_secret_peek (auth), cmk_secret_length (auth), error);
  return index->auth == NULL ? NULL : g_steal_pointer (&index);
}

void
cmk_tpm_nv_index_free (CmkTpmNvIndex *index)
{
  if (index == NULL)
    return;
  cmk_secret_free (index->auth);
  g_free (index);
}

guint32
cmk_tpm_nv_index_handle (const CmkTpmNvIndex *index)
{
  return index->handle;
}

/* Has ESYS @index, in this connection? */
static gboolean
is_attached (CmkTpm *tpm, const CmkTpmNvIndex *index)
{
  TPM2_HANDLE handle = 0;
  return index->tr != ESYS_TR_NONE && Esys_TR_GetTpmHandle (tpm->esys, index->tr, &handle) == TSS2_RC_SUCCESS &&
         handle == index->handle;
}

static gboolean
attach (CmkTpm *tpm, CmkTpmNvIndex *index, GError **error)
{
  ESYS_TR tr = ESYS_TR_NONE;
  TPM2B_NV_PUBLIC public = { 0 };
  index->tr = ESYS_TR_NONE;
  if (!look_at (tpm, index->handle, &tr, &public, error))
    return FALSE;
  if (!is_of_our_kind (&public.nvPublic) || !is_written (&public.nvPublic) ||
      !has_label (&public.nvPublic, index->label))
    return set_foreign (index->handle, TSS2_RC_SUCCESS, error);
  index->tr = tr;
  return TRUE;
}

CmkTpmNvIndex *
cmk_tpm_nv_index_open (CmkTpm *tpm, guint32 handle, const guint8 label[CMK_TPM_NV_LABEL_SIZE], const CmkSecret *auth,
                       GError **error)
{
  tpm->patience = (CmkTpmPatience) { 0 };
  g_autoptr (CmkTpmNvIndex) index = new_index (handle, label, auth, error);
  if (index == NULL || !cmk_tpm_connect (tpm, error) || !attach (tpm, index, error))
    return NULL;
  return g_steal_pointer (&index);
}

/* --- use --------------------------------------------------------------------------------------------------------- */

static void
fill_auth (const CmkTpmNvIndex *index, TPM2B_AUTH *auth)
{
  auth->size = (guint16) cmk_secret_length (index->auth);
  memcpy (auth->buffer, cmk_secret_peek (index->auth), auth->size);
}

/* Make ready for one command with @index. ESYS has the authorisation value until that is over. */
static gboolean
prepare (CmkTpmSession *session, CmkTpmNvIndex *index, GError **error)
{
  CmkTpm *tpm = session->tpm;
  if (tpm->broken && !cmk_tpm_session_restart (session, error))
    return FALSE;
  if (!is_attached (tpm, index) && !attach (tpm, index, error))
    return FALSE;
  g_auto (TPM2B_AUTH) auth = { 0 };
  fill_auth (index, &auth);
  return cmk_tpm_ok (tpm, Esys_TR_SetAuth (tpm->esys, index->tr, &auth), "use an NV index", error);
}

/* Leave no secret of the last command with @tr in memory. Zeros, because ESYS would keep what is behind a size of 0. */
static void
clean_up (CmkTpm *tpm, ESYS_TR tr)
{
  TPM2B_AUTH zeros = { .size = MAX_AUTH_SIZE };
  if (tr != ESYS_TR_NONE)
    (void) Esys_TR_SetAuth (tpm->esys, tr, &zeros);
  cmk_tpm_scrub (tpm);
}

CmkSecret *
cmk_tpm_nv_index_read (CmkTpmSession *session, CmkTpmNvIndex *index, CmkTpmPlace place, GError **error)
{
  const char *what = "read the NV index";
  CmkTpm *tpm = session->tpm;
  g_autoptr (CmkSecret) contents = cmk_secret_new (CMK_TPM_NV_SIZE, error);
  if (contents == NULL || !prepare (session, index, error))
    return NULL;

  g_autoptr (TPM2B_MAX_NV_BUFFER) plain = NULL;
  TSS2_RC rc;
  /* The sizes in the command are no secret, and not of a kind that can be encrypted. */
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_ENCRYPT, place, rc,
                           Esys_NV_Read (tpm->esys, index->tr, index->tr, session->session.tr, ESYS_TR_NONE,
                                         ESYS_TR_NONE, CMK_TPM_NV_SIZE, 0, &plain));
  clean_up (tpm, index->tr);
  if (!use_ok (session, index, rc, place, what, error))
    return NULL;
  if (plain->size != CMK_TPM_NV_SIZE)
    return cmk_tss_ok (TSS2_ESYS_RC_MALFORMED_RESPONSE, what, error), NULL;
  memcpy (cmk_secret_data (contents), plain->buffer, CMK_TPM_NV_SIZE);
  return g_steal_pointer (&contents);
}

gboolean
cmk_tpm_nv_index_write (CmkTpmSession *session, CmkTpmNvIndex *index, const CmkSecret *contents, CmkTpmPlace place,
                        GError **error)
{
  g_return_val_if_fail (cmk_secret_length (contents) == CMK_TPM_NV_SIZE, FALSE);
  CmkTpm *tpm = session->tpm;
  if (!prepare (session, index, error))
    return FALSE;

  g_auto (TPM2B_MAX_NV_BUFFER) plain = { .size = CMK_TPM_NV_SIZE };
  memcpy (plain.buffer, cmk_secret_peek (contents), CMK_TPM_NV_SIZE);
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (
      session, TPMA_SESSION_DECRYPT, place, rc,
      Esys_NV_Write (tpm->esys, index->tr, index->tr, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &plain, 0));
  clean_up (tpm, index->tr);
  return use_ok (session, index, rc, place, "write the NV index", error);
}

/* --- defining and removing --------------------------------------------------------------------------------------- */

/* Define @index at @handle; the TPM's answer. The session is there to encrypt the authorisation value. */
static TSS2_RC
define_at (CmkTpmSession *session, CmkTpmNvIndex *index, TPM2_HANDLE handle)
{
  CmkTpm *tpm = session->tpm;
  TPM2B_NV_PUBLIC public;
  fill_public (handle, index->label, &public);
  g_auto (TPM2B_AUTH) auth = { 0 };
  fill_auth (index, &auth);
  ESYS_TR tr = ESYS_TR_NONE;
  TSS2_RC rc;
  CMK_TPM_SESSION_COMMAND (session, TPMA_SESSION_DECRYPT, CMK_TPM_MORE, rc,
                           Esys_NV_DefineSpace (tpm->esys, ESYS_TR_RH_OWNER, session->session.tr, ESYS_TR_NONE,
                                                ESYS_TR_NONE, &auth, &public, &tr));
  if (rc == TSS2_RC_SUCCESS)
    {
      index->handle = handle;
      index->tr = tr;
    }
  clean_up (tpm, index->tr);
  return rc;
}

static gboolean
define_somewhere (CmkTpmSession *session, CmkTpmNvIndex *index, GError **error)
{
  g_autoptr (GArray) taken = list_handles (session->tpm, error);
  if (taken == NULL)
    return FALSE;

  TSS2_RC rc = TPM2_RC_NV_DEFINED;
  guint n_passed = 0;
  for (TPM2_HANDLE handle = FIRST_HANDLE; handle <= LAST_HANDLE && rc == TPM2_RC_NV_DEFINED; handle++)
    {
      if (n_passed < taken->len && g_array_index (taken, TPM2_HANDLE, n_passed) == handle)
        n_passed++;
      else
        rc = define_at (session, index, handle);
    }
  if (rc != TPM2_RC_NV_DEFINED)
    return owner_ok (session, rc, CMK_TPM_MORE, "define an NV index", error);
  g_set_error (error, CMK_TPM_NV_ERROR, CMK_TPM_NV_ERROR_REFUSED,
               "cannot define an NV index: all from 0x%x to 0x%x are taken; remove one that nobody needs with "
               "tpm2_nvundefine",
               FIRST_HANDLE, LAST_HANDLE);
  return FALSE;
}

static gboolean
undefine (CmkTpmSession *session, TPM2_HANDLE handle, CmkTpmPlace place, GError **error)
{
  CmkTpm *tpm = session->tpm;
  ESYS_TR tr = ESYS_TR_NONE;
  TPM2B_NV_PUBLIC public = { 0 };
  if (tpm->broken && !cmk_tpm_session_restart (session, error))
    return FALSE;
  if (!look_at (tpm, handle, &tr, &public, error))
    return FALSE;
  TSS2_RC rc;
  /* Nothing in the command or its answer can be encrypted. */
  CMK_TPM_SESSION_COMMAND (
      session, 0, place, rc,
      Esys_NV_UndefineSpace (tpm->esys, ESYS_TR_RH_OWNER, tr, session->session.tr, ESYS_TR_NONE, ESYS_TR_NONE));
  if (cmk_tss_base (rc) == TPM2_RC_HANDLE)
    return set_missing (handle, rc, error);
  return owner_ok (session, rc, place, "remove an NV index", error);
}

CmkTpmNvIndex *
cmk_tpm_nv_index_define (CmkTpmSession *session, const guint8 label[CMK_TPM_NV_LABEL_SIZE], const CmkSecret *auth,
                         const CmkSecret *contents, CmkTpmPlace place, GError **error)
{
  CmkTpm *tpm = session->tpm;
  g_autoptr (CmkTpmNvIndex) index = new_index (0, label, auth, error);
  if (index == NULL || (tpm->broken && !cmk_tpm_session_restart (session, error)) ||
      !define_somewhere (session, index, error))
    return NULL;
  if (cmk_tpm_nv_index_write (session, index, contents, place, error))
    return g_steal_pointer (&index);
  (void) undefine (session, index->handle, CMK_TPM_MORE, NULL);
  return NULL;
}

gboolean
cmk_tpm_nv_index_remove (CmkTpmSession *session, guint32 handle, CmkTpmPlace place, GError **error)
{
  return undefine (session, handle, place, error);
}
