/* SPDX-License-Identifier: Apache-2.0
 *
 * What the call under way may do. Two questions, in this order: may the caller see the key (it is his own, a grant
 * gives him this very operation, he is root), and does the administrator's policy permit it. The second is not answered
 * here: the rules say what is to be asked, CMK_PERMIT_NEEDED, and run again when the answer is there. */
#pragma once

#include "kms/kms.h"

/* A run stopped, before it changed anything, at something that only a permit lets pass: see cmk_access_question().
 * Never leaves the daemon. */
#define CMK_PERMIT_NEEDED (cmk_permit_needed_quark ())
GQuark cmk_permit_needed_quark (void);

/* What policy is asked about, an intent each. */
typedef enum
{
  CMK_ACTION_NONE, /* nothing is asked */
  CMK_ACTION_USE_OWN_KEYS,
  CMK_ACTION_MANAGE_OWN_KEYS,
  CMK_ACTION_MANAGE_OTHERS_KEYS,
  CMK_ACTION_RECOVER,
} CmkAction;

/* The answer to a question holds for this call, and for the key as it was then. */
typedef struct
{
  CmkAction action;
  CmkOperation operation;
  gboolean has_key;
  CmkUuid key_id;
  gboolean has_facts; /* of a key that exists, or is to be made */
  guint32 owner_uid;
  CmkOrigin origin;
  CmkKeySpec spec;
  CmkKeyUsage usage;
  gint64 expires_at; /* of the material, 0 = never */
} CmkAccessQuestion;

#define CMK_ACCESS_MAX_KEYS    2 /* ReEncrypt has two */
#define CMK_ACCESS_MAX_PERMITS 4

/* Of one call; on one thread at a time. */
struct _CmkAccess
{
  gboolean needs_permits;    /* FALSE: nobody is asked, as for root and on a bus of the user's own */
  CmkAction action;          /* for a key that the caller may see */
  gboolean may_reach_others; /* the method is one for which CMK_ACTION_MANAGE_OTHERS_KEYS opens other people's keys */
  gboolean is_kept_to_own;   /* that was refused */
  CmkAccessQuestion question;
  CmkAccessQuestion permits[CMK_ACCESS_MAX_PERMITS];
  guint n_permits;
  CmkUuid keys[CMK_ACCESS_MAX_KEYS]; /* that the call named, for the journal */
  guint n_keys;
};

/* --- for who runs the call --- */

/* Permit what was asked last. */
void cmk_access_permit (CmkAccess *access);

/* Nothing was asked though there is something to ask: a rule that forgets to is a hole, which must not stay
 * unnoticed. */
gboolean cmk_access_was_not_asked_for (const CmkAccess *access);

/* --- for the rules. Any thread. --- */

/* The call is about the key @id, be it there or not. */
void cmk_access_note_key (const CmkCaller *caller, const CmkUuid *id);

/* May the caller see the stored key @record? Worker. */
gboolean cmk_access_sees (CmkKms *kms, const CmkCaller *caller, const CmkKeyRecord *record);

/* The same for one in use, from what is kept of it. CMK_ERROR_KEY_NOT_FOUND, or CMK_PERMIT_NEEDED. Any thread. */
gboolean cmk_access_require_active (CmkKms *kms, const CmkCaller *caller, const CmkActiveKey *key,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The key @id, of which @record is what there is (NULL: none, or nothing intact), is not the caller's to see. FALSE in
 * any case: CMK_PERMIT_NEEDED if other people's keys may be opened to him, else CMK_ERROR_KEY_NOT_FOUND; the same
 * whether it exists or not. */
gboolean cmk_access_refuse (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkKeyRecord *record,
                            GError **error);

/* The key @id, described by @record, is the caller's to see, or is to be made (without an id, if it is to get one of
 * our choice); or what he wants is about no key, with neither. FALSE with CMK_PERMIT_NEEDED. */
gboolean cmk_access_require (CmkKms *kms, const CmkCaller *caller, const CmkUuid *id, const CmkKeyRecord *record,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
