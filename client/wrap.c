/* SPDX-License-Identifier: Apache-2.0
 *
 * The forms of wrapped material (design of the contract):
 *
 *   in one    RSAES_*, SM2PKE               the material itself; of an EC key, and under SM2PKE of any, its PKCS#8
 *             RSA_AES_KEY_WRAP_SHA_*        OAEP of a temporary AES key || RFC 5649 of the material
 *             ..._AES_256_ECB_PKCS7_PAD     OAEP of a temporary AES key || AES-256-ECB of the PKCS#8
 *             SM2PKE_SM4_ECB                SM2 of a temporary SM4 key || SM4-ECB of the secret number of an SM2 key
 *   in two    RSAES_*, SM2PKE               a temporary key; apart from it, RFC 5649 of the PKCS#8 under that key,
 *                                           which is an AES key, and for an SM2 key an SM4 key */
#include "wrap.h"

#include <openssl/rsa.h>
#include <string.h>

#include "wrap-cipher.h"
#include "wrap-material.h"

/* How what follows the temporary key is encrypted. */
typedef enum
{
  BODY_NONE,
  BODY_KEY_WRAP,
  BODY_AES_ECB,
  BODY_SM4_ECB,
} Body;

typedef struct
{
  const char *name;
  int padding;      /* of RSA; 0: SM2 */
  const char *hash; /* of OAEP and its MGF1 */
  Body body;
} Algorithm;

static const Algorithm algorithms[] = {
  { "RSAES_PKCS1_V1_5", RSA_PKCS1_PADDING, NULL, BODY_NONE },
  { "RSAES_OAEP_SHA_1", RSA_PKCS1_OAEP_PADDING, "SHA1", BODY_NONE },
  { "RSAES_OAEP_SHA_256", RSA_PKCS1_OAEP_PADDING, "SHA256", BODY_NONE },
  { "SM2PKE", 0, NULL, BODY_NONE },
  { "RSA_AES_KEY_WRAP_SHA_1", RSA_PKCS1_OAEP_PADDING, "SHA1", BODY_KEY_WRAP },
  { "RSA_AES_KEY_WRAP_SHA_256", RSA_PKCS1_OAEP_PADDING, "SHA256", BODY_KEY_WRAP },
  { "RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD", RSA_PKCS1_OAEP_PADDING, "SHA256", BODY_AES_ECB },
  { "SM2PKE_SM4_ECB", 0, NULL, BODY_SM4_ECB },
};

static const Algorithm *
find_algorithm (const char *name)
{
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
    if (strcmp (algorithms[i].name, name) == 0)
      return &algorithms[i];
  return NULL;
}

/* No RSA key is as short as what fits under another one, and PKCS#1 v1.5 has no form for the PKCS#8 itself. */
static bool
needs_two (const Algorithm *algorithm, CmkMaterialKind kind)
{
  if (algorithm->body != BODY_NONE || algorithm->padding == 0 || kind == CMK_MATERIAL_RAW)
    return false;
  return algorithm->padding == RSA_PKCS1_PADDING || kind == CMK_MATERIAL_RSA;
}

/* Under SM2PKE a private key fits as it is, but the temporary key is what other importers know. */
static bool
prefers_two (const Algorithm *algorithm, CmkMaterialKind kind)
{
  return needs_two (algorithm, kind) ||
         (algorithm->body == BODY_NONE && algorithm->padding == 0 && kind != CMK_MATERIAL_RAW);
}

static const char *
choose_parts (const CmkWrapJob *job, const Algorithm *algorithm, bool *ret_is_in_two)
{
  CmkMaterialKind kind = job->material->kind;

  *ret_is_in_two = job->parts == CMK_WRAP_IN_TWO || (job->parts == CMK_WRAP_AS_NEEDED && prefers_two (algorithm, kind));
  if (algorithm->body == BODY_AES_ECB && kind == CMK_MATERIAL_RAW)
    return "RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD carries private keys only, not raw material";
  if (*ret_is_in_two && (algorithm->body != BODY_NONE || kind == CMK_MATERIAL_RAW))
    return "--private-key-out is for a private key under RSAES_PKCS1_V1_5, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256 or "
           "SM2PKE: everything else is wrapped in one piece";
  if (!*ret_is_in_two && (needs_two (algorithm, kind) || (job->algorithm == NULL && prefers_two (algorithm, kind))))
    return "by this algorithm the private key goes under a temporary key, apart from it: say with --private-key-out "
           "where to, or choose another --algorithm";
  return NULL;
}

