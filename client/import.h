/* SPDX-License-Identifier: Apache-2.0
 *
 * The import flow as calls: parameters, wrapping, import. */
#pragma once

#include "bus.h"
#include "wrap.h"

typedef struct
{
  const char *key_id;
  const char *algorithm;     /* WrappingAlgorithm; NULL: what suits the material */
  const char *wrapping_spec; /* NULL: what suits the algorithm */
  const char *expires;       /* as --expires takes it; NULL: never */
  const char *sequence;      /* NULL if there is none */
} CmkImportJob;

/* What the last step sends, all of it Base64. */
typedef struct
{
  CmkBuffer encrypted;
  CmkBuffer private_key; /* empty if there is none */
  CmkBuffer token;
} CmkImport;

/* Wipe and free; for __attribute__ ((cleanup)). */
void cmk_import_clear (CmkImport *import);

/* Is the wrapping key of @job an SM2 key? */
bool cmk_import_is_under_sm2 (const CmkImportJob *job);

/* Is @material what a key of @spec has, as far as can be told before it is wrapped? An exit code. */
int cmk_import_check (const CmkSpec *spec, const CmkMaterial *material);

/* A call of GetParametersForImport, to which options can be added. */
CmkCall *cmk_import_ask_parameters (const CmkImportJob *job, const char *algorithm);

/* The last step. */
int cmk_import_send (CmkBus *bus, const CmkImportJob *job, const CmkImport *import, CmkValue *ret_answer);

/* All of it, with @material: get parameters, wrap and import. */
int cmk_import_material (CmkBus *bus, const CmkImportJob *job, const CmkMaterial *material, CmkValue *ret_answer);
