/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/turns.h"

#include <glib.h>

static void
add_all (CmkTurns *turns, guint32 uid, const char *letters)
{
  for (const char *letter = letters; *letter != '\0'; letter++)
    cmk_turns_add (turns, uid, GINT_TO_POINTER (*letter));
}

static void
assert_taken (CmkTurns *turns, const char *letters)
{
  for (const char *letter = letters; *letter != '\0'; letter++)
    g_assert_cmpint (GPOINTER_TO_INT (cmk_turns_take (turns)), ==, *letter);
}

static void
test_users_take_turns (void)
{
  CmkTurns *turns = cmk_turns_new ();
  add_all (turns, 1, "abcdef");
  add_all (turns, 2, "xy");
  add_all (turns, 0, "1");
  assert_taken (turns, "ax1byc");
  g_assert_false (cmk_turns_is_empty (turns));
  assert_taken (turns, "def");
  g_assert_true (cmk_turns_is_empty (turns));
  g_assert_null (cmk_turns_take (turns));
  cmk_turns_free (turns);
}

static void
test_newcomer_waits_for_one_of_each (void)
{
  CmkTurns *turns = cmk_turns_new ();
  add_all (turns, 1, "abc");
  add_all (turns, 2, "xyz");
  assert_taken (turns, "ax");
  add_all (turns, 3, "!");
  assert_taken (turns, "by!cz");
  cmk_turns_free (turns);
}

static void
test_what_is_left_goes_with_it (void)
{
  CmkTurns *turns = cmk_turns_new ();
  add_all (turns, 1, "abc");
  add_all (turns, 2, "x");
  cmk_turns_free (turns);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/turns/users-take-turns", test_users_take_turns);
  g_test_add_func ("/turns/newcomer-waits-for-one-of-each", test_newcomer_waits_for_one_of_each);
  g_test_add_func ("/turns/what-is-left-goes-with-it", test_what_is_left_goes_with_it);
  return g_test_run ();
}