static const char *
encrypt_under_key (const Algorithm *algorithm, EVP_PKEY *key, const CmkBuffer *plaintext, CmkBuffer *ret_ciphertext)
{
  if (algorithm->padding == 0)
    return cmk_sm2_encrypt (key, plaintext, ret_ciphertext);
  return cmk_rsa_encrypt (key, algorithm->padding, algorithm->hash, plaintext, ret_ciphertext);
}

static const char *
encrypt_body (const Algorithm *algorithm, CmkCipher cipher, const CmkBuffer *temporary_key, const CmkMaterial *material,
              CmkBuffer *ret_body)
{
  _cleanup_ (cmk_buffer_clear) CmkBuffer scalar = { 0 };
  const char *problem;

  if (algorithm->body == BODY_AES_ECB)
    return cmk_cipher_encrypt_ecb (cipher, true, temporary_key, &material->data, ret_body);
  if (algorithm->body != BODY_SM4_ECB)
    return cmk_cipher_wrap (cipher, temporary_key, &material->data, ret_body);
  problem = cmk_material_get_scalar (material, &scalar);
  return problem != NULL ? problem : cmk_cipher_encrypt_ecb (cipher, false, temporary_key, &scalar, ret_body);
}

static CmkBuffer
join (const CmkBuffer *head, const CmkBuffer *body)
{
  CmkBuffer joined = cmk_buffer_new (head->size + body->size);

  memcpy (joined.data, head->data, head->size);
  memcpy (joined.data + head->size, body->data, body->size);
  joined.size = joined.capacity;
  return joined;
}

static const char *
wrap_under_temporary_key (const Algorithm *algorithm, bool is_in_two, EVP_PKEY *key, const CmkMaterial *material,
                          CmkWrapped *ret_wrapped)
{
  bool is_sm4 = algorithm->body == BODY_SM4_ECB || (is_in_two && material->kind == CMK_MATERIAL_SM2);
  CmkCipher cipher = is_sm4 ? CMK_CIPHER_SM4 : CMK_CIPHER_AES_256;
  _cleanup_ (cmk_buffer_clear) CmkBuffer temporary_key = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer head = { 0 };
  _cleanup_ (cmk_buffer_clear) CmkBuffer body = { 0 };
  const char *problem = cmk_cipher_make_key (cipher, &temporary_key);

  if (problem == NULL)
    problem = encrypt_under_key (algorithm, key, &temporary_key, &head);
  if (problem == NULL)
    problem = encrypt_body (algorithm, cipher, &temporary_key, material, &body);
  if (problem != NULL)
    return problem;

  if (!is_in_two)
    {
      ret_wrapped->material = join (&head, &body);
      return NULL;
    }
  *ret_wrapped = (CmkWrapped) { .material = head, .private_key = body };
  head = (CmkBuffer) { 0 };
  body = (CmkBuffer) { 0 };
  return NULL;
}

static const char *
wrap (const CmkWrapJob *job, CmkWrapped *ret_wrapped)
{
  _cleanup_ (cmk_free_key) EVP_PKEY *key = cmk_public_key_read (job->public_key);
  const Algorithm *algorithm;
  const char *problem;
  bool is_sm2, is_in_two;

  if (key == NULL)
    return "the public key is no RSA or SM2 key as `cmkctl get-parameters` writes it, DER or PEM";
  is_sm2 = EVP_PKEY_is_a (key, "SM2");
  algorithm = find_algorithm (job->algorithm != NULL ? job->algorithm
                                                     : cmk_spec_wrapping_algorithm (job->material->kind, is_sm2));
  if (algorithm == NULL)
    return "the wrapping algorithm is none of RSAES_PKCS1_V1_5, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, "
           "RSA_AES_KEY_WRAP_SHA_1, RSA_AES_KEY_WRAP_SHA_256, RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD and "
           "SM2PKE_SM4_ECB";
  if (is_sm2 != (algorithm->padding == 0))
    return is_sm2 ? "the public key is an SM2 key, and the wrapping algorithm one for RSA keys"
                  : "the public key is an RSA key, and the wrapping algorithm one for SM2 keys";

  problem = choose_parts (job, algorithm, &is_in_two);
  if (problem != NULL)
    return problem;
  if (algorithm->body == BODY_NONE && !is_in_two)
    return encrypt_under_key (algorithm, key, &job->material->data, &ret_wrapped->material);
  return wrap_under_temporary_key (algorithm, is_in_two, key, job->material, ret_wrapped);
}

__attribute__ ((visibility ("default"))) const CmkWrapModule cmk_wrap_module = { cmk_material_read, wrap };
