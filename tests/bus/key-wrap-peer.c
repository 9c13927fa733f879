/* SPDX-License-Identifier: Apache-2.0
 *
 *     key-wrap-peer sha1|sha256 PUBLIC_KEY_DER MATERIAL >BLOB
 *
 * Wraps by CKM_RSA_AES_KEY_WRAP of PKCS#11 what is in a file: RSA-OAEP of a fresh AES-256 key, MGF1 with the same hash,
 * and right after it RFC 5649 with that key. All of it is libgcrypt's, which shares no code with OpenSSL. */
#include <gcrypt.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#define AES_KEY_SIZE 32

static void
check (gcry_error_t status, const char *what)
{
  if (status != 0)
    g_error ("%s: %s", what, gcry_strerror (status));
}

/* Step into the next DER value, which has this tag. */
static gsize
enter (const guint8 **next, const guint8 *end, guint8 tag)
{
  if (end - *next < 2 || (*next)[0] != tag)
    g_error ("no RSA public key in DER (SubjectPublicKeyInfo)");
  gsize size = (*next)[1];
  *next += 2;
  if (size >= 0x80)
    {
      guint n_bytes = size & 0x7f;
      for (size = 0; n_bytes > 0 && *next < end; n_bytes--)
        size = size << 8 | *(*next)++;
    }
  if (size > (gsize) (end - *next))
    g_error ("the public key is cut short");
  return size;
}

static gcry_mpi_t
take_integer (const guint8 **next, const guint8 *end)
{
  gcry_mpi_t number;
  gsize size = enter (next, end, 0x02);
  check (gcry_mpi_scan (&number, GCRYMPI_FMT_USG, *next, size, NULL), "cannot take a number");
  *next += size;
  return number;
}

static gcry_sexp_t
new_public_key (const char *path, gsize *ret_modulus_size)
{
  g_autofree char *der = NULL;
  gsize size;
  if (!g_file_get_contents (path, &der, &size, NULL))
    g_error ("cannot read %s", path);
  const guint8 *next = (const guint8 *) der;
  const guint8 *end = next + size;
  enter (&next, end, 0x30);
  next += enter (&next, end, 0x30); /* the algorithm: the numbers tell that it is RSA */
  enter (&next, end, 0x03);
  next++; /* no unused bits */
  enter (&next, end, 0x30);
  gcry_mpi_t modulus = take_integer (&next, end);
  gcry_mpi_t exponent = take_integer (&next, end);
  gcry_sexp_t key;
  check (gcry_sexp_build (&key, NULL, "(public-key (rsa (n %m) (e %m)))", modulus, exponent), "cannot make the key");
  *ret_modulus_size = gcry_mpi_get_nbits (modulus) / 8;
  gcry_mpi_release (modulus);
  gcry_mpi_release (exponent);
  return key;
}

static void
write_encrypted_key (gcry_sexp_t public_key, gsize modulus_size, const char *hash, const guint8 key[AES_KEY_SIZE])
{
  gcry_sexp_t data, encrypted;
  check (gcry_sexp_build (&data, NULL, "(data (flags oaep) (hash-algo %s) (value %b))", hash, AES_KEY_SIZE, key),
         "cannot prepare to encrypt");
  check (gcry_pk_encrypt (&encrypted, data, public_key), "cannot encrypt");
  gcry_sexp_t token = gcry_sexp_find_token (encrypted, "a", 0);
  gcry_mpi_t number = gcry_sexp_nth_mpi (token, 1, GCRYMPI_FMT_USG);
  g_autofree guint8 *bytes = g_malloc (modulus_size);
  gsize size;
  check (gcry_mpi_print (GCRYMPI_FMT_USG, bytes, modulus_size, &size, number), "cannot take the ciphertext");
  for (gsize missing = modulus_size - size; missing > 0; missing--)
    putchar (0);
  fwrite (bytes, 1, size, stdout);
  gcry_mpi_release (number);
  gcry_sexp_release (token);
  gcry_sexp_release (encrypted);
  gcry_sexp_release (data);
}

static void
write_wrapped (const guint8 key[AES_KEY_SIZE], const char *path)
{
  g_autofree char *material = NULL;
  gsize size;
  if (!g_file_get_contents (path, &material, &size, NULL))
    g_error ("cannot read %s", path);
  gsize wrapped_size = 8 + (size + 7) / 8 * 8;
  g_autofree guint8 *wrapped = g_malloc (wrapped_size);
  gcry_cipher_hd_t cipher;
  check (gcry_cipher_open (&cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_AESWRAP, GCRY_CIPHER_EXTENDED), "no key wrap");
  check (gcry_cipher_setkey (cipher, key, AES_KEY_SIZE), "cannot set the key");
  check (gcry_cipher_encrypt (cipher, wrapped, wrapped_size, material, size), "cannot wrap");
  gcry_cipher_close (cipher);
  fwrite (wrapped, 1, wrapped_size, stdout);
}

int
main (int argc, char **argv)
{
  if (argc != 4)
    return EXIT_FAILURE;
  if (gcry_check_version (GCRYPT_VERSION) == NULL)
    g_error ("libgcrypt is older than its header");
  gcry_control (GCRYCTL_DISABLE_SECMEM, 0);
  gcry_control (GCRYCTL_INITIALIZATION_FINISHED, 0);
  guint8 key[AES_KEY_SIZE];
  gcry_randomize (key, sizeof key, GCRY_STRONG_RANDOM);
  gsize modulus_size;
  gcry_sexp_t public_key = new_public_key (argv[2], &modulus_size);
  write_encrypted_key (public_key, modulus_size, argv[1], key);
  write_wrapped (key, argv[3]);
  gcry_sexp_release (public_key);
  return fflush (stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
