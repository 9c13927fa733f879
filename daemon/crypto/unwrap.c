/* SPDX-License-Identifier: Apache-2.0
 *
 * Who holds a captured blob and a wrapping key's token, but not the wrapping key, must not learn from an attempt how
 * far it got. So there is no way out between the first step and the last: what failed leaves something of the size that
 * was expected (zeros, garbage) for the next step, down to the parsing of the key, and *intact gathers who failed.
 *
 * What remains to be seen in the time is whether a private key parses, and how far. That follows from the content,
 * which is known to whoever knows the temporary key, and cannot be made to come out right by who does not, with one
 * exception: by the ECB forms, whose blocks can be left out and put elsewhere at will. Eight attempts, the budget of a
 * wrapping key, are too few to learn a key from that; the cap is what these forms stand on, as their only protection
 * from alteration. */
#include "crypto/unwrap.h"

#include "base/error.h"
#include "cmkd.h"
#include "crypto/key-wrap.h"
#include "crypto/openssl.h"
#include "crypto/sm2.h"
#include "crypto/unpad.h"

#include <openssl/err.h>

#define AES_KEY_SIZE 32
#define SM4_KEY_SIZE 16
#define SCALAR_SIZE  32

/* Of what is not encrypted to the wrapping key itself. */
#define MAX_CONTENT_SIZE (CMKD_MAX_PRIVATE_KEY_CHARS / 4 * 3)

/* How something is encrypted to the wrapping key. */
typedef enum
{
  ENCRYPTION_PKCS1,
  ENCRYPTION_OAEP_SHA_1,
  ENCRYPTION_OAEP_SHA_256,
  ENCRYPTION_SM2,
} Encryption;

static const char *const encryption_texts[] = {
  [ENCRYPTION_PKCS1] = "PKCS#1 v1.5 padding, no hash and no MGF1 hash",
  [ENCRYPTION_OAEP_SHA_1] = "OAEP hash SHA-1, MGF1 hash SHA-1, empty label",
  [ENCRYPTION_OAEP_SHA_256] = "OAEP hash SHA-256, MGF1 hash SHA-256, empty label",
  [ENCRYPTION_SM2] = "SM2 with SM3, order C1C3C2, raw with its leading byte 04 or ASN.1",
};

/* The forms of the header, in its order. */
typedef enum
{
  FORM_DIRECT,
  FORM_SEPARATE,
  FORM_KEY_WRAP,
  FORM_ECB_AES,
  FORM_ECB_SM4,
} Form;

typedef struct
{
  Encryption encryption;
  Form form; /* when no private key comes separately */
} Scheme;

static const Scheme schemes[] = {
  [CMK_WRAPPING_RSAES_PKCS1_V1_5] = { ENCRYPTION_PKCS1, FORM_DIRECT },
  [CMK_WRAPPING_RSAES_OAEP_SHA_1] = { ENCRYPTION_OAEP_SHA_1, FORM_DIRECT },
  [CMK_WRAPPING_RSAES_OAEP_SHA_256] = { ENCRYPTION_OAEP_SHA_256, FORM_DIRECT },
  [CMK_WRAPPING_SM2PKE] = { ENCRYPTION_SM2, FORM_DIRECT },
  [CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_1] = { ENCRYPTION_OAEP_SHA_1, FORM_KEY_WRAP },
  [CMK_WRAPPING_RSA_AES_KEY_WRAP_SHA_256] = { ENCRYPTION_OAEP_SHA_256, FORM_KEY_WRAP },
  [CMK_WRAPPING_RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD] = { ENCRYPTION_OAEP_SHA_256, FORM_ECB_AES },
  [CMK_WRAPPING_SM2PKE_SM4_ECB] = { ENCRYPTION_SM2, FORM_ECB_SM4 },
};

static Encryption
encryption_of (const CmkWrapped *wrapped)
{
  return schemes[wrapped->algorithm].encryption;
}

static Form
form_of (const CmkWrapped *wrapped)
{
  return wrapped->encrypted_private_key != NULL ? FORM_SEPARATE : schemes[wrapped->algorithm].form;
}

