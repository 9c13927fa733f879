/* SPDX-License-Identifier: Apache-2.0
 *
 * What is read here is in the encoding of TPM 2.0 part 2: big-endian numbers, and byte strings after a size of two
 * bytes. Of each structure only the one form is taken that cmkd has the TPM make, down to the last byte. */
#include "attestation.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#define ALG_RSA    0x0001
#define ALG_SHA256 0x000b
#define ALG_NULL   0x0010
#define ALG_ECDSA  0x0018
#define ALG_ECC    0x0023
#define CURVE_P256 0x0003

#define GENERATED_VALUE    0xff544347 /* TPM_GENERATED_VALUE: a restricted key signs it in the TPM's own words only */
#define ST_ATTEST_CREATION 0x801a
#define CLOCK_INFO_SIZE    17
#define FIRMWARE_SIZE      8
#define EXPONENT           65537
#define MAX_MODULUS_SIZE   512
#define MAX_DER_SIZE       1024
#define EK_CERTIFICATE_USE "2.23.133.8.1" /* tcg-kp-EKCertificate */

/* TPMA_OBJECT. fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA; and what the key is for. */
#define BORN_IN_TPM      (1U << 1 | 1U << 4 | 1U << 5 | 1U << 6 | 1U << 10)
#define DECRYPTS_ONLY    (BORN_IN_TPM | 1U << 17)
#define SIGNS_RESTRICTED (BORN_IN_TPM | 1U << 16 | 1U << 18)

#define NAME_SIZE   34 /* of SHA-256 */
#define DIGEST_SIZE 32
#define FIELD_SIZE  32 /* of P-256 */

/* --- reading --- */

typedef struct
{
  const uint8_t *data;
  size_t size;
} Bytes;

/* Once something is missing everything that follows is, too. */
typedef struct
{
  Bytes rest;
  bool is_cut;
} Reader;

static Reader
read_part (const CmkAttestation *attestation, CmkAttestedPart part)
{
  return (Reader) { .rest = { attestation->parts[part].data, attestation->parts[part].size } };
}

static Bytes
take (Reader *reader, size_t size)
{
  Bytes taken = { reader->rest.data, size };

  if (reader->is_cut || size > reader->rest.size)
    {
      reader->is_cut = true;
      return (Bytes) { NULL, 0 };
    }
  reader->rest.data += size;
  reader->rest.size -= size;
  return taken;
}

static uint32_t
take_number (Reader *reader, size_t size)
{
  Bytes bytes = take (reader, size);
  uint32_t number = 0;

  for (size_t i = 0; i < bytes.size; i++)
    number = number << 8 | bytes.data[i];
  return number;
}

static Bytes
take_sized (Reader *reader)
{
  return take (reader, take_number (reader, 2));
}

static bool
is_done (const Reader *reader)
{
  return !reader->is_cut && reader->rest.size == 0;
}

static bool
is_equal (Bytes bytes, const void *data, size_t size)
{
  return bytes.data != NULL && bytes.size == size && memcmp (bytes.data, data, size) == 0;
}

static bool
is_nonce (Bytes bytes, const CmkAttestation *attestation)
{
  return is_equal (bytes, attestation->nonce.data, attestation->nonce.size);
}

/* @number without the zeros in front of it. */
static Bytes
strip (Bytes number)
{
  while (number.size > 0 && number.data[0] == 0)
    {
      number.data++;
      number.size--;
    }
  return number;
}

static bool
is_same_number (Bytes one, Bytes other)
{
  other = strip (other);
  return is_equal (strip (one), other.data, other.size);
}

