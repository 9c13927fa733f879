/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoding of tags that docs/record-format.md writes down: one for one set of tags. */
#include "kms/tags.h"

#include "base/error.h"

static GTree *
make_tags (const char *const *texts) /* names and values, ended by NULL */
{
  GTree *tags = cmk_tags_new ();
  for (; *texts != NULL; texts += 2)
    g_tree_insert (tags, g_strdup (texts[0]), g_strdup (texts[1]));
  return tags;
}

typedef struct
{
  const char *name;
  const char *texts[7];
  const char *encoding; /* of @size bytes */
  gsize size;
} EncodingCase;

static const EncodingCase encodings[] = {
  { "/tags/encoding/none", { NULL }, "", 0 },
  { "/tags/encoding/one", { "team", "red" }, "\0\0\0\4team\0\0\0\3red", 15 },
  { "/tags/encoding/empty-value", { "x", "" }, "\0\0\0\1x\0\0\0\0", 9 },
  { "/tags/encoding/sorted-by-bytes",
    { "\xc3\xa4", "3", "b", "2", "B", "1" },
    "\0\0\0\1B\0\0\0\1"
    "1\0\0\0\1b\0\0\0\1"
    "2\0\0\0\2\xc3\xa4\0\0\0\1"
    "3",
    31 },
  { "/tags/encoding/the-later-of-a-name", { "x", "old", "x", "new" }, "\0\0\0\1x\0\0\0\3new", 12 },
};

static void
test_encoding (gconstpointer data)
{
  const EncodingCase *test = data;
  g_autoptr (GTree) tags = make_tags (test->texts);
  g_autoptr (GBytes) encoding = cmk_tags_encode (tags);
  g_assert_cmpmem (g_bytes_get_data (encoding, NULL), g_bytes_get_size (encoding), test->encoding, test->size);
}

static void
test_count (void)
{
  g_autoptr (GTree) tags = cmk_tags_new ();
  for (guint i = 0; i < 20; i++)
    g_tree_insert (tags, g_strdup_printf ("%u", i), g_strdup (""));
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_tags_check_count (tags, &error));
  g_tree_insert (tags, g_strdup ("7"), g_strdup ("again"));
  g_assert_true (cmk_tags_check_count (tags, &error));
  g_tree_insert (tags, g_strdup ("20"), g_strdup (""));
  g_assert_false (cmk_tags_check_count (tags, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_LIMIT_EXCEEDED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (encodings); i++)
    g_test_add_data_func (encodings[i].name, &encodings[i], test_encoding);
  g_test_add_func ("/tags/twenty-and-no-more", test_count);
  return g_test_run ();
}