static gsize
modulus_size (const CmkWrapped *wrapped)
{
  return cmk_key_spec_rsa_bits (cmk_wrapping_key_spec_key (wrapped->wrapping_spec)) / 8;
}

/* Seed 001 wraps SM2 keys under SM4. */
static gboolean
has_sm4_key (const CmkWrapped *wrapped)
{
  Form form = form_of (wrapped);
  return form == FORM_ECB_SM4 || (form == FORM_SEPARATE && wrapped->spec == CMK_KEY_SPEC_EC_SM2);
}

/* --- parts and lengths --- */

/* A private key does not fit into PKCS#1 v1.5 by contract, nor one of RSA into RSA by size. */
static gboolean
needs_separate_key (const CmkWrapped *wrapped)
{
  return cmk_key_spec_is_asymmetric (wrapped->spec) && form_of (wrapped) == FORM_DIRECT &&
         (encryption_of (wrapped) == ENCRYPTION_PKCS1 ||
          (encryption_of (wrapped) != ENCRYPTION_SM2 && cmk_key_spec_rsa_bits (wrapped->spec) > 0));
}

static gboolean
check_private_key (const CmkWrapped *wrapped, GError **error)
{
  const char *algorithm = cmk_spec_name (cmk_wrapping_algorithms, (int) wrapped->algorithm);
  const char *spec = cmk_spec_name (cmk_key_specs, (int) wrapped->spec);
  if (needs_separate_key (wrapped))
    {
      g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                   "EncryptedPrivateKey: missing. By %s comes the temporary key only, and under that, here, the %s "
                   "private key (PKCS#8 DER, RFC 5649); or call GetParametersForImport for RSA_AES_KEY_WRAP_SHA_256",
                   algorithm, spec);
      return FALSE;
    }
  if (wrapped->encrypted_private_key == NULL)
    return TRUE;
  gsize size = g_bytes_get_size (wrapped->encrypted_private_key);
  if (schemes[wrapped->algorithm].form != FORM_DIRECT || !cmk_key_spec_is_asymmetric (wrapped->spec))
    g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                 "EncryptedPrivateKey: leave it out: all that %s wraps for a key of spec %s goes into "
                 "encrypted_key_material",
                 algorithm, spec);
  else if (size < CMK_KEY_WRAP_MIN_SIZE || size > MAX_CONTENT_SIZE)
    g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
                 "EncryptedPrivateKey: a private key that is wrapped by RFC 5649 is from %d to %d bytes long before "
                 "Base64",
                 CMK_KEY_WRAP_MIN_SIZE, MAX_CONTENT_SIZE);
  else
    return TRUE;
  return FALSE;
}

static gboolean
check_size (const CmkWrapped *wrapped, gsize minimum, const char *parts, GError **error)
{
  gsize size = g_bytes_get_size (wrapped->encrypted_key_material);
  if (size >= minimum && size <= minimum + MAX_CONTENT_SIZE)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
               "encrypted_key_material: what is wrapped by %s with %s is from %" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT
               " bytes long before Base64: %s",
               cmk_spec_name (cmk_wrapping_algorithms, (int) wrapped->algorithm),
               cmk_spec_name (cmk_wrapping_key_specs, (int) wrapped->wrapping_spec), minimum,
               minimum + MAX_CONTENT_SIZE, parts);
  return FALSE;
}

static gboolean
check_rsa_size (const CmkWrapped *wrapped, GError **error)
{
  gsize expected = modulus_size (wrapped);
  if (g_bytes_get_size (wrapped->encrypted_key_material) == expected)
    return TRUE;
  g_set_error (error, CMK_ERROR, CMK_ERROR_INVALID_PARAMETER,
               "encrypted_key_material: what is wrapped by %s with %s is %" G_GSIZE_FORMAT " bytes long before Base64",
               cmk_spec_name (cmk_wrapping_algorithms, (int) wrapped->algorithm),
               cmk_spec_name (cmk_wrapping_key_specs, (int) wrapped->wrapping_spec), expected);
  return FALSE;
}

