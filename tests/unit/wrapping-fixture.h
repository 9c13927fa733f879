/* SPDX-License-Identifier: Apache-2.0
 *
 * What an importer does with a temporary key, from the text of RFC 3394 and RFC 5649: nothing here is shared with what
 * is tested but the block cipher. */
#pragma once

#include <glib.h>
#include <openssl/evp.h>
#include <string.h>

static inline GBytes *
bytes_of_hex (const char *hex)
{
  gsize size = strlen (hex) / 2;
  guint8 *bytes = g_malloc (size);
  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return g_bytes_new_take (bytes, size);
}

static inline GBytes *
encrypt_ecb (const EVP_CIPHER *cipher, const guint8 *key, const guint8 *data, gsize size)
{
  int length;
  guint8 *encrypted = g_malloc (size);
  EVP_CIPHER_CTX *encryption = EVP_CIPHER_CTX_new ();
  g_assert_cmpint (EVP_EncryptInit_ex2 (encryption, cipher, key, NULL, NULL), ==, 1);
  g_assert_cmpint (EVP_CIPHER_CTX_set_padding (encryption, 0), ==, 1);
  g_assert_cmpint (EVP_EncryptUpdate (encryption, encrypted, &length, data, (int) size), ==, 1);
  g_assert_cmpint (length, ==, size);
  EVP_CIPHER_CTX_free (encryption);
  return g_bytes_new_take (encrypted, size);
}

/* The W of RFC 3394, 2.2.1. */
static inline GBytes *
wrap_key_with_iv (const EVP_CIPHER *cipher, const guint8 *key, const guint8 iv[8], const guint8 *data, gsize size)
{
  guint8 *wrapped = g_malloc (size + 8);
  memcpy (wrapped, iv, 8);
  memcpy (wrapped + 8, data, size);
  for (guint64 round = 0, step = 1; round < 6; round++)
    for (guint8 *next = wrapped + 8; next < wrapped + 8 + size; next += 8, step++)
      {
        guint8 block[16];
        memcpy (block, wrapped, 8);
        memcpy (block + 8, next, 8);
        g_autoptr (GBytes) encrypted = encrypt_ecb (cipher, key, block, sizeof block);
        const guint8 *output = g_bytes_get_data (encrypted, NULL);
        for (guint i = 0; i < 8; i++)
          wrapped[i] = output[i] ^ (guint8) (step >> (56 - 8 * i));
        memcpy (next, output + 8, 8);
      }
  return g_bytes_new_take (wrapped, size + 8);
}

/* RFC 3394 */
static inline GBytes *
wrap_key_unpadded (const EVP_CIPHER *cipher, const guint8 *key, const guint8 *data, gsize size)
{
  static const guint8 iv[8] = { 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6 };
  return wrap_key_with_iv (cipher, key, iv, data, size);
}

/* RFC 5649. @aiv NULL is the one of the RFC. */
static inline GBytes *
wrap_key (const EVP_CIPHER *cipher, const guint8 *key, const guint8 *aiv, const guint8 *data, gsize size)
{
  static const guint8 of_rfc[4] = { 0xa6, 0x59, 0x59, 0xa6 };
  gsize padded_size = (size + 7) / 8 * 8;
  g_autofree guint8 *padded = g_malloc0 (8 + padded_size);
  guint32 length = GUINT32_TO_BE ((guint32) size);
  memcpy (padded, aiv != NULL ? aiv : of_rfc, 4);
  memcpy (padded + 4, &length, 4);
  memcpy (padded + 8, data, size);
  return padded_size == 8 ? encrypt_ecb (cipher, key, padded, 16)
                          : wrap_key_with_iv (cipher, key, padded, padded + 8, padded_size);
}
