/* SPDX-License-Identifier: Apache-2.0
 *
 * What a TPM answers, for every use that is made of it. FZ-04 */
#include "fuzz.h"

#include "fake-tpm.h"
#include "tpm/attestation.h"
#include "tpm/credential.h"
#include "tpm/internal.h"
#include "tpm/nv-index.h"

#include <stdlib.h>

#define MAX_USES 4

/* --- a cache, as the keyring is one ------------------------------------------------------------------------------- */

static GBytes *kept;

static GBytes *
lookup (gpointer data G_GNUC_UNUSED, const char *name G_GNUC_UNUSED)
{
  return kept != NULL ? g_bytes_ref (kept) : NULL;
}

static void
drop (gpointer data G_GNUC_UNUSED, const char *name G_GNUC_UNUSED)
{
  g_clear_pointer (&kept, g_bytes_unref);
}

static void
keep (gpointer data, const char *name, GBytes *context)
{
  drop (data, name);
  kept = g_bytes_ref (context);
}

int
LLVMFuzzerInitialize (int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
  fuzz_be_quiet ();
  g_assert_true (g_setenv ("TSS2_LOG", "all+NONE", TRUE));
  g_assert_true (cmk_secret_init (NULL));
  return 0;
}

/* --- uses --------------------------------------------------------------------------------------------------------- */

/* An object of one of our kinds, as the store has it. */
static GBytes *
make_blob (CmkResidentKind kind)
{
  TPM2B_PUBLIC public;
  TPM2B_PRIVATE private = { .size = 96 };
  cmk_tpm_resident_template (kind, &public);
  return cmk_tpm_object_marshal (&public, &private, NULL);
}

static CmkSecret *
make_secret (gsize size)
{
  return cmk_secret_new (size, NULL);
}

/* Any of it: all that matters is what it does on the way. */
static void
may_fail (gboolean done G_GNUC_UNUSED)
{
}

static void
use_sealed (CmkTpmSession *session, CmkTpmPlace place)
{
  g_autoptr (CmkSecret) secret = make_secret (32);
  g_autoptr (GBytes) sealed = cmk_tpm_seal (session, secret, CMK_TPM_MORE, NULL);
  if (sealed == NULL)
    return;
  cmk_tpm_keep_context (session, sealed, "sealed");
  g_autoptr (CmkSecret) again = cmk_tpm_unseal (session, sealed, "sealed", place, NULL);
  g_assert_true (again == NULL || cmk_secret_length (again) == 32);
}

static void
use_fingerprint (CmkTpmSession *session, CmkTpmPlace place)
{
  static const guint8 data[16];
  guint8 fingerprint[CMK_TPM_FINGERPRINT_SIZE];
  g_autoptr (GBytes) key = cmk_tpm_create_fingerprint_key (session, CMK_TPM_MORE, NULL);
  if (key != NULL)
    may_fail (cmk_tpm_fingerprint (session, key, "fingerprint", data, sizeof data, place, fingerprint, NULL));
}

static void
use_resident (CmkTpmSession *session, CmkTpmPlace place)
{
  static const guint8 message[2048];
  guint8 mac[CMK_RESIDENT_MAX_MAC], output[CMK_RESIDENT_MAX_RSA], signature[64];
  g_autoptr (GBytes) hmac = make_blob (CMK_RESIDENT_HMAC_SHA256), rsa = make_blob (CMK_RESIDENT_RSA_2048),
                     ec = make_blob (CMK_RESIDENT_EC_P256);
  may_fail (cmk_tpm_resident_hmac (session, hmac, "hmac", CMK_RESIDENT_HMAC_SHA256, message, sizeof message,
                                   CMK_TPM_MORE, mac, NULL));
  may_fail (cmk_tpm_resident_rsa (session, rsa, NULL, message, 256, CMK_TPM_MORE, output, NULL));
  may_fail (cmk_tpm_resident_ecdsa (session, ec, NULL, message, 32, place, signature, NULL));
}

static void
use_generate (CmkTpmSession *session, CmkTpmPlace place)
{
  g_auto (CmkResidentPublic) public = { 0 };
  may_fail (cmk_tpm_can_hold (session->tpm, CMK_RESIDENT_EC_P256, NULL));
  g_autoptr (GBytes) blob = cmk_tpm_resident_generate (session, CMK_RESIDENT_EC_P256, place, NULL);
  if (blob != NULL)
    may_fail (cmk_tpm_resident_public (blob, &public, NULL));
}

static GBytes *
wrap_nothing (const CmkSecret *key G_GNUC_UNUSED, const CmkSecret *sensitive G_GNUC_UNUSED, GBytes *name,
              GError **error G_GNUC_UNUSED)
{
  return g_bytes_ref (name);
}

