/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants: an owner lets another account, or a group, do named operations with a key. Whoever has none for what he asks
 * is answered as if there were no such key. Worker thread. */
#pragma once

#include "kms/grant-list.h"
#include "kms/kms.h"

typedef struct
{
  CmkKeyReference key;
  CmkGranteeKind grantee_kind;
  guint32 grantee; /* a uid, or a gid */
  char *account;   /* the name under that uid; NULL: not known yet */
  guint operations;
} CmkGrantRequest;

/* Adds to the grant that the grantee has on the key, if there is one. CMK_CACHE_MISS if all that is missing is
 * request->account. */
gboolean cmk_grants_create (CmkKms *kms, const CmkCaller *caller, const CmkGrantRequest *request, CmkUuid *ret_grant_id,
                            CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Answered, like all that takes away, after the TPM has taken note. */
gboolean cmk_grants_revoke (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, const CmkUuid *grant_id,
                            CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

CmkGrantList *cmk_grants_list (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Does a grant on the stored key @key_id let @caller do what he is about to? */
gboolean cmk_grants_allow (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id);
