/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrapping of key material under a public key: what the module cmkctl-wrap.so does, which alone loads libcrypto, so
 * that the verbs that need no cryptography do not pay for it. */
#pragma once

#include "buffer.h"
#include "spec.h"

/* Key material as it is wrapped. */
typedef struct
{
  CmkMaterialKind kind;
  CmkBuffer data; /* the bytes; of a private key its PKCS#8, DER */
} CmkMaterial;

/* Whether material and a temporary key that encrypts it travel apart, as the fields EncryptedPrivateKey and
 * encrypted_key_material. */
typedef enum
{
  CMK_WRAP_IN_ONE,
  CMK_WRAP_IN_TWO,
  CMK_WRAP_AS_NEEDED, /* in two where the algorithm cannot do it in one */
} CmkWrapParts;

typedef struct
{
  const char *algorithm;       /* WrappingAlgorithm of the contract; NULL: what suits key and material */
  const CmkBuffer *public_key; /* SubjectPublicKeyInfo as DER or PEM */
  const CmkMaterial *material;
  CmkWrapParts parts;
} CmkWrapJob;

typedef struct
{
  CmkBuffer material;    /* encrypted_key_material */
  CmkBuffer private_key; /* EncryptedPrivateKey, empty if all is in one */
} CmkWrapped;

/* Put the passphrase of the private key in @file into @passphrase, at most @size bytes: how many it has, or -1. @is_new
 * is libcrypto's. */
typedef int CmkAskPassphrase (char *passphrase, int size, int is_new, void *file);

/* These functions give NULL, or what is wrong, and then they have given nothing else. */
typedef struct
{
  /* What the file @data is: a private key, PEM or DER, as PKCS#8, PKCS#1 or SEC1, or, if it is none, the bytes
   * themselves. @file, its name, is for @ask, which is called if the key has a passphrase. */
  const char *(*read_material) (const CmkBuffer *data, CmkAskPassphrase *ask, const char *file,
                                CmkMaterial *ret_material);

  const char *(*wrap) (const CmkWrapJob *job, CmkWrapped *ret_wrapped);
} CmkWrapModule;

#define CMK_WRAP_MODULE_SYMBOL "cmk_wrap_module"

extern const CmkWrapModule cmk_wrap_module;
