/* SPDX-License-Identifier: Apache-2.0
 *
 * Also run under valgrind, with every padded block marked as undefined: then a branch or an index that depends on a
 * secret is an error (ME-08). */
#include "crypto/unpad.h"

#include "base/error.h"
#include "base/secret.h"
#include "crypto/crypto.h"
#include "crypto/openssl.h"

#include <string.h>
#include <valgrind/memcheck.h>

#define BLOCK_SIZE   256
#define MESSAGE_SIZE 32
#define SEPARATOR    (BLOCK_SIZE - MESSAGE_SIZE - 1)

static const guint8 message[MESSAGE_SIZE] = "\x00\x01\x02 the key material to find";

typedef enum
{
  PADDING_PKCS1,
  PADDING_OAEP_SHA_1,
  PADDING_OAEP_SHA_256,
} Padding;

/* Put one byte elsewhere than the padding has it. */
typedef struct
{
  const char *name;
  Padding padding;
  guint offset; /* for OAEP in the unmasked block */
  guint8 value;
  gboolean good;
} Case;

static const EVP_MD *
hash_of (Padding padding)
{
  return padding == PADDING_OAEP_SHA_1 ? cmk_algorithms ()->sha1 : cmk_algorithms ()->sha256;
}

/* What RSA decryption would give: 00 02 PS 00 M. */
static void
pad_pkcs1 (guint8 block[BLOCK_SIZE])
{
  for (guint i = 0; i < SEPARATOR; i++)
    block[i] = (guint8) (i % 255 + 1);
  block[0] = 0;
  block[1] = 2;
  block[SEPARATOR] = 0;
  memcpy (block + SEPARATOR + 1, message, MESSAGE_SIZE);
}

/* 00 || seed || lHash PS 01 M, nothing masked yet. */
static void
pad_oaep (guint8 block[BLOCK_SIZE], const EVP_MD *hash)
{
  gsize hash_size = (gsize) EVP_MD_get_size (hash);
  memset (block, 0, BLOCK_SIZE);
  memset (block + 1, 0xa5, hash_size);
  g_assert_true (EVP_Digest ("", 0, block + 1 + hash_size, NULL, hash, NULL));
  block[SEPARATOR] = 1;
  memcpy (block + SEPARATOR + 1, message, MESSAGE_SIZE);
}

/* The MGF1 of RFC 8017 B.2.1, for the tests written once more: one digest of seed || counter after the other. */
static void
mask (guint8 *target, gsize size, const guint8 *seed, gsize seed_size, const EVP_MD *hash)
{
  guint8 input[BLOCK_SIZE + 4] = { 0 };
  memcpy (input, seed, seed_size);
  for (gsize i = 0; i < size; i++)
    {
      guint8 output[EVP_MAX_MD_SIZE];
      gsize hash_size = (gsize) EVP_MD_get_size (hash);
      input[seed_size + 3] = (guint8) (i / hash_size);
      g_assert_true (EVP_Digest (input, seed_size + 4, output, NULL, hash, NULL));
      target[i] ^= output[i % hash_size];
    }
}

static void
mask_oaep (guint8 block[BLOCK_SIZE], const EVP_MD *hash)
{
  gsize hash_size = (gsize) EVP_MD_get_size (hash);
  guint8 *masked = block + 1 + hash_size;
  gsize masked_size = BLOCK_SIZE - 1 - hash_size;
  mask (masked, masked_size, block + 1, hash_size, hash);
  mask (block + 1, hash_size, masked, masked_size, hash);
}

