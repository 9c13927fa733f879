/* SPDX-License-Identifier: Apache-2.0
 *
 * The Keys interface: what CMKs there are and in which state. Worker thread. */
#pragma once

#include "kms/aliases.h"
#include "kms/tags.h"

typedef struct
{
  CmkOrigin origin;
  CmkKeySpec spec;
  CmkKeyUsage usage;
  CmkProtectionLevel protection_level;
  char *description; /* valid UTF-8, within the limit */
  char *alias;       /* NULL: none */
  GTree *tags;
  CmkUuid *id; /* of a key that lives on another machine; NULL: a fresh one */
} CmkCreateKeyRequest;

/* A key as it is shown. */
typedef struct
{
  CmkKeyRecord *record;
  guint32 creator;    /* uid */
  GPtrArray *aliases; /* CmkAliasRecord that the caller may see, oldest first */
  GTree *tags;
} CmkKeyMetadata;

void cmk_key_metadata_free (CmkKeyMetadata *metadata);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkKeyMetadata, cmk_key_metadata_free)

/* The wrapping pairs of which an RSA key of @spec is made. */
CmkWrappingKeySpec cmk_keys_pair_spec (CmkKeySpec spec);

/* An RSA key with Origin CMKD_KMS is a pair of the pool: @pair, if not NULL, is one that the caller waited for and is
 * consumed in any case; without it one is taken, and CMK_CACHE_MISS says that none is ready: wait with
 * cmk_wrapping_pool_wait() and call again with it. */
CmkKeyMetadata *cmk_keys_create (CmkKms *kms, const CmkCaller *caller, const CmkCreateKeyRequest *request,
                                 CmkWrappingPair *pair, GError **error) G_GNUC_WARN_UNUSED_RESULT;

CmkKeyMetadata *cmk_keys_describe (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct
{
  guint limit;
  char *marker; /* "" = from the start */
  int state;    /* 0 = any; likewise below */
  int spec;
  int origin;
} CmkListKeysRequest;

/* CmkKeyMetadata, oldest first: as many as the limit, or fewer if they would make too long an answer.
 * *ret_next_marker is "" at the end. */
GPtrArray *cmk_keys_list (CmkKms *kms, const CmkCaller *caller, const CmkListKeysRequest *request,
                          char **ret_next_marker, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Enable or disable. No change is no error. */
CmkKeyRecord *cmk_keys_set_enabled (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key, gboolean enabled,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

CmkKeyRecord *cmk_keys_update_description (CmkKms *kms, const CmkCaller *caller, const CmkKeyReference *key,
                                           const char *description, GError **error) G_GNUC_WARN_UNUSED_RESULT;
