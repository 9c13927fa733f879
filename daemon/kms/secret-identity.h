/* SPDX-License-Identifier: Apache-2.0
 *
 * What a sealed secret is, authenticated with its envelope, so that no sealed blob can be moved to another key or given
 * another expiry. */
#pragma once

#include <glib.h>

#include "base/uuid.h"

typedef enum
{
  CMK_SECRET_ROOT = 1,         /* of the store; id: the store's */
  CMK_SECRET_MATERIAL = 2,     /* id: the key's */
  CMK_SECRET_WRAPPING_KEY = 3, /* id: the import parameter set's */
} CmkSecretKind;

typedef struct
{
  CmkSecretKind kind;
  CmkUuid id;
  int spec;          /* CmkKeySpec or CmkWrappingKeySpec, by kind */
  gint64 expires_at; /* of material; else 0 */
} CmkSecretIdentity;

/* The bytes to authenticate: of @identity in the store @store_id, and of what else is @bound to the secret (NULL:
 * nothing). */
GBytes *cmk_secret_identity_encode (const CmkSecretIdentity *identity, const CmkUuid *store_id, GBytes *bound);
