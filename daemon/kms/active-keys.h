/* SPDX-License-Identifier: Apache-2.0
 *
 * What the main loop needs to know of keys in use to answer without the store: kept when a key was
 * used, forgotten when anything of the key changes, before that change is answered. Any thread. */
#pragma once

#include "base/spec.h"
#include "base/uuid.h"
#include "kms/grant-list.h"

typedef struct _CmkActiveKeys CmkActiveKeys;

/* An Enabled key with material. */
typedef struct
{
  CmkUuid id;
  gint64 owner;
  CmkOrigin origin;
  CmkKeySpec spec;
  CmkKeyUsage usage;
  gint64 expires_at;  /* 0 = never */
  GBytes *public_key; /* NULL of a symmetric key */
  CmkGrantList *grants;
} CmkActiveKey;

void cmk_active_key_clear (CmkActiveKey *key);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkActiveKey, cmk_active_key_clear)

CmkActiveKeys *cmk_active_keys_new (void);
void cmk_active_keys_free (CmkActiveKeys *keys);

/* The caller clears *@ret_key. */
gboolean cmk_active_keys_lookup (CmkActiveKeys *keys, const CmkUuid *id, CmkActiveKey *ret_key);
void cmk_active_keys_put (CmkActiveKeys *keys, const CmkActiveKey *key);
void cmk_active_keys_forget (CmkActiveKeys *keys, const CmkUuid *id);
