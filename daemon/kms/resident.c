/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/resident.h"

#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/inner-wrap.h"
#include "crypto/key-parts.h"
#include "kms/vault-internal.h"
#include "tpm/resident-key.h"

/* Symmetric keys derive a key for each message by HMAC-SHA-256, which is what the TPM does for them. */
static const struct
{
  CmkKeySpec spec;
  CmkResidentKind kind;
} kinds[] = {
  { CMK_KEY_SPEC_AES_256, CMK_RESIDENT_HMAC_SHA256 },  { CMK_KEY_SPEC_SM4, CMK_RESIDENT_HMAC_SHA256 },
  { CMK_KEY_SPEC_HMAC_256, CMK_RESIDENT_HMAC_SHA256 }, { CMK_KEY_SPEC_HMAC_384, CMK_RESIDENT_HMAC_SHA384 },
  { CMK_KEY_SPEC_HMAC_512, CMK_RESIDENT_HMAC_SHA512 }, { CMK_KEY_SPEC_RSA_2048, CMK_RESIDENT_RSA_2048 },
  { CMK_KEY_SPEC_RSA_3072, CMK_RESIDENT_RSA_3072 },    { CMK_KEY_SPEC_EC_P256, CMK_RESIDENT_EC_P256 },
  { CMK_KEY_SPEC_EC_P384, CMK_RESIDENT_EC_P384 },
};

static gboolean
find_kind (CmkKeySpec spec, CmkResidentKind *ret_kind)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (kinds[i].spec == spec)
      {
        *ret_kind = kinds[i].kind;
        return TRUE;
      }
  return FALSE;
}

/* Of a spec that was checked when its key was created. */
static CmkResidentKind
kind_of (CmkKeySpec spec)
{
  CmkResidentKind kind = CMK_RESIDENT_HMAC_SHA256;
  g_return_val_if_fail (find_kind (spec, &kind), kind);
  return kind;
}

static const char *
explain (CmkKeySpec spec)
{
  switch (spec)
    {
    case CMK_KEY_SPEC_RSA_4096:
      return "TPMs have RSA with up to 3072 bits";
    case CMK_KEY_SPEC_EC_P256K:
      return "TPMs do not have the curve secp256k1";
    default:
      return "TPMs have neither the signature nor the encryption of SM2 that cmkd has";
    }
}

gboolean
cmk_resident_check_spec (CmkVault *vault, CmkKeySpec spec, GError **error)
{
  CmkResidentKind kind;
  if (find_kind (spec, &kind))
    return cmk_vault_note_tpm (
        vault, cmk_vault_connect_tpm (vault, error) && cmk_tpm_can_hold (vault->tpm, kind, error), error);
  g_set_error (error, CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION,
               "ProtectionLevel TPM does not go with KeySpec %s: %s; use ProtectionLevel SOFTWARE",
               cmk_spec_name (cmk_key_specs, (int) spec), explain (spec));
  return FALSE;
}

/* --- bringing keys there --- */

static GBytes *
import_private (CmkTpmSession *session, CmkKeySpec spec, const CmkSecret *material, GError **error)
{
  g_auto (CmkKeyParts) parts = { 0 };
  g_autoptr (CmkPrivateKey) key = cmk_private_key_decode (spec, material, error);
  if (key == NULL || !cmk_private_key_take_apart (key, &parts, error))
    return NULL;
  const CmkResidentPublic public = {
    .kind = kind_of (spec),
    .modulus = parts.modulus,
    .exponent = parts.exponent,
    .x = parts.x,
    .y = parts.y,
  };
  g_autoptr (CmkSecret) inner_key = cmk_random_secret (CMK_INNER_WRAP_KEY_SIZE, error);
  return inner_key != NULL ? cmk_tpm_resident_import_private (session, &public, parts.secret, inner_key, cmk_inner_wrap,
                                                              CMK_TPM_LAST, error)
                           : NULL;
}

static GBytes *
import_hmac (CmkTpmSession *session, CmkKeySpec spec, const CmkSecret *material, GError **error)
{
  return cmk_tpm_resident_import_hmac (session, kind_of (spec), material, CMK_TPM_LAST, error);
}

GBytes *
cmk_resident_import (CmkVault *vault, CmkTpmSession *session, CmkKeySpec spec, const CmkSecret *material,
                     GError **error)
{
  GBytes *object = cmk_key_spec_is_asymmetric (spec) ? import_private (session, spec, material, error)
                                                     : import_hmac (session, spec, material, error);
  cmk_vault_note_tpm (vault, object != NULL, error);
  return object;
}

GBytes *
cmk_resident_public_der (GBytes *object, CmkKeySpec spec, GError **error)
{
  g_auto (CmkResidentPublic) public = { 0 };
  if (!cmk_tpm_resident_public (object, &public, error))
    return NULL;
  const CmkKeyParts parts = {
    .modulus = public.modulus,
    .exponent = public.exponent,
    .x = public.x,
    .y = public.y,
  };
  return cmk_key_parts_public_der (spec, &parts, error);
}

/* The TPM makes the secret of an HMAC key as long as its hash: too long for SM4, whose material is 16 bytes on every
 * machine. */
