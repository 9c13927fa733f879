/* SPDX-License-Identifier: Apache-2.0
 *
 * Erasing what is stored, without overwriting it: each envelope at rest is encrypted once more under a key of its own,
 * its slot's. Slot keys are kept in pages, encrypted under the page's key; the pages' keys in a root page, encrypted
 * under the root key, which is elsewhere (kms/anchor.h). To erase slots is to write their pages without them under new
 * keys, and the root page under a new root key; once the old root key is gone, no copy of the old pages can be opened.
 *
 * Two levels: a step of erasure writes the root page and the pages concerned, 4 KiB each, however many keys there are.
 * Worker thread only; everything that writes does so in the caller's transaction. */
#pragma once

#include "base/secret.h"
#include "base/uuid.h"
#include "store/store.h"

#define CMK_ERASURE_KEY_SIZE 32

typedef struct _CmkErasure CmkErasure;

/* @store and @store_id must outlive it. */
CmkErasure *cmk_erasure_new (CmkStore *store, const CmkUuid *store_id);
void cmk_erasure_free (CmkErasure *erasure);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkErasure, cmk_erasure_free)

/* Begin with no slots: write the root page. Then cmk_erasure_use_root_key(). */
gboolean cmk_erasure_initialize (CmkErasure *erasure, const CmkSecret *root_key,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Does @root_key open the root page? Then it is the one that is used from now on. */
gboolean cmk_erasure_try_root_key (CmkErasure *erasure, const CmkSecret *root_key);

gboolean cmk_erasure_has_root_key (const CmkErasure *erasure);

typedef enum
{
  CMK_ERASURE_PAGES_CONCERNED,
  CMK_ERASURE_ALL_PAGES, /* whoever has the old root key is to know nothing of what comes */
} CmkErasureScope;

/* Put every slot that the store lists as erased out of its page, give the pages new keys, and put the root page under
 * @root_key. The erasure goes on with the old key until cmk_erasure_use_root_key(): after the commit. */
gboolean cmk_erasure_drop (CmkErasure *erasure, CmkErasureScope scope, const CmkSecret *root_key,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @root_key (taken) is what the root page is under from now on. */
void cmk_erasure_use_root_key (CmkErasure *erasure, CmkSecret *root_key);

/* @envelope as it is stored: in a slot of its own. */
GBytes *cmk_erasure_protect (CmkErasure *erasure, GBytes *envelope, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The envelope that was protected. CMK_ERROR_STATE_CORRUPTED if its slot is gone or it is not as it was written. */
GBytes *cmk_erasure_reveal (CmkErasure *erasure, GBytes *stored, GError **error) G_GNUC_WARN_UNUSED_RESULT;
