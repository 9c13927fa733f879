/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: the connection to the TPM, its root key, and the handles that must not be left
 * behind in it. */
#pragma once

#include "base/error.h"
#include "tpm/handover.h"
#include "tpm/resident-key.h"
#include "tpm/session.h"

#include <tss2/tss2_esys.h>

/* An object or session in the TPM. The TPM's own handle is kept beside that of ESYS because an I/O error costs the
 * whole ESYS context, but not necessarily what is loaded. */
typedef struct
{
  ESYS_TR tr;
  TPM2_HANDLE handle;
} CmkTpmHandle;

#define CMK_TPM_NAME_SIZE 34 /* TPM2B_NAME of what has the name algorithm SHA-256, without its size */

/* What is in the TPM, as it is noted down. */
typedef struct
{
  TPM2_HANDLE handle;             /* 0: not known yet, or never */
  guint8 name[CMK_TPM_NAME_SIZE]; /* zeros: it has none (sessions and sequences) */
} CmkTpmLoaded;

/* MAX_SYM_DATA of the reference code: tpm2-tss would allow more. */
#define CMK_TPM_MAX_SENSITIVE_DATA 128

#define CMK_TPM_HANDLE_NONE ((CmkTpmHandle) { .tr = ESYS_TR_NONE })

typedef struct _CmkTpmAbilities CmkTpmAbilities;

/* How long one call may still wait for a TPM that is busy. */
typedef struct
{
  guint waited_ms;
  guint next_ms;
  gboolean started;
  gboolean tested;
  gboolean room_made;
} CmkTpmPatience;

struct _CmkTpm
{
  char *tcti;
  TSS2_TCTI_CONTEXT *connection;
  ESYS_CONTEXT *esys; /* NULL: not connected */
  gboolean broken;    /* ESYS is of no use any more, a new connection is needed */
  TSS2_RC broken_by;  /* what ESYS said before it began to say BAD_SEQUENCE */
  GArray *stranded;   /* TPM2_HANDLE: loaded, and not flushed when it should have been */
  GArray *loaded;     /* CmkTpmLoaded; empty without a notebook */
  CmkTpmNotebook notebook;
  CmkTpmPatience patience;

  ESYS_TR root;               /* the persistent root key, or ESYS_TR_NONE */
  TPMS_CONTEXT *root_context; /* else the saved context of the transient one; may be NULL until it is looked for */
  GBytes *root_name;

  CmkTpmHandle kept_session; /* open, and in no call's hands */
  gint64 kept_since;         /* monotonic time */
  guint session_seconds;     /* after which it is given back; 0 = none is kept */
  gboolean root_has_password;
  GBytes *abandoned_session; /* of an earlier cmkd, still in the TPM */
  gboolean gap_is_wide;      /* TRUE: a session may stay open while others come and go */

  CmkTpmContextCache cache;
  CmkTpmAbilities *abilities; /* NULL: nobody has asked yet */
  CmkTpmIdentity identity;
};

struct _CmkTpmSession
{
  CmkTpm *tpm;
  CmkTpmHandle root; /* NONE until it is needed; handle is 0 when it is persistent: nothing to flush */
  CmkTpmHandle session;
  gboolean was_kept;
  gboolean has_begun_again;
  gboolean is_under_root; /* the command under way is authorised by the root key's empty password, too */
  gboolean root_refused;  /* and that is not its password */
  gboolean check_failed;  /* the authorisation in a kept session; in the new one we shall see */
  GError *failure;        /* why it could not begin again */
};

static inline void
cmk_tpm_esys_free (void *pointer)
{
  void **owned = pointer;
  Esys_Free (*owned);
}

/* For what ESYS allocates and is no secret. */
#define cmk_tpm_auto_free __attribute__ ((cleanup (cmk_tpm_esys_free)))

/* --- tss-error.c: the one door from TSS return codes to errors ------------------------------------------------- */

/* @rc without the number of the parameter, handle or session that it complains about. */
TSS2_RC cmk_tss_base (TSS2_RC rc);

/* Did the TPM itself say so? If not, it never got the command or its answer was lost on the way. */
gboolean cmk_tss_is_answer (TSS2_RC rc);

/* FALSE, with "cannot @what: @why (code)". @why is static: it becomes cmk_tpm_trouble(). */
gboolean cmk_tss_fail (TSS2_RC rc, const char *what, CmkError code, const char *why, GError **error);

/* TRUE for success. Otherwise "cannot @what: why, what to do (code)". */
gboolean cmk_tss_ok (TSS2_RC rc, const char *what, GError **error);

/* The same, and notes when @tpm needs a new connection. */
gboolean cmk_tpm_ok (CmkTpm *tpm, TSS2_RC rc, const char *what, GError **error);

/* TRUE, after waiting, if the command that gave @rc deserves to be sent again. */
gboolean cmk_tpm_again (CmkTpm *tpm, TSS2_RC rc);

