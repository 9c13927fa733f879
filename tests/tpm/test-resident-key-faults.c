/* SPDX-License-Identifier: Apache-2.0
 *
 * Resident keys when commands fail, and what they leave behind: nothing in the TPM, no secret on the bus and none in
 * the memory that a core dump shows. */
#include "memory-search.h"
#include "resident-setup.h"

#include "base/error.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#define LONG_MESSAGE 2500 /* HMAC_Start, two SequenceUpdate, SequenceComplete */

typedef struct
{
  ResidentSetup tpm;
  PeerKey hmac, rsa, ec;
  GBytes *hmac_blob, *rsa_blob, *ec_blob;
  CmkSecret *message;
} Keys;

static void
keys_clear (Keys *keys)
{
  g_clear_pointer (&keys->hmac_blob, g_bytes_unref);
  g_clear_pointer (&keys->rsa_blob, g_bytes_unref);
  g_clear_pointer (&keys->ec_blob, g_bytes_unref);
  peer_key_clear (&keys->hmac);
  peer_key_clear (&keys->rsa);
  peer_key_clear (&keys->ec);
  g_clear_pointer (&keys->message, cmk_secret_free);
  resident_setup_clear (&keys->tpm);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Keys, keys_clear)

static void
keys_make (Keys *keys)
{
  peer_key_make (&keys->hmac, CMK_RESIDENT_HMAC_SHA384, 0);
  peer_key_make (&keys->rsa, CMK_RESIDENT_RSA_2048, 65537);
  peer_key_make (&keys->ec, CMK_RESIDENT_EC_P256, 0);
  keys->message = random_secret (LONG_MESSAGE);
  resident_setup_init (&keys->tpm);
}

static void
keys_import (Keys *keys)
{
  keys->hmac_blob = import (&keys->tpm, &keys->hmac);
  keys->rsa_blob = import (&keys->tpm, &keys->rsa);
  keys->ec_blob = import (&keys->tpm, &keys->ec);
}

/* --- nothing is left in the TPM ---------------------------------------------------------------------------------- */

static gboolean
use_all (Keys *keys, CmkTpmSession *session, GError **error)
{
  guint8 mac[CMK_RESIDENT_MAX_MAC], input[256] = { 0, 1 }, output[CMK_RESIDENT_MAX_RSA], signature[64];
  const guint8 *message = cmk_secret_peek (keys->message);
  return cmk_tpm_resident_hmac (session, keys->hmac_blob, "h", CMK_RESIDENT_HMAC_SHA384, message, LONG_MESSAGE,
                                CMK_TPM_MORE, mac, error) &&
         cmk_tpm_resident_hmac (session, keys->hmac_blob, "h", CMK_RESIDENT_HMAC_SHA384, message, 100, CMK_TPM_MORE,
                                mac, error) &&
         cmk_tpm_resident_rsa (session, keys->rsa_blob, NULL, input, sizeof input, CMK_TPM_MORE, output, error) &&
         cmk_tpm_resident_ecdsa (session, keys->ec_blob, NULL, message, 32, CMK_TPM_MORE, signature, error);
}

/* One call that sends every kind of command; the last of them is a sequence's, so that it closes the session. */
static gboolean
call (Keys *keys, GError **error)
{
  guint8 mac[CMK_RESIDENT_MAX_MAC], expected[CMK_RESIDENT_MAX_MAC];
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (keys->tpm.tpm, error);
  if (session == NULL || !use_all (keys, session, error))
    return FALSE;
  g_autoptr (CmkSecret) inner_key = random_secret (16);
  g_autoptr (GBytes) ec = cmk_tpm_resident_import_private (session, &keys->ec.public, keys->ec.secret, inner_key,
                                                           peer_wrap, CMK_TPM_MORE, error);
  g_autoptr (GBytes) hmac = NULL;
  if (ec != NULL)
    hmac = cmk_tpm_resident_import_hmac (session, CMK_RESIDENT_HMAC_SHA384, keys->hmac.secret, CMK_TPM_MORE, error);
  if (hmac == NULL)
    return FALSE;
  if (!cmk_tpm_resident_hmac (session, hmac, NULL, CMK_RESIDENT_HMAC_SHA384, cmk_secret_peek (keys->message),
                              LONG_MESSAGE, CMK_TPM_LAST, mac, error))
    return FALSE;
  reference_mac (CMK_RESIDENT_HMAC_SHA384, keys->hmac.secret, cmk_secret_peek (keys->message), LONG_MESSAGE, expected);
  g_assert_cmpmem (mac, 48, expected, 48);
  return TRUE;
}

