/* SPDX-License-Identifier: Apache-2.0
 *
 * What `cmkctl status` finds out of the machine: trees that look like /proc and /sys of some. */
#include "surroundings.h"

#include "exit-code.h"

#include <glib.h>
#include <glib/gstdio.h>

typedef struct
{
  const char *name;
  const char *files[9]; /* paths, each before its content; a path that ends in / is a directory */
  const char *found[3]; /* a part of each text */
} Machine;

#define SWAP_HEAD "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static const Machine machines[] = {
  { "nothing-is-known", { NULL }, { NULL } },
  { "no-swap", { "proc/swaps", SWAP_HEAD }, { NULL } },
  { "swap-partition", { "proc/swaps", SWAP_HEAD "/dev/sda2  partition 1 0 -2\n" }, { "swap on /dev/sda2", NULL } },
  { "compressed-memory", { "proc/swaps", SWAP_HEAD "/dev/zram0 partition 1 0 100\n" }, { NULL } },
  { "encrypted-swap",
    { "proc/swaps", SWAP_HEAD "/dev/dm-1 partition 1 0 -2\n", "sys/class/block/dm-1/dm/uuid", "CRYPT-PLAIN-swap\n" },
    { NULL } },
  { "volume-on-an-encrypted-disk",
    { "proc/swaps", SWAP_HEAD "/dev/dm-2 partition 1 0 -2\n", "sys/class/block/dm-2/dm/uuid", "LVM-x\n",
      "sys/class/block/dm-2/slaves/dm-0/", "", "sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-x\n" },
    { NULL } },
  { "volume-on-two-disks-of-which-one-is-encrypted",
    { "proc/swaps", SWAP_HEAD "/dev/dm-2 partition 1 0 -2\n", "sys/class/block/dm-2/slaves/dm-0/", "",
      "sys/class/block/dm-2/slaves/sdb/", "", "sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-x\n" },
    { "swap on /dev/dm-2", NULL } },
  { "second-of-two",
    { "proc/swaps", SWAP_HEAD "/dev/zram0 partition 1 0 100\n/dev/sda2 partition 1 0 -2\n" },
    { "swap on /dev/sda2", NULL } },
  { "hibernation",
    { "proc/swaps", SWAP_HEAD "/dev/sda2 partition 1 0 -2\n", "sys/power/state", "freeze mem disk\n", "sys/power/disk",
      "[platform] shutdown reboot\n" },
    { "swap on /dev/sda2", "hibernate to /dev/sda2", NULL } },
  { "hibernation-that-the-kernel-forbids",
    { "proc/swaps", SWAP_HEAD "/dev/sda2 partition 1 0 -2\n", "sys/power/state", "freeze mem disk\n", "sys/power/disk",
      "[disabled]\n" },
    { "swap on /dev/sda2", NULL } },
};

/* Of cmkctl, which prints. */
int
cmk_fail (int code, const char *format, ...)
{
  (void) format;
  return code;
}

static char *
build (const Machine *machine)
{
  char *root = g_dir_make_tmp ("cmkd-surroundings-XXXXXX", NULL);
  for (gsize i = 0; machine->files[i] != NULL; i += 2)
    {
      g_autofree char *path = g_build_filename (root, machine->files[i], NULL);
      g_autofree char *directory = g_path_get_dirname (path);
      g_assert_cmpint (g_mkdir_with_parents (directory, 0700), ==, 0);
      if (g_str_has_suffix (machine->files[i], "/"))
        g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
      else
        g_assert_true (g_file_set_contents (path, machine->files[i + 1], -1, NULL));
    }
  return root;
}

static void delete (const char *root)
{
  const char *const command[] = { "rm", "-r", root, NULL };
  g_assert_true (g_spawn_sync (NULL, (char **) command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
}

static void
test_machine (gconstpointer data)
{
  const Machine *machine = data;
  g_autofree char *root = build (machine);
  CmkValue list = { .kind = CMK_VALUE_LIST };
  gsize n_found = 0;

  cmk_surroundings_add (root, &list);
  for (; machine->found[n_found] != NULL; n_found++)
    {
      g_assert_cmpuint (n_found, <, list.n_items);
      g_assert_nonnull (strstr (list.items[n_found].string, machine->found[n_found]));
    }
  g_assert_cmpuint (list.n_items, ==, n_found);
  cmk_value_clear (&list);
  delete (root);
}

static void
test_quota (void)
{
  static const Machine machine = { .files = { "proc/key-users", "    0:    84 83/83 70/1000000 1371/25000000\n"
                                                                "  998:     5 5/5 5/200 612/20000\n" } };
  g_autofree char *root = build (&machine);
  g_autofree char *found = cmk_surroundings_find_quota (root, 998);
  g_assert_cmpstr (found, ==, "5 of 200 keys, 612 of 20000 bytes");
  g_assert_null (cmk_surroundings_find_quota (root, 99));
  g_assert_null (cmk_surroundings_find_quota ("/nowhere", 998));
  delete (root);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (machines); i++)
    {
      g_autofree char *path = g_strconcat ("/surroundings/", machines[i].name, NULL);
      g_test_add_data_func (path, &machines[i], test_machine);
    }
  g_test_add_func ("/surroundings/quota", test_quota);
  return g_test_run ();
}