/* rc = the ESYS call, repeated while the TPM asks for patience. */
#define CMK_TPM_COMMAND(tpm, rc, ...)                                                                                  \
  do                                                                                                                   \
    (rc) = (__VA_ARGS__);                                                                                              \
  while (cmk_tpm_again ((tpm), (rc)))

/* --- connection.c ------------------------------------------------------------------------------------------------ */

/* A working ESYS context, a new one if the last has broken. */
gboolean cmk_tpm_connect (CmkTpm *tpm, GError **error);
void cmk_tpm_disconnect (CmkTpm *tpm);

/* Take @tr, which ESYS has just loaded, into @handle. */
void cmk_tpm_hold (CmkTpm *tpm, ESYS_TR tr, CmkTpmHandle *handle);

/* Remove what @handle names from the TPM. NONE is fine. Never fails: what cannot be flushed now is stranded. */
void cmk_tpm_flush (CmkTpm *tpm, CmkTpmHandle *handle);

/* Try once more to remove what is stranded. */
void cmk_tpm_settle (CmkTpm *tpm);

/* --- loaded.c ---------------------------------------------------------------------------------------------------- */

/* An object with @public is about to be loaded, and its handle will not be known before cmk_tpm_hold(). */
void cmk_tpm_announce (CmkTpm *tpm, const TPM2B_PUBLIC *public);
/* It was not. */
void cmk_tpm_withdraw (CmkTpm *tpm);

/* For cmk_tpm_hold(). */
void cmk_tpm_note (CmkTpm *tpm, const CmkTpmHandle *handle);
/* @handle is not in the TPM any more: from now on somebody else's may have its number. cmk_tpm_flush() sees to it
 * itself. */
void cmk_tpm_unnote (CmkTpm *tpm, TPM2_HANDLE handle);

/* From now on what is loaded is noted, and what was noted by an earlier process is flushed. */
void cmk_tpm_open_notebook (CmkTpm *tpm, const CmkTpmNotebook *notebook);
/* Nothing more will be loaded. */
void cmk_tpm_close_notebook (CmkTpm *tpm);

#define CMK_TPM_MAX_LOADED 16

/* How many things @note says, if it is about the TPM of @tcti: in @ret_loaded, which has room for CMK_TPM_MAX_LOADED.
 * And when it was written, in monotonic time. */
gsize cmk_tpm_parse_note (GBytes *note, const char *tcti, gint64 *ret_time, CmkTpmLoaded *ret_loaded);

/* --- leftovers.c ------------------------------------------------------------------------------------------------- */

/* Flush what an earlier process has noted, as far as it can be seen to be that. */
void cmk_tpm_flush_leftovers (CmkTpm *tpm, GBytes *note);

/* Flush the session @handle if it is loaded, as one of ours would be. */
void cmk_tpm_flush_session_by_number (CmkTpm *tpm, TPM2_HANDLE handle);

/* Flush the object @handle, not through ESYS, which would read its public area first: that of a sequence cannot be
 * read. */
void cmk_tpm_flush_object_by_number (CmkTpm *tpm, TPM2_HANDLE handle);

/* --- name.c ------------------------------------------------------------------------------------------------------ */

/* The name of an object with @public: NULL unless its name algorithm is SHA-256. */
GBytes *cmk_tpm_name_of (const TPM2B_PUBLIC *public);

/* A name is the digest of the public area: who has the name right cannot be given another key. */
gboolean cmk_tpm_is_name_of (const TPM2B_NAME *name, const TPM2B_PUBLIC *public);

/* --- handover.c -------------------------------------------------------------------------------------------------- */

/* TRUE if all that is asked of a TPM at first is known already. */
gboolean cmk_tpm_take_over (CmkTpm *tpm, const CmkTpmHandover *handover);

void cmk_tpm_flush_abandoned (CmkTpm *tpm);

/* --- root-key.c -------------------------------------------------------------------------------------------------- */

#define CMK_TPM_ROOT_HANDLE 0x81000001 /* TCG TPM v2.0 Provisioning Guidance, 7.5.1 */

/* The public area of the persistent root key, as ESYS has it. */
gboolean cmk_tpm_read_root_public (CmkTpm *tpm, TPM2B_PUBLIC *ret_public);

/* Find the root key, or make it. CMK_ERROR_TPM_CHANGED if it is not the one that @tpm was opened with. */
gboolean cmk_tpm_find_root (CmkTpm *tpm, GError **error);
gboolean cmk_tpm_has_root (CmkTpm *tpm);
void cmk_tpm_forget_root (CmkTpm *tpm);

/* The root key for one session: the persistent one, or the transient one, loaded. */
gboolean cmk_tpm_load_root (CmkTpm *tpm, CmkTpmHandle *root, GError **error);

/* Is the persistent root key still the one that @tpm was opened with? TRUE if it cannot be read. */
gboolean cmk_tpm_root_is_unchanged (CmkTpm *tpm);

/* --- session.c --------------------------------------------------------------------------------------------------- */

/* Begin again after the connection broke. */
gboolean cmk_tpm_session_restart (CmkTpmSession *session, GError **error);

