/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sm2.h"

#include "base/error.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <string.h>

#define COORDINATE_SIZE 32
#define DIGEST_SIZE     32
#define RAW_FIRST_BYTE  0x04 /* an uncompressed point; a DER SEQUENCE begins with 30 */

/* What both forms hold. */
typedef struct
{
  guint8 x[COORDINATE_SIZE];
  guint8 y[COORDINATE_SIZE];
  guint8 c3[DIGEST_SIZE];
  const guint8 *c2; /* in what was read */
  gsize c2_size;
} Ciphertext;

/* --- ASN.1 --- */

/* The contents of an INTEGER: no leading zeros but the one that keeps it positive. */
static gsize
put_integer (guint8 *ret_contents, const guint8 value[COORDINATE_SIZE])
{
  gsize skipped = 0;
  while (skipped < COORDINATE_SIZE - 1 && value[skipped] == 0)
    skipped++;
  gsize padding = value[skipped] >= 0x80 ? 1 : 0;
  ret_contents[0] = 0;
  memcpy (ret_contents + padding, value + skipped, COORDINATE_SIZE - skipped);
  return COORDINATE_SIZE - skipped + padding;
}

static void
put_value (guint8 **next, int tag, const guint8 *contents, gsize size)
{
  ASN1_put_object (next, 0, (int) size, tag, V_ASN1_UNIVERSAL);
  memcpy (*next, contents, size);
  *next += size;
}

/* The one DER encoding of @ciphertext. */
static guint8 *
encode_der (const Ciphertext *ciphertext, gsize *ret_size)
{
  guint8 x[COORDINATE_SIZE + 1], y[COORDINATE_SIZE + 1];
  gsize x_size = put_integer (x, ciphertext->x);
  gsize y_size = put_integer (y, ciphertext->y);
  int contents_size = ASN1_object_size (0, (int) x_size, V_ASN1_INTEGER) +
                      ASN1_object_size (0, (int) y_size, V_ASN1_INTEGER) +
                      ASN1_object_size (0, DIGEST_SIZE, V_ASN1_OCTET_STRING) +
                      ASN1_object_size (0, (int) ciphertext->c2_size, V_ASN1_OCTET_STRING);
  *ret_size = (gsize) ASN1_object_size (1, contents_size, V_ASN1_SEQUENCE);
  guint8 *der = g_malloc (*ret_size);
  guint8 *next = der;
  ASN1_put_object (&next, 1, contents_size, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
  put_value (&next, V_ASN1_INTEGER, x, x_size);
  put_value (&next, V_ASN1_INTEGER, y, y_size);
  put_value (&next, V_ASN1_OCTET_STRING, ciphertext->c3, DIGEST_SIZE);
  put_value (&next, V_ASN1_OCTET_STRING, ciphertext->c2, ciphertext->c2_size);
  return der;
}

/* Step over the head of a value that ends before @end; FALSE if there is none. */
static gboolean
enter_value (const guint8 **next, const guint8 *end, gsize *ret_size)
{
  long size;
  int tag, class;
  if (*next >= end || (ASN1_get_object (next, &size, &tag, &class, end - *next) & 0x80) != 0)
    return FALSE;
  *ret_size = (gsize) size;
  return TRUE;
}

static gboolean
take_value (const guint8 **next, const guint8 *end, guint8 *ret_value, gsize value_size)
{
  gsize size;
  if (!enter_value (next, end, &size))
    return FALSE;
  const guint8 *contents = *next;
  *next += size;
  while (size > value_size && *contents == 0)
    {
      contents++;
      size--;
    }
  if (size > value_size)
    return FALSE;
  memset (ret_value, 0, value_size - size);
  memcpy (ret_value + value_size - size, contents, size);
  return TRUE;
}

/* Lengths are believed and tags not even looked at: what is no DER, or another structure, does not become the same
 * bytes when it is encoded again. */
static gsize
read_der (const guint8 *data, gsize size, Ciphertext *ret_ciphertext)
{
  const guint8 *next = data;
  const guint8 *end = data + size;
  gsize contents_size, encoded_size;
  if (!enter_value (&next, end, &contents_size) || !take_value (&next, end, ret_ciphertext->x, COORDINATE_SIZE) ||
      !take_value (&next, end, ret_ciphertext->y, COORDINATE_SIZE) ||
      !take_value (&next, end, ret_ciphertext->c3, DIGEST_SIZE) || !enter_value (&next, end, &ret_ciphertext->c2_size))
    return 0;
  ret_ciphertext->c2 = next;
  g_autofree guint8 *encoded = encode_der (ret_ciphertext, &encoded_size);
  return encoded_size <= size && memcmp (encoded, data, encoded_size) == 0 ? encoded_size : 0;
}

/* --- either form --- */

static gsize
read_raw (const guint8 *data, gsize size, Ciphertext *ret_ciphertext)
{
  const guint8 *next = data + 1;
  memcpy (ret_ciphertext->x, next, COORDINATE_SIZE);
  memcpy (ret_ciphertext->y, next + COORDINATE_SIZE, COORDINATE_SIZE);
  memcpy (ret_ciphertext->c3, next + 2 * COORDINATE_SIZE, DIGEST_SIZE);
  ret_ciphertext->c2 = data + CMK_SM2_RAW_OVERHEAD;
  ret_ciphertext->c2_size = size - CMK_SM2_RAW_OVERHEAD;
  return size;
}

/* How many of the @size bytes at @data are the ciphertext that begins there: of the raw form, which does not say where
 * it ends, all. 0 if there is none, or none that holds anything. */
static gsize
read_ciphertext (const guint8 *data, gsize size, Ciphertext *ret_ciphertext)
{
  /* OpenSSL counts in int, and nothing that large is ever sent. */
  if (size <= CMK_SM2_RAW_OVERHEAD || size > G_MAXINT / 2)
    return 0;
  gsize taken =
      data[0] == RAW_FIRST_BYTE ? read_raw (data, size, ret_ciphertext) : read_der (data, size, ret_ciphertext);
  ERR_clear_error ();
  return ret_ciphertext->c2_size > 0 ? taken : 0;
}

gsize
cmk_sm2_ciphertext_size (const guint8 *data, gsize size, gsize plaintext_size)
{
  Ciphertext ciphertext = { .c2_size = 0 };
  if (size > 0 && data[0] == RAW_FIRST_BYTE)
    return size >= CMK_SM2_RAW_OVERHEAD + plaintext_size ? CMK_SM2_RAW_OVERHEAD + plaintext_size : 0;
  gsize taken = read_ciphertext (data, size, &ciphertext);
  return ciphertext.c2_size == plaintext_size ? taken : 0;
}

/* That the point is on the curve, and C3 the digest, is checked by OpenSSL. */
static gboolean
decrypt (EVP_PKEY *key, const Ciphertext *ciphertext, CmkSecret *plaintext)
{
  gsize der_size;
  gsize plaintext_size = cmk_secret_length (plaintext);
  g_autofree guint8 *der = encode_der (ciphertext, &der_size);
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, key, NULL);
  return context != NULL && EVP_PKEY_decrypt_init (context) == 1 &&
         EVP_PKEY_decrypt (context, cmk_secret_data (plaintext), &plaintext_size, der, der_size) == 1 &&
         plaintext_size == cmk_secret_length (plaintext);
}

