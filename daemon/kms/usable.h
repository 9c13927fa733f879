/* SPDX-License-Identifier: Apache-2.0
 *
 * A key that a caller may use now, for one purpose: who, usage, spec and state are checked in the contract's order, and
 * what the use needs is at hand. With CMK_EFFORT_CACHED any thread, with CMK_EFFORT_FULL the worker. */
#pragma once

#include "kms/kms.h"
#include "kms/resident.h"

/* What a method needs of a key. */
typedef struct
{
  CmkKeyUsage usage;
  guint specs;                /* that the method, and its algorithm, goes with: CMK_KEY_SPEC_BIT() of each */
  const char *name;           /* of the algorithm, or of the method where it takes none, for the refusal */
  gboolean needs_public_only; /* the material is not looked at */
} CmkPurpose;

typedef struct
{
  CmkUuid id;
  CmkKeySpec spec;
  CmkSecret *material;   /* NULL if not needed, and of a key of level TPM */
  CmkResident *resident; /* what a key of level TPM has instead */
  CmkHmacKey hmac_key;   /* either, of a symmetric key */
  GBytes *public_key;    /* DER SubjectPublicKeyInfo; NULL of a symmetric key */
} CmkUsable;

void cmk_usable_clear (CmkUsable *usable);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CmkUsable, cmk_usable_clear)

/* FALSE with the contract's error, or, with CMK_EFFORT_CACHED, with CMK_CACHE_MISS, as always for the private half or
 * the material of a key of level TPM. */
gboolean cmk_usable_get (CmkKms *kms, const CmkCaller *caller, CmkEffort effort, const CmkKeyReference *reference,
                         const CmkPurpose *purpose, CmkUsable *ret_usable, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The private key, which @usable must outlive. */
CmkPrivateKey *cmk_usable_private_key (const CmkUsable *usable, GError **error) G_GNUC_WARN_UNUSED_RESULT;