/* Have the root key in @session: for commands that name it. */
gboolean cmk_tpm_session_need_root (CmkTpmSession *session, GError **error);

/* Set what the session does with the next command: TPMA_SESSION_DECRYPT, _ENCRYPT, and close itself if @place says so
 * and it is not kept. */
TSS2_RC cmk_tpm_session_make_ready (CmkTpmSession *session, TPMA_SESSION crypt, CmkTpmPlace place);

/* TRUE, after waiting or with a new session in @session, if the command that gave @rc deserves to be sent again. */
gboolean cmk_tpm_session_again (CmkTpmSession *session, TSS2_RC rc);

/* rc = the ESYS call in @session, repeated while there is hope. */
#define CMK_TPM_SESSION_COMMAND(session, crypt, place, rc, ...)                                                        \
  do                                                                                                                   \
    {                                                                                                                  \
      (rc) = cmk_tpm_session_make_ready ((session), (crypt), (place));                                                 \
      if ((rc) == TSS2_RC_SUCCESS)                                                                                     \
        (rc) = (__VA_ARGS__);                                                                                          \
    }                                                                                                                  \
  while (cmk_tpm_session_again ((session), (rc)))

/* The same for a command under the root key, which it names, with ESYS_TR_PASSWORD for that before the session: a root
 * key without noDA counts no guesses where there is nothing to guess. */
#define CMK_TPM_ROOT_COMMAND(session, crypt, place, rc, ...)                                                           \
  do                                                                                                                   \
    {                                                                                                                  \
      (session)->is_under_root = TRUE;                                                                                 \
      CMK_TPM_SESSION_COMMAND (session, crypt, place, rc, __VA_ARGS__);                                                \
      (session)->is_under_root = FALSE;                                                                                \
    }                                                                                                                  \
  while (0)

/* cmk_tpm_ok() for a command in the session: forgets the session that the TPM has closed with it. */
gboolean cmk_tpm_session_ok (CmkTpmSession *session, TSS2_RC rc, CmkTpmPlace place, const char *what, GError **error);

/* --- object.c ---------------------------------------------------------------------------------------------------- */

/* TPM2B_PUBLIC || TPM2B_PRIVATE, and back: CMK_ERROR_STATE_CORRUPTED if it is anything else. */
GBytes *cmk_tpm_object_marshal (const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, GError **error);
gboolean cmk_tpm_object_unmarshal (GBytes *blob, TPM2B_PUBLIC *public, TPM2B_PRIVATE *private, GError **error);

/* A new object under the root key, marshalled. */
GBytes *cmk_tpm_object_create (CmkTpmSession *session, const TPM2B_SENSITIVE_CREATE *sensitive,
                               const TPM2B_PUBLIC *template, CmkTpmPlace place, const char *what, GError **error);

/* What is done with a loaded object. Tried a second time, with the object loaded from its blob, if it fails with one
 * that came from a kept context. */
typedef gboolean (*CmkTpmObjectUse) (CmkTpmSession *session, ESYS_TR object, CmkTpmPlace place, gpointer data,
                                     GError **error);

/* Do @use (NULL: nothing) with the object of @blob, loaded from its context, which is kept under @cache_name, or else
 * from the blob. @cache_name may be NULL: no context is kept. */
gboolean cmk_tpm_object_use (CmkTpmSession *session, GBytes *blob, const char *cache_name, CmkTpmPlace place,
                             CmkTpmObjectUse use, gpointer data, GError **error);

/* --- abilities.c ------------------------------------------------------------------------------------------------- */

void cmk_tpm_abilities_free (CmkTpmAbilities *abilities);

/* --- resident-kind.c ---------------------------------------------------------------------------------------------- */

/* What TPM2_Create makes a key of @kind from, bound to this TPM: for one that the TPM makes itself. */
void cmk_tpm_resident_template (CmkResidentKind kind, TPM2B_PUBLIC *ret_template);

/* --- resident-key.c ---------------------------------------------------------------------------------------------- */

/* r || s, @size bytes each, where the TPM may leave out zeros in front. FALSE: it is no ECDSA signature of that
 * size. */
gboolean cmk_tpm_split_ecdsa (const TPMT_SIGNATURE *signature, guint8 *ret_numbers, gsize size);

/* --- context.c --------------------------------------------------------------------------------------------------- */

/* The object whose public area is @public, from the context kept under @cache_name. FALSE: not there, or of no use. */
gboolean cmk_tpm_context_load (CmkTpm *tpm, const char *cache_name, const TPM2B_PUBLIC *public, CmkTpmHandle *object);
void cmk_tpm_context_keep (CmkTpm *tpm, const char *cache_name, const CmkTpmHandle *object);
void cmk_tpm_context_drop (CmkTpm *tpm, const char *cache_name);

/* --- scrub.c ----------------------------------------------------------------------------------------------------- */

/* Overwrite the secrets that the last command left in the memory of ESYS and on the stack. */
void cmk_tpm_scrub (CmkTpm *tpm);