CmkSecret *
cmk_sm2_decrypt (EVP_PKEY *key, const guint8 *data, gsize size, GError **error)
{
  Ciphertext ciphertext = { .c2_size = 0 };
  g_autoptr (CmkSecret) plaintext = NULL;
  if (read_ciphertext (data, size, &ciphertext) == size && size > 0)
    {
      plaintext = cmk_secret_new (ciphertext.c2_size, error);
      if (plaintext == NULL)
        return NULL;
    }
  gboolean decrypted = plaintext != NULL && decrypt (key, &ciphertext, plaintext);
  ERR_clear_error ();
  if (!decrypted)
    {
      g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INCORRECT_KEY_MATERIAL, "not an SM2 ciphertext for this key");
      return NULL;
    }
  return g_steal_pointer (&plaintext);
}

GBytes *
cmk_sm2_encrypt (EVP_PKEY *key, const CmkSecret *plaintext, GError **error)
{
  gsize size = cmk_secret_length (plaintext);
  gsize der_size = 0;
  g_autofree guint8 *der = NULL;
  Ciphertext ciphertext = { .c2_size = 0 };
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (NULL, key, NULL);
  gboolean encrypted = context != NULL && EVP_PKEY_encrypt_init (context) == 1 &&
                       EVP_PKEY_encrypt (context, NULL, &der_size, cmk_secret_peek (plaintext), size) == 1;
  if (encrypted)
    {
      der = g_malloc (der_size);
      encrypted = EVP_PKEY_encrypt (context, der, &der_size, cmk_secret_peek (plaintext), size) == 1 &&
                  read_ciphertext (der, der_size, &ciphertext) == der_size;
    }
  if (!cmk_openssl_ok (encrypted, "cannot encrypt with SM2", error))
    return NULL;
  g_autoptr (GByteArray) raw = g_byte_array_sized_new ((guint) (CMK_SM2_RAW_OVERHEAD + size));
  g_byte_array_append (raw, (const guint8[]) { RAW_FIRST_BYTE }, 1);
  g_byte_array_append (raw, ciphertext.x, COORDINATE_SIZE);
  g_byte_array_append (raw, ciphertext.y, COORDINATE_SIZE);
  g_byte_array_append (raw, ciphertext.c3, DIGEST_SIZE);
  g_byte_array_append (raw, ciphertext.c2, (guint) ciphertext.c2_size);
  return g_byte_array_free_to_bytes (g_steal_pointer (&raw));
}
