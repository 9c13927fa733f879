/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the vault: shared by vault.c, its life, vault-secrets.c, what it keeps for others, and what stands beside
 * them. */
#pragma once

#include "kms/handover.h"
#include "kms/object-contexts.h"
#include "kms/vault.h"

/* What the store's own keys are for, all made from its root secret. */
typedef struct
{
  CmkSecret *rows;
  CmkSecret *tokens;
  CmkSecret *markers;
  CmkSecret *contexts;
} CmkStoreKeys;

struct _CmkVault
{
  char *tcti;
  char *directory;
  guint context_seconds;
  guint material_seconds;
  guint session_seconds;
  guint session_after_stop_seconds;
  CmkStore *store;
  CmkTpm *tpm;
  CmkKeyring *keyring;       /* atomic: set when unlocked */
  CmkTpmHandover *handover;  /* of the last cmkd; NULL when it was used */
  gboolean is_warm;          /* the TPM is known by it, and has not been asked */
  GBytes *abandoned_session; /* the same */
  GBytes *leftovers;         /* what the last cmkd has noted, if it was killed; NULL when they were seen to */
  CmkAnchor *anchor;
  CmkUuid store_id;
  GBytes *fingerprint_key;
  GBytes *storage_key_name; /* of the TPM that sealed the store; NULL until unlocked */
  CmkStoreKeys keys;
  CmkObjectContexts *contexts;
  gboolean unlocked;
  gboolean is_readable;     /* not unlocked, but rows can be read */
  const char *tpm_state;    /* atomic */
  const char *tpm_advice;   /* atomic; NULL until the TPM was used */
  const char *anchor_state; /* atomic */
  gsize anchor_steps;       /* atomic */
  const char *manufacturer; /* atomic; interned */
  const char *firmware;     /* atomic; interned */
  const char *root_key;     /* atomic; interned */
  const char *root_name;    /* atomic; interned */
};

/* Have vault->tpm, whichever TPM it is. */
gboolean cmk_vault_connect_tpm (CmkVault *vault, GError **error);

/* What the TPM said last, by @ok and *@error, for the contract's TpmState. Returns @ok. */
gboolean cmk_vault_note_tpm (CmkVault *vault, gboolean ok, GError **error);

/* The same where success says little: that the TPM can be reached, or opens a session, is not all that it has to do. */
gboolean cmk_vault_note_trouble (CmkVault *vault, gboolean ok, GError **error);

/* What TPM and root key it is that we are connected to. */
void cmk_vault_note_identity (CmkVault *vault);

/* Tell the journal @what came of @error. */
void cmk_vault_tell_trouble (const char *what, const GError *error);

/* --- vault-note.c: what cmkd has in the TPM, noted in the kernel keyring --- */

/* What the last one noted. */
void cmk_vault_read_note (CmkVault *vault);
CmkTpmNotebook cmk_vault_notebook (CmkVault *vault);
