/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel keyring, the only door to keyutils. It caches and nothing else: every failure - no kernel keys, quota,
 * denied, expired, revoked - is a miss, logged once at debug level. Three tenants:
 *
 *   contexts   named blobs in a keyring of this store's own inside the user keyring, where they outlive the daemon.
 *              What is read back is NOT authenticated: the caller must do that before it parses a byte.
 *   left       what a daemon that ends leaves to the next one, in the same keyring; and a note, for the
 *              case that it does not come to that. Not authenticated either.
 *   material   unsealed key material in the process keyring, which no other process can read and which dies with us.
 *
 * Any thread may call, once cmk_keyring_prepare_process() has run before any other thread was started: the process
 * keyring hangs on each thread's credentials and is inherited only from a thread that had it. */
#pragma once

#include "base/secret.h"
#include "base/uuid.h"

typedef struct _CmkKeyring CmkKeyring;

/* Make the process and session keyrings of this process. Before any other thread. */
void cmk_keyring_prepare_process (void);

/* Open the caches of the store @store_id. Timeouts in seconds; @material_seconds 0 = material is never cached. */
CmkKeyring *cmk_keyring_open (const CmkUuid *store_id, guint context_seconds, guint material_seconds);
void cmk_keyring_close (CmkKeyring *keyring);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkKeyring, cmk_keyring_close)

/* Owned bytes, or NULL. */
GBytes *cmk_keyring_lookup_context (CmkKeyring *keyring, const char *name);
void cmk_keyring_keep_context (CmkKeyring *keyring, const char *name, GBytes *context);
void cmk_keyring_drop_context (CmkKeyring *keyring, const char *name);

/* NULL on a miss, whatever the reason. The secret has exactly the length that was kept. */
CmkSecret *cmk_keyring_lookup_material (CmkKeyring *keyring, const CmkUuid *key_id);
void cmk_keyring_keep_material (CmkKeyring *keyring, const CmkUuid *key_id, const CmkSecret *material);
/* At once, payload included (KEYCTL_INVALIDATE). */
void cmk_keyring_drop_material (CmkKeyring *keyring, const CmkUuid *key_id);

/* What one daemon leaves to the next beside the contexts, by @name; @seconds is its timeout. No table, no eviction:
 * there are few of them, and they go when they are taken. FALSE if it is not kept; NULL from take() on a miss. */
gboolean cmk_keyring_leave (CmkKeyring *keyring, const char *name, gconstpointer data, gsize size, guint seconds);
CmkSecret *cmk_keyring_take (CmkKeyring *keyring, const char *name);

/* One entry of the same kind that changes all the time: it is for the case that this daemon dies, and replaced in
 * place.
 * @size 0: there is none any more. It stays when it is read. */
void cmk_keyring_note (CmkKeyring *keyring, gconstpointer data, gsize size);
CmkSecret *cmk_keyring_read_note (CmkKeyring *keyring);

/* One word for `cmkctl status`: "ok", or "unavailable" when the kernel refuses keys. Static. */
const char *cmk_keyring_status (CmkKeyring *keyring);