static bool
digest (const Bytes *parts, size_t n_parts, uint8_t ret_digest[DIGEST_SIZE])
{
  EVP_MD_CTX *context = EVP_MD_CTX_new ();
  bool is_ok = context != NULL && EVP_DigestInit_ex (context, EVP_sha256 (), NULL) == 1;

  for (size_t i = 0; i < n_parts && is_ok; i++)
    is_ok = EVP_DigestUpdate (context, parts[i].data, parts[i].size) == 1;
  is_ok = is_ok && EVP_DigestFinal_ex (context, ret_digest, NULL) == 1;
  EVP_MD_CTX_free (context);
  return is_ok;
}

/* Is @name the TPM's name of what @parts are one after the other? */
static bool
is_name_of (Bytes name, const Bytes *parts, size_t n_parts)
{
  uint8_t expected[NAME_SIZE] = { ALG_SHA256 >> 8, ALG_SHA256 & 0xff };

  return digest (parts, n_parts, expected + 2) && is_equal (name, expected, sizeof expected);
}

static Bytes
all_of (const CmkAttestation *attestation, CmkAttestedPart part)
{
  return read_part (attestation, part).rest;
}

/* --- keys --- */

static void
free_key (EVP_PKEY **key)
{
  EVP_PKEY_free (*key);
}

/* The key of the SubjectPublicKeyInfo @der; NULL unless that is the one encoding of it. */
static EVP_PKEY *
read_key (Bytes der, const char *type)
{
  const unsigned char *position = der.data;
  unsigned char *encoded = NULL;
  _cleanup_ (free_key) EVP_PKEY *key = NULL;
  EVP_PKEY *good;
  int size;

  if (der.size == 0 || der.size > MAX_DER_SIZE || (key = d2i_PUBKEY (NULL, &position, (long) der.size)) == NULL ||
      EVP_PKEY_is_a (key, type) != 1)
    return NULL;
  size = i2d_PUBKEY (key, &encoded);
  good = size > 0 && is_equal (der, encoded, (size_t) size) ? key : NULL;
  OPENSSL_free (encoded);
  if (good != NULL)
    key = NULL;
  return good;
}

