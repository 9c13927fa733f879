/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts of TPM objects in the kernel keyring: MAC || context, since any process of our uid may overwrite an entry
 * there, and tpm2-tss parses contexts without defence. Worker thread. */
#pragma once

#include "base/secret.h"
#include "keyring/keyring.h"
#include "tpm/tpm.h"

typedef struct _CmkObjectContexts CmkObjectContexts;

/* Takes @key. @keyring must outlive it. */
CmkObjectContexts *cmk_object_contexts_new (CmkKeyring *keyring, CmkSecret *key);
void cmk_object_contexts_free (CmkObjectContexts *contexts);

/* For cmk_tpm_set_context_cache(); good as long as @contexts. */
CmkTpmContextCache cmk_object_contexts_cache (CmkObjectContexts *contexts);

/* The name for the context of an object: of its blob, so that a blob that changes gets another name by itself. */
char *cmk_object_contexts_name (GBytes *sealed_key);

/* NULL for what is not there or not as we kept it. */
GBytes *cmk_object_contexts_lookup (CmkObjectContexts *contexts, const char *name);
