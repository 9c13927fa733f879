/* SPDX-License-Identifier: Apache-2.0
 *
 * What cmkctl knows of key specs: what their material is, and which algorithm is meant when none is named. Whether an
 * algorithm goes with a key is for the daemon to say. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum
{
  CMK_MATERIAL_RAW, /* the bytes of a symmetric or HMAC key */
  CMK_MATERIAL_RSA, /* private keys */
  CMK_MATERIAL_EC,
  CMK_MATERIAL_SM2,
} CmkMaterialKind;

typedef enum
{
  CMK_USE_SIGN,
  CMK_USE_ENCRYPT, /* under a public key */
  CMK_USE_MAC,
  CMK_N_USES,
} CmkUse;

typedef struct
{
  const char *name;
  CmkMaterialKind kind;
  size_t material_bytes;              /* of raw material; 0 of others */
  const char *algorithms[CMK_N_USES]; /* NULL: a key of this spec is not used so */
} CmkSpec;

/* The spec of that name on the wire, NULL if it is none of the contract. */
const CmkSpec *cmk_spec_find (const char *name);

/* The WrappingAlgorithm that suits material of @kind under a wrapping key that is of SM2, or of RSA. */
const char *cmk_spec_wrapping_algorithm (CmkMaterialKind kind, bool is_under_sm2);
