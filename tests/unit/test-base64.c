/* SPDX-License-Identifier: Apache-2.0 */
#include "base64.h"

#include <glib.h>
#include <string.h>

typedef struct
{
  const char *name;
  const char *plain;
  const char *text;
} Vector;

/* RFC 4648 section 10. */
static const Vector vectors[] = {
  { "/base64/rfc4648/empty", "", "" },
  { "/base64/rfc4648/f", "f", "Zg==" },
  { "/base64/rfc4648/fo", "fo", "Zm8=" },
  { "/base64/rfc4648/foo", "foo", "Zm9v" },
  { "/base64/rfc4648/foob", "foob", "Zm9vYg==" },
  { "/base64/rfc4648/fooba", "fooba", "Zm9vYmE=" },
  { "/base64/rfc4648/foobar", "foobar", "Zm9vYmFy" },
};

typedef struct
{
  const char *name;
  const char *text;
  gsize chars; /* 0: the length of the text */
} Refused;

static const Refused refused[] = {
  { "/base64/refuses/trailing-newline", "Zm9v\n", 0 },
  { "/base64/refuses/newline-in-a-full-quartet", "Zm9\n", 0 },
  { "/base64/refuses/leading-space", " Zm9", 0 },
  { "/base64/refuses/space-in-the-middle", "Zm9v Zm9", 0 },
  { "/base64/refuses/tab", "Zm9\t", 0 },
  { "/base64/refuses/missing-padding-of-two", "Zg", 0 },
  { "/base64/refuses/missing-padding-of-one", "Zm8", 0 },
  { "/base64/refuses/half-the-padding", "Zg=", 0 },
  { "/base64/refuses/one-character", "Z", 0 },
  { "/base64/refuses/too-much-padding", "Zg===", 0 },
  { "/base64/refuses/quartet-of-padding", "====", 0 },
  { "/base64/refuses/three-of-padding", "Z===", 0 },
  { "/base64/refuses/padding-after-a-full-text", "Zm9v====", 0 },
  { "/base64/refuses/padding-in-the-middle", "Zg==Zm9v", 0 },
  { "/base64/refuses/single-padding-in-the-middle", "Zm8=Zm9v", 0 },
  { "/base64/refuses/character-after-padding", "Zg=v", 0 },
  { "/base64/refuses/url-alphabet-minus", "Zm9-", 0 },
  { "/base64/refuses/url-alphabet-underscore", "Zm9_", 0 },
  { "/base64/refuses/four-trailing-bits", "Zh==", 0 },
  { "/base64/refuses/highest-of-four-trailing-bits", "Zo==", 0 },
  { "/base64/refuses/two-trailing-bits", "Zm9=", 0 },
  { "/base64/refuses/highest-of-two-trailing-bits", "Zm+=", 0 },
  { "/base64/refuses/nul-at-the-end", "Zm9\0", 4 },
  { "/base64/refuses/nul-in-the-middle", "Zm\0v", 4 },
  { "/base64/refuses/byte-above-ascii", "Zm9\xff", 0 },
  { "/base64/refuses/utf-8", "Zm\xc3\xa9", 0 },
  { "/base64/refuses/bad-character-in-the-first-of-many", "Z!9vZm9vZm9v", 0 },
};

static void
test_vector (gconstpointer data)
{
  const Vector *vector = data;
  char text[CMK_BASE64_CHARS (6) + 1];
  guint8 plain[CMK_BASE64_BYTES (8)];
  gsize size = G_MAXSIZE;

  cmk_base64_encode ((const guint8 *) vector->plain, strlen (vector->plain), text);
  g_assert_cmpstr (text, ==, vector->text);

  g_assert_true (cmk_base64_decode (vector->text, strlen (vector->text), plain, &size));
  g_assert_cmpmem (plain, size, vector->plain, strlen (vector->plain));
}

static void
test_refused (gconstpointer data)
{
  const Refused *bad = data;
  guint8 plain[32];
  gsize size = 4711;

  g_assert_false (cmk_base64_decode (bad->text, bad->chars != 0 ? bad->chars : strlen (bad->text), plain, &size));
  g_assert_cmpuint (size, ==, 4711);
}

/* Every byte value in every position, against another implementation. */
static void
test_round_trip (void)
{
  guint8 data[3 * 256];

  for (gsize i = 0; i < sizeof data; i++)
    data[i] = (guint8) (i * 7 + i / 256);

  for (gsize size = 0; size <= sizeof data; size++)
    {
      g_autofree char *expected = g_base64_encode (data, size);
      g_autofree char *text = g_malloc (CMK_BASE64_CHARS (size) + 1);
      g_autofree guint8 *back = g_malloc (CMK_BASE64_BYTES (CMK_BASE64_CHARS (size)) + 1);
      gsize back_size = G_MAXSIZE;

      cmk_base64_encode (data, size, text);
      g_assert_cmpstr (text, ==, size == 0 ? "" : expected);
      g_assert_cmpuint (strlen (text), ==, CMK_BASE64_CHARS (size));
      g_assert_true (cmk_base64_decode (text, strlen (text), back, &back_size));
      g_assert_cmpmem (back, back_size, data, size);
    }
}

/* All 256 characters in each position of a quartet: only the 64 of the alphabet pass. */
static void
test_alphabet (void)
{
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  for (gsize position = 0; position < 4; position++)
    for (guint c = 0; c < 256; c++)
      {
        char text[8] = { 'A', 'A', 'A', 'A', 'B', 'B', 'B', 'B' };
        guint8 plain[6];
        gsize size;

        text[position] = (char) c;
        g_assert_cmpint (cmk_base64_decode (text, sizeof text, plain, &size), ==,
                         memchr (alphabet, (int) c, sizeof alphabet - 1) != NULL);
      }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (vectors); i++)
    g_test_add_data_func (vectors[i].name, &vectors[i], test_vector);
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    g_test_add_data_func (refused[i].name, &refused[i], test_refused);
  g_test_add_func ("/base64/round-trip-agrees-with-glib", test_round_trip);
  g_test_add_func ("/base64/only-the-alphabet-passes", test_alphabet);

  return g_test_run ();
}