static gboolean
unpad (Padding padding, guint8 block[BLOCK_SIZE], guint8 ret_message[MESSAGE_SIZE])
{
  VALGRIND_MAKE_MEM_UNDEFINED (block, BLOCK_SIZE);
  gboolean good = padding == PADDING_PKCS1
                      ? cmk_unpad_pkcs1 (block, BLOCK_SIZE, ret_message, MESSAGE_SIZE)
                      : cmk_unpad_oaep (block, BLOCK_SIZE, hash_of (padding), ret_message, MESSAGE_SIZE);
  VALGRIND_MAKE_MEM_DEFINED (&good, sizeof good);
  VALGRIND_MAKE_MEM_DEFINED (ret_message, MESSAGE_SIZE);
  return good;
}

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  guint8 block[BLOCK_SIZE];
  guint8 found[MESSAGE_SIZE] = { 0 };
  if (c->padding == PADDING_PKCS1)
    {
      pad_pkcs1 (block);
      block[c->offset] = c->value;
    }
  else
    {
      pad_oaep (block, hash_of (c->padding));
      block[c->offset] = c->value;
      mask_oaep (block, hash_of (c->padding));
    }
  g_assert_cmpint (unpad (c->padding, block, found), ==, c->good);
  if (c->good)
    g_assert_cmpint (found[0], ==, c->offset == SEPARATOR + 1 ? c->value : message[0]);
  if (c->good)
    g_assert_cmpmem (found + 1, MESSAGE_SIZE - 1, message + 1, MESSAGE_SIZE - 1);
}

static const Case cases[] = {
  { "pkcs1/well-formed", PADDING_PKCS1, 0, 0x00, TRUE },
  { "pkcs1/any-padding-but-zero", PADDING_PKCS1, 100, 0xff, TRUE },
  { "pkcs1/any-message", PADDING_PKCS1, SEPARATOR + 1, 0xff, TRUE },
  { "pkcs1/first-byte", PADDING_PKCS1, 0, 0x01, FALSE },
  { "pkcs1/type-0", PADDING_PKCS1, 1, 0x00, FALSE },
  { "pkcs1/type-1", PADDING_PKCS1, 1, 0x01, FALSE },
  { "pkcs1/type-3", PADDING_PKCS1, 1, 0x03, FALSE },
  { "pkcs1/zero-first-in-padding", PADDING_PKCS1, 2, 0x00, FALSE },
  { "pkcs1/zero-eighth-in-padding", PADDING_PKCS1, 9, 0x00, FALSE },
  { "pkcs1/zero-last-in-padding", PADDING_PKCS1, SEPARATOR - 1, 0x00, FALSE },
  { "pkcs1/no-separator", PADDING_PKCS1, SEPARATOR, 0x01, FALSE },
  { "pkcs1/high-bit-for-separator", PADDING_PKCS1, SEPARATOR, 0x80, FALSE },

  { "oaep-sha-1/well-formed", PADDING_OAEP_SHA_1, 0, 0x00, TRUE },
  { "oaep-sha-1/any-message", PADDING_OAEP_SHA_1, SEPARATOR + 1, 0xff, TRUE },
  { "oaep-sha-1/any-seed", PADDING_OAEP_SHA_1, 1, 0x00, TRUE },
  { "oaep-sha-1/first-byte", PADDING_OAEP_SHA_1, 0, 0x01, FALSE },
  { "oaep-sha-1/first-byte-of-label-hash", PADDING_OAEP_SHA_1, 21, 0x00, FALSE },
  { "oaep-sha-1/last-byte-of-label-hash", PADDING_OAEP_SHA_1, 40, 0x00, FALSE },
  { "oaep-sha-1/first-of-padding", PADDING_OAEP_SHA_1, 41, 0x01, FALSE },
  { "oaep-sha-1/last-of-padding", PADDING_OAEP_SHA_1, SEPARATOR - 1, 0x01, FALSE },
  { "oaep-sha-1/no-separator", PADDING_OAEP_SHA_1, SEPARATOR, 0x00, FALSE },
  { "oaep-sha-1/other-separator", PADDING_OAEP_SHA_1, SEPARATOR, 0x81, FALSE },

  { "oaep-sha-256/well-formed", PADDING_OAEP_SHA_256, 0, 0x00, TRUE },
  { "oaep-sha-256/any-message", PADDING_OAEP_SHA_256, SEPARATOR + 1, 0xff, TRUE },
  { "oaep-sha-256/any-seed", PADDING_OAEP_SHA_256, 32, 0x00, TRUE },
  { "oaep-sha-256/first-byte", PADDING_OAEP_SHA_256, 0, 0x80, FALSE },
  { "oaep-sha-256/first-byte-of-label-hash", PADDING_OAEP_SHA_256, 33, 0x00, FALSE },
  { "oaep-sha-256/last-byte-of-label-hash", PADDING_OAEP_SHA_256, 64, 0x00, FALSE },
  { "oaep-sha-256/first-of-padding", PADDING_OAEP_SHA_256, 65, 0x01, FALSE },
  { "oaep-sha-256/last-of-padding", PADDING_OAEP_SHA_256, SEPARATOR - 1, 0x80, FALSE },
  { "oaep-sha-256/no-separator", PADDING_OAEP_SHA_256, SEPARATOR, 0x00, FALSE },
  { "oaep-sha-256/other-separator", PADDING_OAEP_SHA_256, SEPARATOR, 0x03, FALSE },
};