static void
assert_call_works (Keys *keys)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = call (keys, &error);
  g_assert_no_error (error);
  g_assert_true (ok);
}

/* Let the first, second, ... command of a call fail in turn, until the call is over before the fault strikes. */
static void
fail_everywhere (Keys *keys, const char *action)
{
  guint n_struck = 0;
  gboolean over = FALSE;
  for (guint nth = 1; !over; nth++)
    {
      g_autofree char *rule = g_strdup_printf ("* %u-%u %s", nth, nth, action);
      g_autoptr (GError) error = NULL;
      software_tpm_set_fault (keys->tpm.software, rule);
      if (!call (keys, &error))
        g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
      n_struck = nth - 1;
      over = software_tpm_fault_waits (keys->tpm.software);
      software_tpm_set_fault (keys->tpm.software, "");
      resident_setup_assert_empty (&keys->tpm);
    }
  assert_call_works (keys);
  resident_setup_assert_empty (&keys->tpm);
  g_assert_cmpuint (n_struck, >, 20); /* as many commands as a call has */
}

static void
test_failures_leave_nothing (gconstpointer data)
{
  g_auto (Keys) keys = { 0 };
  keys_make (&keys);
  keys_import (&keys);
  fail_everywhere (&keys, data);
}

/* The session is open from call to call, and given back when the connection is closed. */
static void
test_failures_leave_nothing_kept (gconstpointer data)
{
  g_auto (Keys) keys = { .tpm.keep_sessions = TRUE };
  keys_make (&keys);
  keys_import (&keys);
  fail_everywhere (&keys, data);
}

/* --- what others can do with a key ------------------------------------------------------------------------------- */

static ESYS_TR
meddler_load (Meddler *meddler, GBytes *blob)
{
  gsize size, offset = 0;
  const guint8 *data = g_bytes_get_data (blob, &size);
  TPM2B_PUBLIC public = { 0 };
  TPM2B_PRIVATE private = { 0 };
  ESYS_TR root = ESYS_TR_NONE, key = ESYS_TR_NONE;
  assert_rc (Tss2_MU_TPM2B_PUBLIC_Unmarshal (data, size, &offset, &public));
  assert_rc (Tss2_MU_TPM2B_PRIVATE_Unmarshal (data, size, &offset, &private));
  assert_rc (Esys_TR_FromTPMPublic (meddler->esys, ROOT_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &root));
  assert_rc (Esys_Load (meddler->esys, root, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, &key));
  assert_rc (Esys_TR_Close (meddler->esys, &root));
  return key;
}

static guint32
lockout_counter (Meddler *meddler)
{
  TPMS_CAPABILITY_DATA *data = NULL;
  assert_rc (Esys_GetCapability (meddler->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES,
                                 TPM2_PT_LOCKOUT_COUNTER, 1, NULL, &data));
  guint32 counter = data->data.tpmProperties.tpmProperty[0].value;
  Esys_Free (data);
  return counter;
}

static void
test_lockout_is_not_counted (void)
{
  g_auto (Keys) keys = { 0 };
  keys_make (&keys);
  keys_import (&keys);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, keys.tpm.software);
  TPM2B_AUTH no_auth = { 0 }, wrong = { .size = 5, .buffer = "wrong" };
  TPM2B_MAX_BUFFER message = { .size = 3, .buffer = "abc" };
  TPM2B_DIGEST *mac = NULL;
  ESYS_TR key = meddler_load (&meddler, keys.hmac_blob), sequence = ESYS_TR_NONE;
  assert_rc (Esys_HMAC_Start (meddler.esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
                              TPM2_ALG_SHA384, &sequence));
  assert_rc (Esys_TR_SetAuth (meddler.esys, sequence, &wrong));
  assert_rc (Esys_TR_SetAuth (meddler.esys, key, &wrong));
  for (int i = 0; i < 5; i++) /* this TPM locks after three */
    {
      g_assert_cmphex (
          Esys_SequenceUpdate (meddler.esys, sequence, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &message), ==,
          0x9a2);
      g_assert_cmphex (
          Esys_HMAC (meddler.esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &message, TPM2_ALG_SHA384, &mac),
          ==, 0x9a2);
    }
  g_assert_cmpuint (lockout_counter (&meddler), ==, 0);
  assert_rc (Esys_FlushContext (meddler.esys, sequence));
  assert_rc (Esys_FlushContext (meddler.esys, key));
  assert_call_works (&keys);
}

