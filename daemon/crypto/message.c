/* SPDX-License-Identifier: Apache-2.0
 *
 * docs/ciphertext-format.md is the specification of what is written here, and holds the vectors that check
 * it. */
#include "crypto/message.h"

#include "base/error.h"
#include "cmkd.h"
#include "crypto/crypto.h"
#include "crypto/gcm.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <string.h>

#define VERSION         1
#define COMMITMENT_SIZE 32
#define SM4_KEY_SIZE    16
#define SM4_IV_SIZE     16

typedef struct
{
  guint8 magic[3];
  guint8 version;
  guint8 suite;
  guint8 key_id[16];
  guint8 salt[16];
  guint8 commitment[COMMITMENT_SIZE];
} Header;
G_STATIC_ASSERT (sizeof (Header) == 69);

static const guint8 magic[] = { 'C', 'M', 'K' };

/* What a message is sealed and opened with. @keys is encryption key || IV || MAC key || commitment, as
 * derived. */
typedef struct
{
  const Header *header;
  CmkPart context;
  const guint8 *keys;
} Frame;

typedef struct
{
  guint8 id;
  CmkKeySpec spec;
  gsize commitment_offset; /* in the derived keys, where it comes last */
  gsize tag_size;
  /* Write the ciphertext, as long as @plaintext, and the tag to @ret_sealed. */
  gboolean (*seal) (const Frame *frame, const CmkSecret *plaintext, guint8 *ret_sealed, GError **error);
  /* FALSE if @sealed is not authentic; @plaintext has the size that is expected. */
  gboolean (*open) (const Frame *frame, const guint8 *sealed, CmkSecret *plaintext);
} Suite;

static gboolean
seal_aes (const Frame *frame, const CmkSecret *plaintext, guint8 *ret_sealed, GError **error)
{
  const CmkPart aad[] = { { frame->header, sizeof (Header) }, frame->context };
  return cmk_gcm_seal (frame->keys, frame->keys + CMK_GCM_KEY_SIZE, aad, G_N_ELEMENTS (aad), plaintext, ret_sealed,
                       error);
}

static gboolean
open_aes (const Frame *frame, const guint8 *sealed, CmkSecret *plaintext)
{
  const CmkPart aad[] = { { frame->header, sizeof (Header) }, frame->context };
  return cmk_gcm_open (frame->keys, frame->keys + CMK_GCM_KEY_SIZE, aad, G_N_ELEMENTS (aad), sealed, plaintext);
}

/* Counter mode is its own inverse. */
static gboolean
apply_sm4_ctr (const Frame *frame, const guint8 *input, gsize size, guint8 *ret_output, GError **error)
{
  int length;
  g_autoptr (EVP_CIPHER_CTX) cipher = EVP_CIPHER_CTX_new ();
  gboolean ok =
      cipher != NULL &&
      EVP_EncryptInit_ex2 (cipher, cmk_algorithms ()->sm4_ctr, frame->keys, frame->keys + SM4_KEY_SIZE, NULL) == 1 &&
      EVP_EncryptUpdate (cipher, ret_output, &length, input, (int) size) == 1;
  return cmk_openssl_ok (ok, "cannot apply SM4-CTR", error);
}

/* The length of the context stands before it, so that no byte can move between context and ciphertext. */
static gboolean
compute_sm3_tag (const Frame *frame, const guint8 *ciphertext, gsize size, guint8 ret_tag[CMK_HMAC_SIZE],
                 GError **error)
{
  guint64 context_size = GUINT64_TO_BE ((guint64) frame->context.size);
  const CmkPart parts[] = {
    { frame->header, sizeof (Header) },
    { &context_size, sizeof context_size },
    frame->context,
    { ciphertext, size },
  };
  return cmk_hmac ("SM3", frame->keys + SM4_KEY_SIZE + SM4_IV_SIZE, CMK_HMAC_SIZE, parts, G_N_ELEMENTS (parts), ret_tag,
                   error);
}