/* A message that is searched for: the separator is put at @separator, all that follows is 5a, and then one byte is put
 * elsewhere than the padding has it. */
typedef struct
{
  const char *name;
  Padding padding;
  guint separator; /* 0: none */
  guint offset;
  guint8 value;
  guint message; /* where it begins; 0: refused */
} SearchCase;

static void
test_search (gconstpointer data)
{
  const SearchCase *c = data;
  guint8 block[BLOCK_SIZE];
  const EVP_MD *hash = hash_of (c->padding);
  gsize hash_size = (gsize) EVP_MD_get_size (hash);
  gsize offset;
  pad_oaep (block, hash);
  memset (block + 1 + 2 * hash_size, 0, BLOCK_SIZE - 1 - 2 * hash_size);
  if (c->separator > 0)
    {
      memset (block + c->separator, 0x5a, BLOCK_SIZE - c->separator);
      block[c->separator] = 0x01;
    }
  block[c->offset] = c->value;
  mask_oaep (block, hash);

  VALGRIND_MAKE_MEM_UNDEFINED (block, BLOCK_SIZE);
  gboolean good = cmk_unpad_oaep_any (block, BLOCK_SIZE, hash, &offset);
  VALGRIND_MAKE_MEM_DEFINED (&good, sizeof good);
  VALGRIND_MAKE_MEM_DEFINED (&offset, sizeof offset);
  VALGRIND_MAKE_MEM_DEFINED (block, BLOCK_SIZE);
  g_assert_cmpint (good, ==, c->message > 0);
  g_assert_cmpuint (offset, ==, c->message > 0 ? c->message : 1 + 2 * hash_size);
  if (c->message > 0)
    g_assert_cmpint (block[offset], ==, c->message == c->offset ? c->value : 0x5a);
}

static const SearchCase search_cases[] = {
  { "oaep-sha-1/well-formed", PADDING_OAEP_SHA_1, 100, 0, 0x00, 101 },
  { "oaep-sha-1/no-padding", PADDING_OAEP_SHA_1, 41, 0, 0x00, 42 },
  { "oaep-sha-1/one-byte", PADDING_OAEP_SHA_1, BLOCK_SIZE - 2, 0, 0x00, BLOCK_SIZE - 1 },
  { "oaep-sha-1/separator-in-message", PADDING_OAEP_SHA_1, 100, 101, 0x01, 101 },
  { "oaep-sha-1/empty", PADDING_OAEP_SHA_1, BLOCK_SIZE - 1, 0, 0x00, 0 },
  { "oaep-sha-1/no-separator", PADDING_OAEP_SHA_1, 0, 0, 0x00, 0 },
  { "oaep-sha-1/other-separator", PADDING_OAEP_SHA_1, 100, 100, 0x02, 0 },
  { "oaep-sha-1/byte-in-padding", PADDING_OAEP_SHA_1, 100, 41, 0x80, 0 },
  { "oaep-sha-1/byte-last-in-padding", PADDING_OAEP_SHA_1, 100, 99, 0x03, 0 },
  { "oaep-sha-1/first-byte", PADDING_OAEP_SHA_1, 100, 0, 0x01, 0 },
  { "oaep-sha-1/first-byte-of-label-hash", PADDING_OAEP_SHA_1, 100, 21, 0x00, 0 },
  { "oaep-sha-1/last-byte-of-label-hash", PADDING_OAEP_SHA_1, 100, 40, 0x00, 0 },

  { "oaep-sha-256/well-formed", PADDING_OAEP_SHA_256, 117, 0, 0x00, 118 },
  { "oaep-sha-256/no-padding", PADDING_OAEP_SHA_256, 65, 0, 0x00, 66 },
  { "oaep-sha-256/one-byte", PADDING_OAEP_SHA_256, BLOCK_SIZE - 2, 0, 0x00, BLOCK_SIZE - 1 },
  { "oaep-sha-256/empty", PADDING_OAEP_SHA_256, BLOCK_SIZE - 1, 0, 0x00, 0 },
  { "oaep-sha-256/no-separator", PADDING_OAEP_SHA_256, 0, 0, 0x00, 0 },
  { "oaep-sha-256/other-separator", PADDING_OAEP_SHA_256, 117, 117, 0x81, 0 },
  { "oaep-sha-256/byte-in-padding", PADDING_OAEP_SHA_256, 117, 65, 0x02, 0 },
  { "oaep-sha-256/first-byte", PADDING_OAEP_SHA_256, 117, 0, 0x80, 0 },
  { "oaep-sha-256/first-byte-of-label-hash", PADDING_OAEP_SHA_256, 117, 33, 0x00, 0 },
  { "oaep-sha-256/last-byte-of-label-hash", PADDING_OAEP_SHA_256, 117, 64, 0x00, 0 },
};