/* What was imported has not got fixedTPM. */
static void
test_no_key_leaves (void)
{
  g_auto (Keys) keys = { 0 };
  keys_make (&keys);
  keys_import (&keys);
  g_auto (Meddler) meddler = { 0 };
  meddler_open (&meddler, keys.tpm.software);
  TPMT_SYM_DEF no_symmetric = { .algorithm = TPM2_ALG_NULL };
  TPMT_SYM_DEF_OBJECT no_wrapper = { .algorithm = TPM2_ALG_NULL };
  GBytes *blobs[] = { keys.hmac_blob, keys.rsa_blob, keys.ec_blob };
  for (gsize i = 0; i < G_N_ELEMENTS (blobs); i++)
    {
      ESYS_TR key = meddler_load (&meddler, blobs[i]), policy = ESYS_TR_NONE;
      TPM2B_DATA *out_key = NULL;
      TPM2B_PRIVATE *duplicate = NULL;
      TPM2B_ENCRYPTED_SECRET *seed = NULL;
      assert_rc (Esys_StartAuthSession (meddler.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                        ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &no_symmetric, TPM2_ALG_SHA256, &policy));
      assert_rc (
          Esys_PolicyCommandCode (meddler.esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CC_Duplicate));
      ESYS_TR sessions[] = { ESYS_TR_PASSWORD, policy };
      for (gsize s = 0; s < G_N_ELEMENTS (sessions); s++)
        g_assert_cmphex (Esys_Duplicate (meddler.esys, key, ESYS_TR_RH_NULL, sessions[s], ESYS_TR_NONE, ESYS_TR_NONE,
                                         NULL, &no_wrapper, &out_key, &duplicate, &seed),
                         !=, TSS2_RC_SUCCESS);
      assert_rc (Esys_FlushContext (meddler.esys, policy));
      assert_rc (Esys_FlushContext (meddler.esys, key));
    }
}

/* --- what can be seen -------------------------------------------------------------------------------------------- */

static gboolean
contains_part (const char *data, gsize size, const guint8 *secret, gsize secret_size)
{
  for (gsize at = 0; at + 16 <= secret_size; at += 16)
    if (memmem (data, size, secret + at, 16) != NULL)
      return TRUE;
  return FALSE;
}

static gboolean
contains_secret (const char *data, gsize size, const CmkSecret *secret)
{
  return contains_part (data, size, cmk_secret_peek (secret), cmk_secret_length (secret));
}

