/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs that were kept, without libFuzzer: replay DIRECTORY... */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static guint
replay (const char *path)
{
  guint count = 0;
  const char *name;
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_autofree char *data = NULL;
      gsize size;
      g_assert_true (g_file_get_contents (file, &data, &size, NULL));
      (void) LLVMFuzzerTestOneInput ((const guint8 *) data, size);
      count++;
    }
  return count;
}

int
main (int argc, char **argv)
{
  guint count = 0;
  (void) LLVMFuzzerInitialize (&argc, &argv);
  for (int i = 1; i < argc; i++)
    count += replay (argv[i]);
  printf ("%u inputs\n", count);
  return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