gboolean
cmk_wrapped_check (const CmkWrapped *wrapped, GError **error)
{
  if (!check_private_key (wrapped, error))
    return FALSE;
  gsize modulus = modulus_size (wrapped);
  switch (form_of (wrapped))
    {
    case FORM_KEY_WRAP:
      return check_size (
          wrapped, modulus + CMK_KEY_WRAP_MIN_SIZE,
          "the encrypted AES key, as long as the modulus, and right after it what is wrapped with that key "
          "(RFC 5649)",
          error);
    case FORM_ECB_AES:
      return check_size (wrapped, modulus + CMK_PKCS7_BLOCK_SIZE,
                         "the encrypted AES key, as long as the modulus, and right after it the encrypted private key",
                         error);
    case FORM_ECB_SM4:
      return check_size (wrapped, CMK_SM2_RAW_OVERHEAD + SM4_KEY_SIZE + SCALAR_SIZE,
                         "the SM2 ciphertext of the SM4 key, and right after it the 32 bytes of the encrypted scalar",
                         error);
    default:
      return encryption_of (wrapped) == ENCRYPTION_SM2
                 ? check_size (wrapped, CMK_SM2_RAW_OVERHEAD + 1, "an SM2 ciphertext, raw C1C3C2 or ASN.1", error)
                 : check_rsa_size (wrapped, error);
    }
}

/* --- what is encrypted to the wrapping key --- */

/* OpenSSL's own padding is not used: its provider leaves the raw block, which needs no key to be unmasked, behind in
 * freed memory. @message_size 0 is any, which PKCS#1 v1.5 never carries. */
static CmkSecret *
decrypt_rsa (const CmkPrivateKey *key, Encryption encryption, const guint8 *data, gsize size, gsize message_size,
             gboolean *intact, GError **error)
{
  const CmkAlgorithms *algorithms = cmk_algorithms ();
  const EVP_MD *hash = encryption == ENCRYPTION_OAEP_SHA_1 ? algorithms->sha1 : algorithms->sha256;
  g_autoptr (CmkSecret) block = cmk_secret_new (size, error);
  if (block == NULL)
    return NULL;
  /* A number out of range leaves the block zero, and no padding fits that. */
  gboolean in_range;
  if (!cmk_private_key_decrypt_raw (key, data, size, block, &in_range, error))
    return NULL;
  *intact &= in_range;
  if (message_size == 0)
    {
      gsize offset;
      *intact &= cmk_unpad_oaep_any (cmk_secret_data (block), size, hash, &offset);
      return cmk_secret_new_copy (cmk_secret_peek (block) + offset, size - offset, error);
    }
  g_autoptr (CmkSecret) message = cmk_secret_new (message_size, error);
  if (message == NULL)
    return NULL;
  if (encryption == ENCRYPTION_PKCS1)
    *intact &= cmk_unpad_pkcs1 (cmk_secret_peek (block), size, cmk_secret_data (message), message_size);
  else
    *intact &= cmk_unpad_oaep (cmk_secret_data (block), size, hash, cmk_secret_data (message), message_size);
  return g_steal_pointer (&message);
}

