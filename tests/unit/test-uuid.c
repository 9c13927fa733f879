/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <string.h>

typedef struct
{
  const char *name;
  const char *text;
  gboolean valid;
} ParseCase;

static const ParseCase parse_cases[] = {
  { "/uuid/parse/canonical", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9", TRUE },
  { "/uuid/parse/all-zero", "00000000-0000-0000-0000-000000000000", TRUE },
  { "/uuid/parse/refuses-upper-case", "0A1B2C3D-4E5F-4071-8293-A4B5C6D7E8F9", FALSE },
  { "/uuid/parse/refuses-one-upper-case-digit", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8F9", FALSE },
  { "/uuid/parse/refuses-empty", "", FALSE },
  { "/uuid/parse/refuses-one-short", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f", FALSE },
  { "/uuid/parse/refuses-one-long", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f90", FALSE },
  { "/uuid/parse/refuses-braces", "{a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f}", FALSE },
  { "/uuid/parse/refuses-no-dashes", "0a1b2c3d04e5f040710829300a4b5c6d7e8f", FALSE },
  { "/uuid/parse/refuses-dash-among-digits", "0a1b2c3--4e5f-4071-8293-a4b5c6d7e8f9", FALSE },
  { "/uuid/parse/refuses-not-hexadecimal", "0a1b2c3g-4e5f-4071-8293-a4b5c6d7e8f9", FALSE },
  { "/uuid/parse/refuses-leading-space", " a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9", FALSE },
  { "/uuid/parse/refuses-newline-at-the-end", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f\n", FALSE },
  { "/uuid/parse/refuses-other-scripts-digits", "٠a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f", FALSE },
};

static void
test_parse (gconstpointer data)
{
  const ParseCase *test = data;
  CmkUuid uuid;
  memset (&uuid, 0x5a, sizeof uuid);
  g_assert_cmpint (cmk_uuid_parse (test->text, &uuid), ==, test->valid);
  if (test->valid)
    {
      char text[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (&uuid, text);
      g_assert_cmpstr (text, ==, test->text);
      return;
    }
  for (gsize i = 0; i < sizeof uuid.bytes; i++)
    g_assert_cmphex (uuid.bytes[i], ==, 0x5a);
}

static void
test_bytes (void)
{
  static const guint8 expected[16] = { 0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f, 0x40, 0x71,
                                       0x82, 0x93, 0xa4, 0xb5, 0xc6, 0xd7, 0xe8, 0xf9 };
  CmkUuid uuid;
  g_assert_true (cmk_uuid_parse ("0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9", &uuid));
  g_assert_cmpmem (uuid.bytes, sizeof uuid.bytes, expected, sizeof expected);
}

static void
test_new (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (cmk_uuid_hash, cmk_uuid_equal_func, g_free, NULL);
  for (guint i = 0; i < 10000; i++)
    {
      CmkUuid uuid = cmk_uuid_new ();
      g_assert_cmphex (uuid.bytes[6] >> 4, ==, 4);
      g_assert_cmphex (uuid.bytes[8] >> 6, ==, 2);
      g_assert_true (g_hash_table_add (seen, g_memdup2 (&uuid, sizeof uuid)));
    }
}

static void
test_equal (void)
{
  CmkUuid a = cmk_uuid_new ();
  for (gsize i = 0; i < sizeof a.bytes; i++)
    {
      CmkUuid b = a;
      g_assert_true (cmk_uuid_equal (&a, &b));
      b.bytes[i] ^= 1;
      g_assert_false (cmk_uuid_equal (&a, &b));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (parse_cases); i++)
    g_test_add_data_func (parse_cases[i].name, &parse_cases[i], test_parse);
  g_test_add_func ("/uuid/parse/fills-bytes-in-order", test_bytes);
  g_test_add_func ("/uuid/new/is-random-version-4", test_new);
  g_test_add_func ("/uuid/equal/sees-every-byte", test_equal);
  return g_test_run ();
}