static GBytes *
import_with (Keys *keys, const CmkSecret *inner_key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (keys->tpm.tpm, &error);
  g_assert_no_error (error);
  GBytes *blob = cmk_tpm_resident_import_private (session, &keys->ec.public, keys->ec.secret, inner_key, peer_wrap,
                                                  CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  return blob;
}

/* TP-16 */
static void
test_nothing_on_the_bus (void)
{
  g_autoptr (GError) error = NULL;
  g_auto (Keys) keys = { .tpm.software = software_tpm_new () };
  g_autofree char *raw_path = g_strconcat (keys.tpm.software->log, ".raw", NULL);
  g_assert_true (g_file_set_contents (raw_path, "", 0, NULL));
  keys_make (&keys);
  keys_import (&keys);
  assert_call_works (&keys);
  guint8 plain[CMK_RESIDENT_MAX_RSA], mac[CMK_RESIDENT_MAX_MAC];
  g_autoptr (CmkSecret) short_message = random_secret (500);
  g_assert_true (try_mac (&keys.tpm, keys.hmac_blob, NULL, CMK_RESIDENT_HMAC_SHA384, cmk_secret_peek (short_message),
                          500, mac, &error));
  guint8 input[256] = { 0, 7 };
  g_assert_true (try_rsa (&keys.tpm, keys.rsa_blob, NULL, input, sizeof input, plain, &error));

  /* The key of the inner wrapper would open the rest. */
  g_autoptr (CmkSecret) inner_key = random_secret (16);
  g_autoptr (GBytes) blob = import_with (&keys, inner_key);
  g_assert_nonnull (blob);

  g_autofree char *raw = NULL;
  gsize size;
  g_assert_true (g_file_get_contents (raw_path, &raw, &size, NULL));
  const guint8 *modulus = g_bytes_get_data (keys.rsa.public.modulus, NULL);
  g_assert_true (contains_part (raw, size, modulus, 256)); /* what is no secret is there */
  g_assert_false (contains_secret (raw, size, keys.hmac.secret));
  g_assert_false (contains_secret (raw, size, keys.rsa.secret));
  g_assert_false (contains_secret (raw, size, keys.ec.secret));
  g_assert_false (contains_secret (raw, size, keys.message));
  g_assert_false (contains_secret (raw, size, short_message));
  g_assert_false (contains_secret (raw, size, inner_key));
  g_assert_false (contains_part (raw, size, mac, 48));
  g_assert_false (contains_part (raw, size, plain, 256));
}

static void
assert_not_in_memory (const Keys *keys)
{
  g_assert_false (is_in_memory (keys->hmac.secret));
  g_assert_false (is_in_memory (keys->rsa.secret));
  g_assert_false (is_in_memory (keys->ec.secret));
}

static CmkSecret *
slice (const CmkSecret *secret, gsize at)
{
  return cmk_secret_new_copy (cmk_secret_peek (secret) + at, 16, NULL);
}

static void
test_nothing_in_memory_of_keys (void)
{
  g_auto (Keys) keys = { 0 };
  keys_make (&keys);
  g_clear_pointer (&keys.rsa.key, EVP_PKEY_free);
  g_clear_pointer (&keys.ec.key, EVP_PKEY_free);
  assert_not_in_memory (&keys);
  keys.hmac_blob = import (&keys.tpm, &keys.hmac);
  assert_not_in_memory (&keys);
  keys.rsa_blob = import (&keys.tpm, &keys.rsa);
  assert_not_in_memory (&keys);
  keys.ec_blob = import (&keys.tpm, &keys.ec);
  assert_not_in_memory (&keys);
  assert_call_works (&keys);
  assert_not_in_memory (&keys);

  g_autoptr (CmkSecret) inner_key = random_secret (16);
  g_autoptr (GBytes) blob = import_with (&keys, inner_key);
  g_assert_nonnull (blob);
  g_assert_false (is_in_memory (inner_key));
}

/* The messages and answers: a message key of Encrypt, a plaintext of Decrypt. */
static void
test_nothing_in_memory_of_use (void)
{
  g_auto (Keys) keys = { 0 };
  g_autoptr (GError) error = NULL;
  keys_make (&keys);
  keys_import (&keys);
  g_autoptr (CmkSecret) mac = cmk_secret_new (CMK_RESIDENT_MAX_MAC, NULL);
  g_autoptr (CmkSecret) plain = cmk_secret_new (CMK_RESIDENT_MAX_RSA, NULL);
  static const gsize sizes[] = { 100, 1024, LONG_MESSAGE };
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_assert_true (try_mac (&keys.tpm, keys.hmac_blob, "h", CMK_RESIDENT_HMAC_SHA384, cmk_secret_peek (keys.message),
                              sizes[i], cmk_secret_data (mac), &error));
      g_assert_false (is_in_memory (mac));
      for (gsize at = 0; at + 16 <= sizes[i]; at += 84)
        {
          g_autoptr (CmkSecret) part = slice (keys.message, at);
          g_assert_false (is_in_memory (part));
        }
    }
  guint8 input[256] = { 0, 7 };
  g_assert_true (try_rsa (&keys.tpm, keys.rsa_blob, "r", input, sizeof input, cmk_secret_data (plain), &error));
  for (gsize at = 0; at < 256; at += 48)
    {
      g_autoptr (CmkSecret) part = slice (plain, at);
      g_assert_false (is_in_memory (part));
    }

  /* If there was a copy it would be found. */
  g_autofree guint8 *copy = g_memdup2 (cmk_secret_peek (plain), 256);
  g_assert_cmpmem (copy, 256, cmk_secret_peek (plain), 256);
  g_assert_true (is_in_memory (plain));
}

int
main (int argc, char **argv)
{
  static const char *actions[] = { "io", "drop", "garble", "0x101", "0x910", "0x918", "0x905" };
  software_tpm_test_init (&argc, &argv);

  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_autofree char *path = g_strconcat ("/resident-key-faults/nothing-is-left-in-the-tpm/", actions[i], NULL);
      g_autofree char *kept_path = g_strconcat (path, "/session-kept", NULL);
      g_test_add_data_func (path, actions[i], test_failures_leave_nothing);
      g_test_add_data_func (kept_path, actions[i], test_failures_leave_nothing_kept);
    }
  g_test_add_func ("/resident-key-faults/lockout-is-not-counted", test_lockout_is_not_counted);
  g_test_add_func ("/resident-key-faults/no-key-leaves-the-tpm", test_no_key_leaves);
  g_test_add_func ("/resident-key-faults/TP-16-no-secret-on-the-bus", test_nothing_on_the_bus);
  g_test_add_func ("/resident-key-faults/no-secret-in-memory/of-keys", test_nothing_in_memory_of_keys);
  g_test_add_func ("/resident-key-faults/no-secret-in-memory/of-use", test_nothing_in_memory_of_use);
  return g_test_run ();
}