static void
use_import (CmkTpmSession *session, CmkTpmPlace place)
{
  static const guint8 coordinate[32];
  g_autoptr (CmkSecret) scalar = make_secret (32), key = make_secret (16);
  g_auto (CmkResidentPublic) public = { .kind = CMK_RESIDENT_EC_P256,
                                        .x = g_bytes_new_static (coordinate, sizeof coordinate),
                                        .y = g_bytes_new_static (coordinate, sizeof coordinate) };
  g_autoptr (GBytes) hmac G_GNUC_UNUSED =
      cmk_tpm_resident_import_hmac (session, CMK_RESIDENT_HMAC_SHA256, scalar, CMK_TPM_MORE, NULL);
  g_autoptr (GBytes) private G_GNUC_UNUSED =
      cmk_tpm_resident_import_private (session, &public, scalar, key, wrap_nothing, place, NULL);
}

static void
use_nv (CmkTpmSession *session, CmkTpmPlace place)
{
  static const guint8 label[CMK_TPM_NV_LABEL_SIZE];
  g_autoptr (CmkSecret) auth = make_secret (32), contents = make_secret (CMK_TPM_NV_SIZE);
  g_autoptr (GArray) listed G_GNUC_UNUSED = cmk_tpm_nv_index_list (session->tpm, NULL);
  g_autoptr (CmkTpmNvIndex) index = cmk_tpm_nv_index_define (session, label, auth, contents, CMK_TPM_MORE, NULL);
  if (index == NULL)
    index = cmk_tpm_nv_index_open (session->tpm, 0x018c6d00U, label, auth, NULL);
  if (index == NULL)
    return;
  g_autoptr (CmkSecret) read G_GNUC_UNUSED = cmk_tpm_nv_index_read (session, index, CMK_TPM_MORE, NULL);
  may_fail (cmk_tpm_nv_index_write (session, index, contents, CMK_TPM_MORE, NULL));
  may_fail (cmk_tpm_nv_index_remove (session, cmk_tpm_nv_index_handle (index), place, NULL));
}

static void
use_attestation (CmkTpmSession *session, CmkTpmPlace place)
{
  static const guint8 bytes[32];
  g_auto (CmkTpmAttestation) attestation = { 0 };
  g_autoptr (GBytes) nonce = g_bytes_new_static (bytes, sizeof bytes);
  g_autoptr (GBytes) key = cmk_tpm_attestation_key_create (session, CMK_TPM_MORE, NULL);
  if (key == NULL)
    return;
  g_autoptr (GBytes) attested G_GNUC_UNUSED =
      cmk_tpm_create_attested (session, CMK_RESIDENT_RSA_2048, nonce, key, "attestation", place, &attestation, NULL);
}

static void
use_credential (CmkTpmSession *session, CmkTpmPlace place G_GNUC_UNUSED)
{
  guint8 bytes[2 + 52 + 2 + 68] = { 0, 52, 0, 16 };
  bytes[2 + 52 + 1] = 68;
  g_autoptr (GBytes) credential = g_bytes_new (bytes, sizeof bytes);
  g_autoptr (GBytes) key = make_blob (CMK_RESIDENT_EC_P256);
  if (cmk_tpm_check_credential (credential, NULL))
    {
      g_autoptr (GBytes) secret G_GNUC_UNUSED = cmk_tpm_activate_credential (session, key, credential, NULL);
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static void (*const uses[]) (CmkTpmSession *, CmkTpmPlace) = { use_sealed,      use_fingerprint, use_resident,
                                                                 use_generate,    use_import,      use_nv,
                                                                 use_attestation, use_credential };
  const CmkTpmContextCache cache = { lookup, keep, drop, NULL };
  FuzzInput input = { data, size };
  guint flags = fuzz_take_byte (&input), chosen[MAX_USES];
  guint n_uses = flags % MAX_USES + 1;
  for (guint i = 0; i < n_uses; i++)
    chosen[i] = fuzz_take_choice (&input, G_N_ELEMENTS (uses));
  fake_tpm_start (&input);
  cmk_tpm_begin_call ();
  g_autoptr (CmkTpm) tpm = cmk_tpm_open ("fake", NULL);
  if (tpm == NULL)
    return 0;
  cmk_tpm_set_context_cache (tpm, &cache);
  cmk_tpm_keep_sessions (tpm, (flags & 0x80) != 0 ? 60 : 0);
  for (guint i = 0; i < n_uses; i++)
    {
      g_autoptr (CmkTpmSession) session = cmk_tpm_session_begin (tpm, NULL);
      if (session != NULL)
        uses[chosen[i]](session, (flags & 0x40) != 0 ? CMK_TPM_MORE : CMK_TPM_LAST);
    }
  cmk_tpm_rest (tpm);
  drop (NULL, NULL);
  return 0;
}