static GBytes *
generate (CmkTpmSession *session, CmkKeySpec spec, GError **error)
{
  if (spec != CMK_KEY_SPEC_SM4)
    return cmk_tpm_resident_generate (session, kind_of (spec), CMK_TPM_LAST, error);
  g_autoptr (CmkSecret) material = cmk_random_secret (cmk_key_spec_material_bytes (spec), error);
  return material != NULL ? import_hmac (session, spec, material, error) : NULL;
}

GBytes *
cmk_resident_generate (CmkVault *vault, CmkTpmSession *session, CmkKeySpec spec, GBytes **ret_public_key,
                       GError **error)
{
  g_autoptr (GBytes) object = generate (session, spec, error);
  if (!cmk_vault_note_tpm (vault, object != NULL, error))
    return NULL;
  if (cmk_key_spec_is_asymmetric (spec) && (*ret_public_key = cmk_resident_public_der (object, spec, error)) == NULL)
    return NULL;
  return g_steal_pointer (&object);
}

/* --- using them there --- */

struct _CmkResident
{
  CmkVault *vault;
  CmkTpmSession *session; /* NULL: the TPM was not asked yet */
  CmkResidentKind kind;
  GBytes *object;
  char *cache_name;
  CmkPrivateKeyHolder holder;
};

/* By its id, so that the context can be dropped without the object. Of another object under that name none is used. */
static char *
make_cache_name (const CmkUuid *id)
{
  char text[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (id, text);
  return g_strconcat ("key:", text, NULL);
}

static gboolean
begin (CmkResident *resident, GError **error)
{
  if (resident->session == NULL)
    resident->session = cmk_vault_begin_session (resident->vault, error);
  return resident->session != NULL;
}

static gboolean
compute_hmac (gpointer data, CmkMacAlgorithm algorithm, const guint8 *message, gsize size, guint8 *ret_mac,
              GError **error)
{
  static const CmkResidentKind kinds_by_algorithm[] = {
    [CMK_MAC_HMAC_SHA_256] = CMK_RESIDENT_HMAC_SHA256,
    [CMK_MAC_HMAC_SHA_384] = CMK_RESIDENT_HMAC_SHA384,
    [CMK_MAC_HMAC_SHA_512] = CMK_RESIDENT_HMAC_SHA512,
  };
  CmkResident *resident = data;
  g_return_val_if_fail (resident->kind == kinds_by_algorithm[algorithm], FALSE);
  return begin (resident, error) &&
         cmk_vault_note_tpm (resident->vault,
                             cmk_tpm_resident_hmac (resident->session, resident->object, resident->cache_name,
                                                    resident->kind, message, size, CMK_TPM_LAST, ret_mac, error),
                             error);
}

static gboolean
compute_rsa (gpointer data, const guint8 *input, gsize size, guint8 *ret_output, GError **error)
{
  CmkResident *resident = data;
  return begin (resident, error) &&
         cmk_vault_note_tpm (resident->vault,
                             cmk_tpm_resident_rsa (resident->session, resident->object, resident->cache_name, input,
                                                   size, CMK_TPM_LAST, ret_output, error),
                             error);
}

static gboolean
compute_ecdsa (gpointer data, const guint8 *digest, gsize size, guint8 *ret_signature, GError **error)
{
  CmkResident *resident = data;
  return begin (resident, error) &&
         cmk_vault_note_tpm (resident->vault,
                             cmk_tpm_resident_ecdsa (resident->session, resident->object, resident->cache_name, digest,
                                                     size, CMK_TPM_LAST, ret_signature, error),
                             error);
}

CmkResident *
cmk_resident_open (CmkVault *vault, const CmkKeyRecord *record, GError **error)
{
  g_autoptr (GBytes) object = cmk_erasure_reveal (cmk_vault_erasure (vault), record->envelope, error);
  if (object == NULL)
    return NULL;
  CmkResident *resident = g_new0 (CmkResident, 1);
  resident->vault = vault;
  resident->kind = kind_of (record->spec);
  resident->object = g_steal_pointer (&object);
  resident->cache_name = vault->context_seconds > 0 ? make_cache_name (&record->id) : NULL;
  resident->holder = (CmkPrivateKeyHolder) { .rsa = compute_rsa, .ecdsa = compute_ecdsa, .data = resident };
  return resident;
}

void
cmk_resident_close (CmkResident *resident)
{
  if (resident == NULL)
    return;
  if (resident->session != NULL)
    cmk_tpm_session_end (resident->session);
  g_bytes_unref (resident->object);
  g_free (resident->cache_name);
  g_free (resident);
}

CmkHmacKey
cmk_resident_hmac_key (CmkResident *resident)
{
  return (CmkHmacKey) { .compute = compute_hmac, .data = resident };
}

const CmkPrivateKeyHolder *
cmk_resident_holder (CmkResident *resident)
{
  return &resident->holder;
}

void
cmk_resident_forget (CmkVault *vault, const CmkUuid *id)
{
  g_autofree char *name = make_cache_name (id);
  cmk_keyring_drop_context (vault->keyring, name);
}
