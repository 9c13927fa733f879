/* SPDX-License-Identifier: Apache-2.0
 *
 * The TPM: connection, storage root key, health. daemon/tpm is the only door to tpm2-tss; every TSS return code is
 * translated once, there. One thread - the worker - owns a CmkTpm and everything made from it. */
#pragma once

#include <glib.h>

typedef struct _CmkTpm CmkTpm;
typedef struct _CmkTpmHandover CmkTpmHandover;

/* Where contexts of TPM objects are kept between calls. A miss, a failure to keep or a wrong entry costs time only.
 * @lookup must return nothing that it did not itself keep: tpm2-tss parses it without defence. NULL: no cache. */
typedef struct
{
  GBytes *(*lookup) (gpointer data, const char *name); /* owned, or NULL */
  void (*keep) (gpointer data, const char *name, GBytes *context);
  void (*drop) (gpointer data, const char *name);
  gpointer data;
} CmkTpmContextCache;

/* Where it is written down what this process has in a TPM without a resource manager. If the process is killed that
 * stays there, and fills the TPM for everybody: so the next one flushes it, as far as it is still what was noted. */
typedef struct
{
  GBytes *last; /* what an earlier process wrote last, or NULL. Anybody may have made it. */
  void (*write) (gpointer data, GBytes *note); /* before and after each change. @note NULL: there is nothing any more */
  gpointer data;
} CmkTpmNotebook;

typedef struct
{
  char manufacturer[5]; /* "IFX", "SW": the vendor's four characters, trimmed */
  char *firmware;       /* "7.85": both halves of TPM_PT_FIRMWARE_VERSION_1 and, if not zero, of _2 */
} CmkTpmIdentity;

/* Connect through @tcti (a TCTI loader string such as "device:/dev/tpmrm0"), start the TPM if nobody has, find the
 * storage root key: the standard one at 0x81000001 (put there if the place is empty and the TPM allows), else the
 * TCG ECC P-256 template as a transient primary. CMK_ERROR_TPM_UNAVAILABLE if that cannot be had. */
CmkTpm *cmk_tpm_open (const char *tcti, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same, but what @handover (tpm/handover.h; may be NULL) tells is not asked: if the TPM is another one by now, the
 * first session or the first object says so. And with a @notebook, which may be NULL, or is copied. */
CmkTpm *cmk_tpm_open_warm (const char *tcti, const CmkTpmHandover *handover, const CmkTpmNotebook *notebook,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_tpm_close (CmkTpm *tpm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkTpm, cmk_tpm_close)

/* How long the TPM may take for all commands of one call together, for the whole process: after that it counts as not
 * answering. Generating and importing asymmetric keys does not count. */
void cmk_tpm_set_answer_seconds (guint seconds);

/* Somebody wants to end: what takes a TPM minutes, as making a key may, is given up after the time of any other call.
 * Any thread. */
void cmk_tpm_hurry (void);

/* A call begins. Until the first, each command has that time for itself. */
void cmk_tpm_begin_call (void);

/* What was the matter when an error about the TPM was last made, and what to do: it is part of that error's message.
 * NULL: never anything. Static. Any thread. */
const char *cmk_tpm_trouble (void);

/* Is what @tcti names known to have a resource manager between us and the TPM? */
gboolean cmk_tpm_is_managed (const char *tcti);

/* Does a session that stays open cost nobody anything there? Without a resource manager it takes one of three places,
 * and tpm2-abrmd leaves it in the TPM for good when it ends. */
gboolean cmk_tpm_affords_kept_session (const char *tcti);

/* From here on object contexts are kept in @cache, which must outlive @tpm. */
void cmk_tpm_set_context_cache (CmkTpm *tpm, const CmkTpmContextCache *cache);

/* The TPM2B_NAME bytes of the storage root key: what a store pins. Owned by @tpm. */
GBytes *cmk_tpm_root_name (CmkTpm *tpm);

/* Does it stay in the TPM, at CMK_TPM_ROOT_HANDLE, or is it made anew where need be? */
gboolean cmk_tpm_root_is_persistent (CmkTpm *tpm);

/* Owned by @tpm, read once when it was opened. */
const CmkTpmIdentity *cmk_tpm_identity (CmkTpm *tpm);