/* The last sixteen bytes are all @padding, then one of them, or one before them, is put elsewhere. */
typedef struct
{
  const char *name;
  guint size;
  guint8 padding;
  guint from_end;
  guint8 value;
  guint message_size; /* 0: refused */
} BlockCase;

static void
test_pkcs7 (gconstpointer data)
{
  const BlockCase *c = data;
  guint8 padded[48];
  gsize message_size;
  memset (padded, 0x5a, sizeof padded);
  memset (padded + c->size - 16, c->padding, 16);
  padded[c->size - c->from_end] = c->value;
  VALGRIND_MAKE_MEM_UNDEFINED (padded, c->size);
  gboolean good = cmk_unpad_pkcs7 (padded, c->size, &message_size);
  VALGRIND_MAKE_MEM_DEFINED (&good, sizeof good);
  VALGRIND_MAKE_MEM_DEFINED (&message_size, sizeof message_size);
  g_assert_cmpint (good, ==, c->message_size > 0);
  g_assert_cmpuint (message_size, ==, good ? c->message_size : c->size);
}

static const BlockCase block_cases[] = {
  { "pkcs7/one", 48, 1, 2, 0x5a, 47 },
  { "pkcs7/one-in-one-block", 16, 1, 2, 0x5a, 15 },
  { "pkcs7/seven", 32, 7, 8, 0x5a, 25 },
  { "pkcs7/fifteen", 16, 15, 16, 0x5a, 1 },
  { "pkcs7/sixteen", 48, 16, 17, 0x5a, 32 },
  { "pkcs7/sixteen-and-nothing-else", 16, 16, 16, 16, 0 },
  { "pkcs7/zero", 32, 0, 1, 0, 0 },
  { "pkcs7/seventeen", 48, 17, 1, 17, 0 },
  { "pkcs7/high-bit", 48, 0x90, 1, 0x90, 0 },
  { "pkcs7/byte-next-to-last", 32, 7, 2, 0x06, 0 },
  { "pkcs7/byte-first", 32, 7, 7, 0x87, 0 },
  { "pkcs7/byte-first-of-sixteen", 32, 16, 16, 0x00, 0 },
  { "pkcs7/more-padding-than-said", 32, 16, 1, 0x0f, 0 },
};

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_test_init (&argc, &argv, NULL);
  if (!cmk_crypto_init (&error))
    g_error ("%s", error->message);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/unpad/%s", cases[i].name);
      g_test_add_data_func (path, &cases[i], test_case);
    }
  for (guint i = 0; i < G_N_ELEMENTS (search_cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/unpad/any-length/%s", search_cases[i].name);
      g_test_add_data_func (path, &search_cases[i], test_search);
    }
  for (guint i = 0; i < G_N_ELEMENTS (block_cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/unpad/%s", block_cases[i].name);
      g_test_add_data_func (path, &block_cases[i], test_pkcs7);
    }
  return g_test_run ();
}