/* Do @modulus and the exponent belong to the RSA key @der? */
static bool
is_rsa_key (Bytes der, Bytes modulus)
{
  _cleanup_ (free_key) EVP_PKEY *key = read_key (der, "RSA");
  BIGNUM *n = NULL, *e = NULL;
  uint8_t number[MAX_MODULUS_SIZE];
  bool is_same = false;

  if (key != NULL && EVP_PKEY_get_bn_param (key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
      EVP_PKEY_get_bn_param (key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_word (e, EXPONENT) &&
      BN_num_bytes (n) <= MAX_MODULUS_SIZE)
    is_same = is_equal (modulus, number, (size_t) BN_bn2bin (n, number));
  BN_free (n);
  BN_free (e);
  return is_same;
}

/* Is @key the one of P-256 at the point @x, @y? */
static bool
is_point (const EVP_PKEY *key, Bytes x, Bytes y)
{
  char curve[16];
  uint8_t point[1 + 2 * FIELD_SIZE];
  size_t size = 0;

  return EVP_PKEY_get_utf8_string_param (key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof curve, NULL) == 1 &&
         strcmp (curve, SN_X9_62_prime256v1) == 0 &&
         EVP_PKEY_get_octet_string_param (key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size) == 1 &&
         size == sizeof point && point[0] == POINT_CONVERSION_UNCOMPRESSED && x.size <= FIELD_SIZE &&
         y.size <= FIELD_SIZE && is_same_number (x, (Bytes) { point + 1, FIELD_SIZE }) &&
         is_same_number (y, (Bytes) { point + 1 + FIELD_SIZE, FIELD_SIZE });
}

/* --- the checks --- */

static const char *
check_public_area (const CmkAttestation *attestation, CmkFindings *findings)
{
  Reader area = read_part (attestation, CMK_ATTESTED_PUBLIC_AREA);
  bool is_plain_rsa = take_number (&area, 2) == ALG_RSA && take_number (&area, 2) == ALG_SHA256;
  uint32_t attributes = take_number (&area, 4), exponent;
  Bytes policy = take_sized (&area), modulus;

  is_plain_rsa =
      is_plain_rsa && policy.size == 0 && take_number (&area, 2) == ALG_NULL && take_number (&area, 2) == ALG_NULL;
  findings->modulus_bits = take_number (&area, 2);
  exponent = take_number (&area, 4); /* 0 is the default */
  modulus = take_sized (&area);
  if (!is_plain_rsa || !is_done (&area) || (exponent != 0 && exponent != EXPONENT) ||
      (findings->modulus_bits != 2048 && findings->modulus_bits != 3072) || modulus.size != findings->modulus_bits / 8)
    return "WrappingKeyPublicArea is not of an RSA wrapping key as cmkd has it made";
  if (attributes != DECRYPTS_ONLY)
    return "the wrapping key is not one that was made inside a TPM, only decrypts and cannot leave it";
  if (!is_rsa_key (all_of (attestation, CMK_ATTESTED_PUBLIC_KEY), modulus))
    return "PublicKey is not the key that the TPM speaks of";
  return NULL;
}

static const char *
check_signer (const CmkAttestation *attestation, const EVP_PKEY *signer)
{
  Reader area = read_part (attestation, CMK_ATTESTED_SIGNER_AREA);
  bool is_ecc = take_number (&area, 2) == ALG_ECC && take_number (&area, 2) == ALG_SHA256;
  uint32_t attributes = take_number (&area, 4);
  Bytes policy = take_sized (&area), x, y;
  bool is_ecdsa = is_ecc && policy.size == 0 && take_number (&area, 2) == ALG_NULL &&
                  take_number (&area, 2) == ALG_ECDSA && take_number (&area, 2) == ALG_SHA256 &&
                  take_number (&area, 2) == CURVE_P256 && take_number (&area, 2) == ALG_NULL;

  x = take_sized (&area);
  y = take_sized (&area);
  if (!is_ecdsa || !is_done (&area))
    return "AttestationKeyPublicArea is not of an attestation key as cmkd has it made";
  if (attributes != SIGNS_RESTRICTED)
    return "the attestation key is not one that was made inside a TPM and signs its own statements only";
  if (!is_point (signer, x, y))
    return "AttestationKey and AttestationKeyPublicArea are not of the same key";
  return NULL;
}

/* TPMS_CREATION_DATA. *ret_parent: the qualified name of the key under which it was made. */
static const char *
check_creation_data (const CmkAttestation *attestation, Bytes *ret_parent)
{
  Reader data = read_part (attestation, CMK_ATTESTED_CREATION_DATA);
  bool has_no_pcrs = take_number (&data, 4) == 0;
  Bytes pcr_digest = take_sized (&data), parent, outside_info;

  (void) take (&data, 1); /* locality */
  has_no_pcrs = has_no_pcrs && pcr_digest.size <= DIGEST_SIZE && take_number (&data, 2) == ALG_SHA256;
  parent = take_sized (&data);
  *ret_parent = take_sized (&data);
  outside_info = take_sized (&data);
  if (!has_no_pcrs || !is_done (&data) || parent.size != NAME_SIZE || ret_parent->size != NAME_SIZE)
    return "CreationData is not that of a wrapping key as cmkd has it made";
  if (!is_nonce (outside_info, attestation))
    return "the wrapping key was made for another nonce";
  return NULL;
}

/* TPMS_ATTEST. @parent: the qualified name of the key above the wrapping key, and above the attestation key. */
static const char *
check_statement (const CmkAttestation *attestation, Bytes parent)
{
  Reader statement = read_part (attestation, CMK_ATTESTED_STATEMENT);
  const Bytes key_area = all_of (attestation, CMK_ATTESTED_PUBLIC_AREA);
  const Bytes creation_data = all_of (attestation, CMK_ATTESTED_CREATION_DATA);
  const Bytes signer_area = all_of (attestation, CMK_ATTESTED_SIGNER_AREA);
  uint8_t name[NAME_SIZE] = { ALG_SHA256 >> 8, ALG_SHA256 & 0xff }, hash[DIGEST_SIZE];
  bool is_creation =
      take_number (&statement, 4) == GENERATED_VALUE && take_number (&statement, 2) == ST_ATTEST_CREATION;
  Bytes signer = take_sized (&statement), nonce = take_sized (&statement), key, creation;

  (void) take (&statement, CLOCK_INFO_SIZE + FIRMWARE_SIZE);
  key = take_sized (&statement);
  creation = take_sized (&statement);
  if (!is_creation || !is_done (&statement))
    return "AttestationData is not a TPM's statement on the creation of a key";
  if (!is_nonce (nonce, attestation))
    return "the TPM's statement was made for another nonce";
  if (!is_name_of (key, &key_area, 1))
    return "the TPM's statement is on another key";
  if (!digest (&creation_data, 1, hash) || !is_equal (creation, hash, sizeof hash))
    return "the TPM's statement is on another creation";
  if (!digest (&signer_area, 1, name + 2) || !is_name_of (signer, (const Bytes[]) { parent, { name, sizeof name } }, 2))
    return "the TPM's statement is by another attestation key";
  return NULL;
}

static const char *
check_signature (const CmkAttestation *attestation, EVP_PKEY *signer)
{
  const CmkBuffer *statement = &attestation->parts[CMK_ATTESTED_STATEMENT];
  const CmkBuffer *signature = &attestation->parts[CMK_ATTESTED_SIGNATURE];
  EVP_MD_CTX *context = EVP_MD_CTX_new ();
  bool is_good = context != NULL && EVP_DigestVerifyInit (context, NULL, EVP_sha256 (), NULL, signer) == 1 &&
                 EVP_DigestVerify (context, signature->data, signature->size, statement->data, statement->size) == 1;

  EVP_MD_CTX_free (context);
  return is_good ? NULL : "AttestationSignature is not the attestation key's signature of AttestationData";
}

/* --- whose attestation key --- */

/* All of its public area: a key of the same point that is not in a TPM, or signs whatever it is given, is another. */
static const char *
check_known_signer (const CmkAttestation *attestation, CmkFindings *findings)
{
  const CmkBuffer *known = &attestation->known_signer;

  if (known->size == 0)
    return NULL;
  if (!is_equal (all_of (attestation, CMK_ATTESTED_SIGNER_AREA), known->data, known->size))
    return "the attestation key is not the known one: this is another TPM, it was cleared, or somebody pretends";
  findings->is_known_signer = true;
  return NULL;
}

/* Only a TPM that has both the endorsement key and the attestation key that a credential was made for can open it. */
static const char *
check_secret (const CmkAttestation *attestation, CmkFindings *findings)
{
  const CmkBuffer *secret = &attestation->secret;

  if (secret->size == 0)
    return NULL;
  if (!is_equal (all_of (attestation, CMK_ATTESTED_SECRET), secret->data, secret->size))
    return "CredentialSecret is not what the credential held: it was not opened by the TPM that it was made for";
  findings->is_credential_opened = true;
  return NULL;
}

/* A key to encrypt to, and no authority's: who has one from a maker could issue endorsement certificates to himself. */
static bool
is_to_encrypt (X509 *certificate)
{
  uint32_t uses = X509_get_key_usage (certificate);

  if (X509_check_ca (certificate) != 0 || (X509_get_extension_flags (certificate) & EXFLAG_INVALID) != 0)
    return false;
  return uses == UINT32_MAX /* none is named */ ||
         ((uses & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)) != 0 && (uses & KU_KEY_CERT_SIGN) == 0);
}

/* The use that a TPM's certificate is made for, where it names any. */
static bool
is_for_endorsement (const X509 *certificate)
{
  EXTENDED_KEY_USAGE *uses = X509_get_ext_d2i (certificate, NID_ext_key_usage, NULL, NULL);
  bool is_found = uses == NULL && X509_get_ext_by_NID (certificate, NID_ext_key_usage, -1) < 0;
  char name[32];

  for (int i = 0; i < sk_ASN1_OBJECT_num (uses) && !is_found; i++)
    is_found = OBJ_obj2txt (name, sizeof name, sk_ASN1_OBJECT_value (uses, i), 1) > 0 &&
               strcmp (name, EK_CERTIFICATE_USE) == 0;
  EXTENDED_KEY_USAGE_free (uses);
  return is_found;
}

/* Each certificate in the file is trusted, intermediate ones as well; but they are makers', not TPMs'. */
static bool
is_issued_by_trusted (X509 *certificate, X509_STORE *store)
{
  X509_STORE_CTX *context = X509_STORE_CTX_new ();
  bool is_good = context != NULL && X509_STORE_CTX_init (context, store, certificate, NULL) == 1;

  if (is_good)
    X509_STORE_CTX_set_flags (context, X509_V_FLAG_PARTIAL_CHAIN);
  is_good = is_good && X509_verify_cert (context) == 1 && sk_X509_num (X509_STORE_CTX_get0_chain (context)) > 1;
  X509_STORE_CTX_free (context);
  return is_good;
}

static const char *
check_endorsement (const CmkAttestation *attestation, CmkFindings *findings)
{
  const CmkBuffer *der = &attestation->parts[CMK_ATTESTED_ENDORSEMENT];
  const unsigned char *position = der->data;
  const char *problem = NULL;
  X509_STORE *store;
  X509 *certificate;

  if (attestation->trust == NULL)
    return NULL;
  if (der->size == 0)
    return "the TPM has no endorsement certificate that --trust could be used for";
  store = X509_STORE_new ();
  certificate = d2i_X509 (NULL, &position, (long) der->size);
  if (store == NULL || X509_STORE_load_file (store, attestation->trust) != 1)
    problem = "the file of trusted certificates cannot be read, or holds none (PEM)";
  else if (certificate == NULL || position != der->data + der->size)
    problem = "EndorsementKeyCertificate is no certificate";
  else if (!is_to_encrypt (certificate) || !is_for_endorsement (certificate) ||
           !is_issued_by_trusted (certificate, store))
    problem = "EndorsementKeyCertificate is not one of a TPM by any maker that is trusted";
  X509_free (certificate);
  X509_STORE_free (store);
  findings->is_genuine_maker = problem == NULL;
  return problem;
}

static const char *
check (const CmkAttestation *attestation, CmkFindings *findings)
{
  _cleanup_ (free_key) EVP_PKEY *signer = read_key (all_of (attestation, CMK_ATTESTED_SIGNER), "EC");
  Bytes parent = { NULL, 0 };
  const char *problem;

  if (signer == NULL)
    return "AttestationKey is no elliptic curve key";
  problem = check_signer (attestation, signer);
  if (problem == NULL)
    problem = check_signature (attestation, signer);
  if (problem == NULL)
    problem = check_public_area (attestation, findings);
  if (problem == NULL)
    problem = check_creation_data (attestation, &parent);
  if (problem == NULL)
    problem = check_statement (attestation, parent);
  if (problem == NULL)
    problem = check_known_signer (attestation, findings);
  if (problem == NULL)
    problem = check_secret (attestation, findings);
  if (problem == NULL)
    problem = check_endorsement (attestation, findings);
  return problem;
}

static const char *
verify (const CmkAttestation *attestation, CmkFindings *ret_findings)
{
  CmkFindings findings = { 0 };
  const char *problem = check (attestation, &findings);

  ERR_clear_error ();
  if (problem == NULL)
    *ret_findings = findings;
  return problem;
}

__attribute__ ((visibility ("default"))) const CmkAttestationModule cmk_attestation_module = { verify };