static gboolean
seal_sm4 (const Frame *frame, const CmkSecret *plaintext, guint8 *ret_sealed, GError **error)
{
  gsize size = cmk_secret_length (plaintext);
  return apply_sm4_ctr (frame, cmk_secret_peek (plaintext), size, ret_sealed, error) &&
         compute_sm3_tag (frame, ret_sealed, size, ret_sealed + size, error);
}

static gboolean
open_sm4 (const Frame *frame, const guint8 *sealed, CmkSecret *plaintext)
{
  gsize size = cmk_secret_length (plaintext);
  guint8 tag[CMK_HMAC_SIZE];
  gboolean opened = compute_sm3_tag (frame, sealed, size, tag, NULL) &&
                    CRYPTO_memcmp (tag, sealed + size, sizeof tag) == 0 &&
                    apply_sm4_ctr (frame, sealed, size, cmk_secret_data (plaintext), NULL);
  /* The right tag of a forged blob is what its forger is after. */
  OPENSSL_cleanse (tag, sizeof tag);
  return opened;
}

static const Suite suites[] = {
  { 1, CMK_KEY_SPEC_AES_256, CMK_GCM_KEY_SIZE + CMK_GCM_NONCE_SIZE, CMK_GCM_TAG_SIZE, seal_aes, open_aes },
  { 2, CMK_KEY_SPEC_SM4, SM4_KEY_SIZE + SM4_IV_SIZE + CMK_HMAC_SIZE, CMK_HMAC_SIZE, seal_sm4, open_sm4 },
};

static const Suite *
suite_for_spec (CmkKeySpec spec)
{
  for (guint i = 0; i < G_N_ELEMENTS (suites); i++)
    if (suites[i].spec == spec)
      return &suites[i];
  return NULL;
}

/* SP 800-108 in counter mode with HMAC-SHA-256 and a 32-bit counter: @size bytes from @key for @label and
 * @context. By hand, since EVP_KDF looks up MAC and digest again on each call, which costs more than the
 * rest. */
static CmkSecret *
derive (const CmkHmacKey *key, const char *label, CmkPart context, gsize size, GError **error)
{
  gsize n_blocks = (size + CMK_HMAC_SIZE - 1) / CMK_HMAC_SIZE;
  g_autoptr (CmkSecret) output = cmk_secret_new (n_blocks * CMK_HMAC_SIZE, error);
  if (output == NULL)
    return NULL;
  guint32 bits = GUINT32_TO_BE ((guint32) size * 8);
  for (guint32 i = 0; i < n_blocks; i++)
    {
      guint32 counter = GUINT32_TO_BE (i + 1);
      const CmkPart parts[] = {
        { &counter, sizeof counter },
        { label, strlen (label) + 1 }, /* with the zero byte that the standard puts between */
        context,
        { &bits, sizeof bits },
      };
      if (!cmk_hmac_key_compute (key, CMK_MAC_HMAC_SHA_256, parts, G_N_ELEMENTS (parts),
                                 cmk_secret_data (output) + (gsize) i * CMK_HMAC_SIZE, error))
        return NULL;
    }
  cmk_secret_shorten (output, size);
  return g_steal_pointer (&output);
}

/* Two levels, so that material that lives inside a TPM needs one TPM2_HMAC a message. */
static CmkSecret *
derive_keys (const Suite *suite, const CmkHmacKey *material, const Header *header, GError **error)
{
  const CmkPart context = { &header->suite, offsetof (Header, commitment) - offsetof (Header, suite) };
  const CmkPart no_context = { "", 0 };
  g_autoptr (CmkSecret) message_key = derive (material, "cmkd/v1/message", context, CMK_HMAC_SIZE, error);
  if (message_key == NULL)
    return NULL;
  const CmkHmacKey key = { .secret = message_key };
  return derive (&key, "cmkd/v1/expand", no_context, suite->commitment_offset + COMMITMENT_SIZE, error);
}

static gboolean
fits (const CmkHmacKey *material, CmkKeySpec spec)
{
  return material->secret == NULL || cmk_secret_length (material->secret) == cmk_key_spec_material_bytes (spec);
}

