/* SPDX-License-Identifier: Apache-2.0
 *
 * Other names of keys. An alias lives in the name space of the owner that made it: to anybody else, root included, it
 * names nothing. Worker thread. */
#pragma once

#include "kms/kms.h"

/* May @caller give the key @key_id (NULL: a new one) another alias @name? CMK_ERROR_ALIAS_ALREADY_EXISTS,
 * CMK_ERROR_LIMIT_EXCEEDED. */
gboolean cmk_aliases_check_new (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkUuid *key_id,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_aliases_create (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkKeyReference *key,
                             CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Move the alias to another key. */
gboolean cmk_aliases_update (CmkKms *kms, const CmkCaller *caller, const char *name, const CmkKeyReference *key,
                             CmkUuid *ret_key_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean cmk_aliases_delete (CmkKms *kms, const CmkCaller *caller, const char *name,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct
{
  gboolean has_key; /* only those of @key */
  CmkKeyReference key;
  guint limit;
  char *marker; /* "" = from the start */
} CmkListAliasesRequest;

/* CmkAliasRecord of the caller's own, oldest first. *ret_next_marker is "" at the end. */
GPtrArray *cmk_aliases_list (CmkKms *kms, const CmkCaller *caller, const CmkListAliasesRequest *request,
                             char **ret_next_marker, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CmkAliasRecord of the key that are the caller's own, and everybody's for root; oldest first. */
GPtrArray *cmk_aliases_of_key (CmkKms *kms, const CmkCaller *caller, const CmkUuid *key_id,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
