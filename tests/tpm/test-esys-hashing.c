/* SPDX-License-Identifier: Apache-2.0
 *
 * daemon/tpm/esys-hashing.c: ESYS makes one library context of OpenSSL per thread, and all others make their own. */
#include "libctx-count.h"
#include "software-tpm.h"

#include "base/error.h"

#include <openssl/crypto.h>

typedef struct
{
  CmkTpm *tpm;
  GBytes *sealed;
} Sealed;

static void
sealed_clear (Sealed *sealed)
{
  cmk_tpm_close (sealed->tpm);
  g_bytes_unref (sealed->sealed);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Sealed, sealed_clear)

static void
sealed_open (Sealed *sealed, SoftwareTpm *software)
{
  g_autoptr (GError) error = NULL;
  sealed->tpm = cmk_tpm_open (software->counted, &error);
  g_assert_no_error (error);
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (sealed->tpm, &error);
  g_autoptr (CmkSecret) key = cmk_secret_new (32, &error);
  sealed->sealed = cmk_tpm_seal (session, key, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
}

static gpointer
unseal (gpointer data)
{
  Sealed *sealed = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (sealed->tpm, &error);
  g_assert_no_error (error);
  g_autoptr (CmkSecret) key = cmk_tpm_unseal (session, sealed->sealed, NULL, CMK_TPM_LAST, &error);
  g_assert_no_error (error);
  g_assert_nonnull (key);
  return NULL;
}

static guint
left (void)
{
  return libctx_count->made - libctx_count->freed;
}

static void
test_kept (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  guint before = libctx_count->made;
  {
    g_auto (Sealed) sealed = { 0 };
    sealed_open (&sealed, software);
    for (int i = 0; i < 10; i++)
      unseal (&sealed);
    g_assert_cmpuint (libctx_count->made, ==, before + 1);
    g_assert_cmpuint (left (), ==, 1);
  }
  g_assert_cmpuint (left (), ==, 0);
}

static void
test_thread (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  {
    g_auto (Sealed) sealed = { 0 };
    sealed_open (&sealed, software);
    guint before = libctx_count->made;
    for (guint i = 1; i <= 3; i++)
      {
        g_thread_join (g_thread_new ("other", unseal, &sealed));
        g_assert_cmpuint (libctx_count->made, ==, before + i);
        g_assert_cmpuint (left (), ==, 1); /* of this thread */
      }
  }
  g_assert_cmpuint (left (), ==, 0);
}

static void
test_others (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_auto (Sealed) sealed = { 0 };
  sealed_open (&sealed, software); /* so that there is one to be given out by mistake */
  guint before = libctx_count->made;
  OSSL_LIB_CTX *first = OSSL_LIB_CTX_new (), *second = OSSL_LIB_CTX_new ();
  g_assert_nonnull (first);
  g_assert_true (first != second);
  g_assert_cmpuint (libctx_count->made, ==, before + 2);
  OSSL_LIB_CTX_free (first);
  OSSL_LIB_CTX_free (second);
  OSSL_LIB_CTX_free (NULL);
  g_assert_cmpuint (left (), ==, 1);
  unseal (&sealed);
}

static void
test_no_memory (void)
{
  g_autoptr (SoftwareTpm) software = software_tpm_new ();
  g_autoptr (GError) error = NULL;
  libctx_count->refuse = 1;
  g_assert_null (cmk_tpm_open (software->counted, &error));
  libctx_count->refuse = 0;
  g_assert_error (error, CMK_ERROR, CMK_ERROR_TPM_UNAVAILABLE);
  g_auto (Sealed) sealed = { 0 };
  sealed_open (&sealed, software);
  unseal (&sealed);
}

int
main (int argc, char **argv)
{
  software_tpm_test_init (&argc, &argv);

  g_test_add_func ("/esys-hashing/context-is-kept-until-the-tpm-is-closed", test_kept);
  g_test_add_func ("/esys-hashing/each-thread-has-its-own", test_thread);
  g_test_add_func ("/esys-hashing/others-get-what-they-ask-for", test_others);
  g_test_add_func ("/esys-hashing/no-memory-is-an-error", test_no_memory);
  return g_test_run ();
}
