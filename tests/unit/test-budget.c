/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "kms/budget.h"

#define ALICE 1000
#define BOB   1001

typedef struct
{
  CmkBudgets *budgets;
  CmkUuid key, other_key;
  gint64 now;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer per_minute)
{
  fixture->budgets = cmk_budgets_new (GPOINTER_TO_UINT (per_minute), G_TIME_SPAN_MINUTE, "too much", "ThisPerMinute");
  fixture->key = cmk_uuid_new ();
  fixture->other_key = cmk_uuid_new ();
  fixture->now = 1000 * G_TIME_SPAN_HOUR;
}

static void
tear_down (Fixture *fixture, G_GNUC_UNUSED gconstpointer per_minute)
{
  cmk_budgets_free (fixture->budgets);
}

static void
assert_charged (Fixture *fixture, const CmkUuid *key, guint32 uid)
{
  g_autoptr (GError) error = NULL;
  g_assert_true (cmk_budgets_charge (fixture->budgets, key, uid, fixture->now, &error));
  g_assert_no_error (error);
}

/* And says that another try is worth making in @seconds. */
static void
assert_throttled (Fixture *fixture, const CmkUuid *key, guint32 uid, guint seconds)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *when = g_strdup_printf (
      "too much: try again in %u seconds; an administrator can raise ThisPerMinute= in cmkd.conf", seconds);
  g_assert_false (cmk_budgets_charge (fixture->budgets, key, uid, fixture->now, &error));
  g_assert_error (error, CMK_ERROR, CMK_ERROR_THROTTLED);
  g_assert_cmpstr (error->message, ==, when);
}

static void
test_limit (Fixture *fixture, gconstpointer per_minute)
{
  for (guint i = 0; i < GPOINTER_TO_UINT (per_minute); i++)
    assert_charged (fixture, &fixture->key, ALICE);
  assert_throttled (fixture, &fixture->key, ALICE, 60 / GPOINTER_TO_UINT (per_minute));
}

static void
test_apart (Fixture *fixture, gconstpointer per_minute)
{
  test_limit (fixture, per_minute);
  assert_charged (fixture, &fixture->key, BOB);
  assert_charged (fixture, &fixture->other_key, ALICE);
  assert_charged (fixture, NULL, ALICE);
}

static void
test_no_key (Fixture *fixture, gconstpointer per_minute)
{
  for (guint i = 0; i < GPOINTER_TO_UINT (per_minute); i++)
    assert_charged (fixture, NULL, ALICE);
  assert_throttled (fixture, NULL, ALICE, 12);
  assert_charged (fixture, NULL, BOB);
  cmk_budgets_refund (fixture->budgets, NULL, ALICE);
  assert_charged (fixture, NULL, ALICE);
}

static void
test_any_used (Fixture *fixture, G_GNUC_UNUSED gconstpointer per_minute)
{
  g_assert_false (cmk_budgets_any_used (fixture->budgets, fixture->now));
  assert_charged (fixture, NULL, ALICE);
  fixture->now += 12 * G_TIME_SPAN_SECOND - 1;
  g_assert_true (cmk_budgets_any_used (fixture->budgets, fixture->now));
  g_assert_false (cmk_budgets_any_used (fixture->budgets, fixture->now + 1));
}

static void
test_refill (Fixture *fixture, gconstpointer per_minute)
{
  test_limit (fixture, per_minute);
  fixture->now += 12 * G_TIME_SPAN_SECOND - 1;
  assert_throttled (fixture, &fixture->key, ALICE, 1);
  fixture->now += 1;
  assert_charged (fixture, &fixture->key, ALICE);
  assert_throttled (fixture, &fixture->key, ALICE, 12);
  fixture->now += G_TIME_SPAN_DAY; /* no more than a minute's worth gathers */
  test_limit (fixture, per_minute);
}

static void
test_refund (Fixture *fixture, G_GNUC_UNUSED gconstpointer per_minute)
{
  for (guint i = 0; i < 100; i++)
    {
      assert_charged (fixture, &fixture->key, ALICE);
      cmk_budgets_refund (fixture->budgets, &fixture->key, ALICE);
    }
}

/* What is forgotten to make room is full buckets only. */
static void
test_many (Fixture *fixture, gconstpointer per_minute)
{
  test_limit (fixture, per_minute);
  for (guint i = 0; i < 5000; i++)
    {
      CmkUuid key = cmk_uuid_new ();
      assert_charged (fixture, &key, ALICE);
      cmk_budgets_refund (fixture->budgets, &key, ALICE);
    }
  assert_throttled (fixture, &fixture->key, ALICE, 12);
}

static void
test_no_limit (Fixture *fixture, G_GNUC_UNUSED gconstpointer per_minute)
{
  for (guint i = 0; i < 10000; i++)
    assert_charged (fixture, &fixture->key, ALICE);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    guint per_minute;
    void (*test) (Fixture *, gconstpointer);
  } cases[] = {
    { "/budget/a-minute-s-worth-and-no-more", 5, test_limit },
    { "/budget/keys-and-callers-apart", 5, test_apart },
    { "/budget/of-a-caller-for-all-keys", 5, test_no_key },
    { "/budget/used-until-it-is-full-again", 5, test_any_used },
    { "/budget/come-back-with-time", 5, test_refill },
    { "/budget/what-is-given-back-is-not-counted", 5, test_refund },
    { "/budget/many-keys-hide-nothing", 5, test_many },
    { "/budget/zero-is-no-limit", 0, test_no_limit },
  };
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_test_add (cases[i].name, Fixture, GUINT_TO_POINTER (cases[i].per_minute), set_up, cases[i].test, tear_down);
  return g_test_run ();
}