GBytes *
cmk_message_seal (const CmkHmacKey *material, CmkKeySpec spec, const CmkUuid *key_id, GBytes *context,
                  const CmkSecret *plaintext, GError **error)
{
  const Suite *suite = suite_for_spec (spec);
  gsize size = cmk_secret_length (plaintext);
  g_return_val_if_fail (suite != NULL && fits (material, spec), NULL);
  g_return_val_if_fail (size <= CMKD_MAX_PLAINTEXT_BYTES, NULL);

  gsize blob_size = sizeof (Header) + size + suite->tag_size;
  g_autofree guint8 *blob = g_malloc (blob_size);
  Header *header = (Header *) blob;
  memcpy (header->magic, magic, sizeof magic);
  header->version = VERSION;
  header->suite = suite->id;
  memcpy (header->key_id, key_id->bytes, sizeof header->key_id);
  if (!cmk_random_bytes (header->salt, sizeof header->salt, error))
    return NULL;
  g_autoptr (CmkSecret) keys = derive_keys (suite, material, header, error);
  if (keys == NULL)
    return NULL;
  memcpy (header->commitment, cmk_secret_peek (keys) + suite->commitment_offset, COMMITMENT_SIZE);

  Frame frame = { header, { NULL, 0 }, cmk_secret_peek (keys) };
  frame.context.data = g_bytes_get_data (context, &frame.context.size);
  if (!suite->seal (&frame, plaintext, blob + sizeof (Header), error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&blob), blob_size);
}

void
cmk_message_set_invalid (GError **error)
{
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INVALID_CIPHERTEXT,
                       "the ciphertext blob cannot be opened: it was altered or cut short, is of another key, or was "
                       "encrypted with another encryption context; give the blob as Encrypt answered it, with the "
                       "same encryption context");
}

/* The suite of @blob and the size of its plaintext. NULL if it is no blob of ours. */
static const Suite *
parse (GBytes *blob, const Header **ret_header, gsize *ret_plaintext_size)
{
  gsize size;
  const Header *header = g_bytes_get_data (blob, &size);
  if (size < sizeof (Header) || memcmp (header->magic, magic, sizeof magic) != 0 || header->version != VERSION)
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS (suites); i++)
    {
      gsize overhead = sizeof (Header) + suites[i].tag_size;
      if (suites[i].id == header->suite && size > overhead && size - overhead <= CMKD_MAX_PLAINTEXT_BYTES)
        {
          *ret_header = header;
          *ret_plaintext_size = size - overhead;
          return &suites[i];
        }
    }
  return NULL;
}

gboolean
cmk_message_key_id (GBytes *blob, CmkUuid *ret_key_id, GError **error)
{
  const Header *header;
  gsize plaintext_size;
  if (parse (blob, &header, &plaintext_size) == NULL)
    {
      cmk_message_set_invalid (error);
      return FALSE;
    }
  memcpy (ret_key_id->bytes, header->key_id, sizeof ret_key_id->bytes);
  return TRUE;
}

CmkSecret *
cmk_message_open (const CmkHmacKey *material, CmkKeySpec spec, GBytes *blob, GBytes *context, GError **error)
{
  g_return_val_if_fail (suite_for_spec (spec) != NULL && fits (material, spec), NULL);
  const Header *header;
  gsize plaintext_size;
  const Suite *suite = parse (blob, &header, &plaintext_size);
  if (suite == NULL || suite->spec != spec)
    {
      cmk_message_set_invalid (error);
      return NULL;
    }
  g_autoptr (CmkSecret) keys = derive_keys (suite, material, header, error);
  if (keys == NULL)
    return NULL;
  g_autoptr (CmkSecret) plaintext = cmk_secret_new (plaintext_size, error);
  if (plaintext == NULL)
    return NULL;

  const guint8 *commitment = cmk_secret_peek (keys) + suite->commitment_offset;
  Frame frame = { header, { NULL, 0 }, cmk_secret_peek (keys) };
  frame.context.data = g_bytes_get_data (context, &frame.context.size);
  if (CRYPTO_memcmp (commitment, header->commitment, COMMITMENT_SIZE) != 0 ||
      !suite->open (&frame, (const guint8 *) (header + 1), plaintext))
    {
      cmk_message_set_invalid (error);
      return NULL;
    }
  return g_steal_pointer (&plaintext);
}
