/* SPDX-License-Identifier: Apache-2.0
 *
 * Also run under valgrind, with what is compared marked as undefined: then a branch or an index that depends on a
 * secret is an error (ME-08). Padding is in test-unpad.c. */
#include "base/secret.h"
#include "crypto/crypto.h"

#include <string.h>
#include <valgrind/memcheck.h>

#define SIZE 32

static CmkSecret *
new_secret (guint8 byte)
{
  CmkSecret *secret = cmk_secret_new (SIZE, NULL);
  memset (cmk_secret_data (secret), byte, SIZE);
  VALGRIND_MAKE_MEM_UNDEFINED (cmk_secret_data (secret), SIZE);
  return secret;
}

/* What comes out is told to everybody. */
static gboolean
tell (gboolean result)
{
  VALGRIND_MAKE_MEM_DEFINED (&result, sizeof result);
  return result;
}

static void
test_secrets (void)
{
  g_autoptr (CmkSecret) a = new_secret (1);
  g_autoptr (CmkSecret) same = new_secret (1);
  g_autoptr (CmkSecret) other = new_secret (2);
  g_assert_true (tell (cmk_secret_equal (a, same)));
  g_assert_false (tell (cmk_secret_equal (a, other)));
}

static void
test_macs (void)
{
  static const char data[] = "a record";
  g_autoptr (CmkSecret) key = new_secret (1);
  guint8 mac[CMK_MAC_SIZE];
  g_assert_true (cmk_mac_compute (key, data, sizeof data, mac, NULL));
  g_assert_true (tell (cmk_mac_verify (key, data, sizeof data, mac)));
  mac[CMK_MAC_SIZE - 1] ^= 1;
  g_assert_false (tell (cmk_mac_verify (key, data, sizeof data, mac)));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_true (cmk_secret_init (NULL) && cmk_crypto_init (NULL));
  g_test_add_func ("/constant-time/secrets", test_secrets);
  g_test_add_func ("/constant-time/macs", test_macs);
  return g_test_run ();
}