/* What does not decrypt, or to another size, gives zeros. @message_size 0 is any. */
static CmkSecret *
decrypt_sm2 (const CmkPrivateKey *key, const guint8 *data, gsize size, gsize message_size, gboolean *intact,
             GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (CmkSecret) message = cmk_sm2_decrypt (cmk_private_key_pair (key), data, size, &local_error);
  if (message != NULL && (message_size == 0 || cmk_secret_length (message) == message_size))
    return g_steal_pointer (&message);
  if (local_error != NULL && !g_error_matches (local_error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  *intact = FALSE;
  return cmk_secret_new (MAX (message_size, 1), error);
}

static CmkSecret *
decrypt (const CmkPrivateKey *key, Encryption encryption, const guint8 *data, gsize size, gsize message_size,
         gboolean *intact, GError **error)
{
  return encryption == ENCRYPTION_SM2 ? decrypt_sm2 (key, data, size, message_size, intact, error)
                                      : decrypt_rsa (key, encryption, data, size, message_size, intact, error);
}

/* --- what is encrypted with the temporary key --- */

static CmkSecret *
decrypt_padded (const EVP_CIPHER *cipher, const CmkSecret *key, const guint8 *data, gsize size, gboolean *intact,
                GError **error)
{
  gsize whole_size = size - size % CMK_PKCS7_BLOCK_SIZE;
  gsize plaintext_size;
  g_autoptr (CmkSecret) plaintext = cmk_ecb_decrypt (cipher, key, data, whole_size, error);
  if (plaintext == NULL)
    return NULL;
  *intact &= whole_size == size;
  *intact &= cmk_unpad_pkcs7 (cmk_secret_peek (plaintext), whole_size, &plaintext_size);
  cmk_secret_shorten (plaintext, plaintext_size);
  return g_steal_pointer (&plaintext);
}

static CmkSecret *
decrypt_content (const CmkWrapped *wrapped, const CmkSecret *temporary_key, const guint8 *data, gsize size,
                 gboolean *intact, GError **error)
{
  const CmkAlgorithms *algorithms = cmk_algorithms ();
  const EVP_CIPHER *cipher = has_sm4_key (wrapped) ? algorithms->sm4_ecb : algorithms->aes_256_ecb;
  switch (form_of (wrapped))
    {
    case FORM_ECB_AES:
      return decrypt_padded (cipher, temporary_key, data, size, intact, error);
    case FORM_ECB_SM4:
      return cmk_ecb_decrypt (cipher, temporary_key, data, size, error);
    default:
      {
        gboolean unwrapped = FALSE;
        CmkSecret *content = cmk_key_unwrap (cipher, temporary_key, data, size, &unwrapped, error);
        *intact &= unwrapped;
        return content;
      }
    }
}

/* How much of encrypted_key_material is the temporary key; 0 if it cannot be told, or what follows cannot be. */
static gsize
temporary_key_end (const CmkWrapped *wrapped, const guint8 *data, gsize size)
{
  switch (form_of (wrapped))
    {
    case FORM_SEPARATE:
      return size;
    case FORM_ECB_SM4:
      {
        gsize end = cmk_sm2_ciphertext_size (data, size, SM4_KEY_SIZE);
        return size - end == SCALAR_SIZE ? end : 0;
      }
    default:
      return modulus_size (wrapped);
    }
}

/* The material or the encoded private key that was wrapped, if it is *intact. */
static CmkSecret *
open_content (const CmkPrivateKey *wrapping_key, const CmkWrapped *wrapped, gboolean *intact, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (wrapped->encrypted_key_material, &size);
  Encryption encryption = encryption_of (wrapped);
  if (form_of (wrapped) == FORM_DIRECT)
    return decrypt (wrapping_key, encryption, data, size, cmk_key_spec_material_bytes (wrapped->spec), intact, error);
  gsize end = temporary_key_end (wrapped, data, size);
  if (end == 0)
    {
      /* This is seen from outside. */
      *intact = FALSE;
      return cmk_secret_new (SCALAR_SIZE, error);
    }
  gsize key_size = has_sm4_key (wrapped) ? SM4_KEY_SIZE : AES_KEY_SIZE;
  g_autoptr (CmkSecret) temporary_key = decrypt (wrapping_key, encryption, data, end, key_size, intact, error);
  if (temporary_key == NULL)
    return NULL;
  if (wrapped->encrypted_private_key == NULL)
    return decrypt_content (wrapped, temporary_key, data + end, size - end, intact, error);
  data = g_bytes_get_data (wrapped->encrypted_private_key, &size);
  return decrypt_content (wrapped, temporary_key, data, size, intact, error);
}

static CmkSecret *
encode_private_key (const CmkWrapped *wrapped, const CmkSecret *content, GError **error)
{
  g_autoptr (CmkPrivateKey) key = form_of (wrapped) == FORM_ECB_SM4
                                      ? cmk_private_key_from_scalar (wrapped->spec, content, error)
                                      : cmk_private_key_parse (wrapped->spec, content, error);
  return key != NULL ? cmk_private_key_encode (key, error) : NULL;
}

/* NULL with CMK_ERROR_INCORRECT_KEY_MATERIAL, or not *intact: it is not what it should be. */
static CmkSecret *
open_material (const CmkPrivateKey *wrapping_key, const CmkWrapped *wrapped, gboolean *intact, GError **error)
{
  g_autoptr (CmkSecret) content = open_content (wrapping_key, wrapped, intact, error);
  if (content == NULL)
    return NULL;
  if (cmk_key_spec_is_asymmetric (wrapped->spec))
    return encode_private_key (wrapped, content, error);
  *intact &= cmk_secret_length (content) == cmk_key_spec_material_bytes (wrapped->spec);
  return g_steal_pointer (&content);
}

/* --- the one text of a form --- */

static void
append_content (GString *text, const CmkWrapped *wrapped)
{
  gsize size = cmk_key_spec_material_bytes (wrapped->spec);
  if (size > 0)
    g_string_append_printf (text, "exactly %" G_GSIZE_FORMAT " bytes (%" G_GSIZE_FORMAT " bits)", size, size * 8);
  else if (form_of (wrapped) == FORM_ECB_SM4)
    g_string_append_printf (text, "the private scalar of an EC_SM2 key (%d bytes)", SCALAR_SIZE);
  else
    g_string_append_printf (text,
                            "a sound private key of spec %s as PKCS#8 DER (openssl pkcs8 -topk8 -nocrypt -outform DER)",
                            cmk_spec_name (cmk_key_specs, (int) wrapped->spec));
}

static void
set_incorrect_material (const CmkWrapped *wrapped, GError **error)
{
  static const char *const links[] = {
    [FORM_SEPARATE] = " and, in EncryptedPrivateKey, ",
    [FORM_KEY_WRAP] = ", followed by ",
    [FORM_ECB_AES] = ", followed by ",
    [FORM_ECB_SM4] = ", followed by ",
  };
  static const char *const methods[] = {
    [FORM_SEPARATE] = " wrapped with that key by RFC 5649 (key wrap with padding, AIV A65959A6)",
    [FORM_KEY_WRAP] = " wrapped with that key by RFC 5649 (key wrap with padding, AIV A65959A6)",
    [FORM_ECB_AES] = " encrypted with that key by AES-256-ECB with PKCS#7 padding",
    [FORM_ECB_SM4] = " encrypted with that key by SM4-ECB without padding",
  };
  Form form = form_of (wrapped);
  g_autoptr (GString) text = g_string_new ("the encrypted key material does not hold ");
  if (form == FORM_DIRECT)
    append_content (text, wrapped);
  else
    g_string_append (text, has_sm4_key (wrapped) ? "an SM4 key of 16 bytes" : "an AES-256 key of 32 bytes");
  g_string_append_printf (text, " encrypted by %s (%s) under the public key that came with this import token",
                          cmk_spec_name (cmk_wrapping_algorithms, (int) wrapped->algorithm),
                          encryption_texts[encryption_of (wrapped)]);
  if (form != FORM_DIRECT)
    {
      g_string_append (text, links[form]);
      append_content (text, wrapped);
      g_string_append (text, methods[form]);
    }
  g_string_append_printf (text, "; encrypt the %s, not their hex or Base64 form, and try again",
                          cmk_key_spec_is_asymmetric (wrapped->spec) && form != FORM_ECB_SM4 ? "DER bytes"
                                                                                             : "raw key bytes");
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL, text->str);
}

CmkSecret *
cmk_unwrap (const CmkPrivateKey *wrapping_key, const CmkWrapped *wrapped, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gboolean intact = TRUE;
  g_autoptr (CmkSecret) material = open_material (wrapping_key, wrapped, &intact, &local_error);
  ERR_clear_error ();
  if (material != NULL && intact)
    return g_steal_pointer (&material);
  if (material == NULL && !g_error_matches (local_error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL))
    g_propagate_error (error, g_steal_pointer (&local_error));
  else
    set_incorrect_material (wrapped, error);
  return NULL;
}
