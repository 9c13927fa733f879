/* SPDX-License-Identifier: Apache-2.0
 *
 * A software TPM with cmkd's connection to it, and calls that do one thing with a resident key. */
#pragma once

#include "resident-peer.h"
#include "software-tpm.h"

typedef struct
{
  SoftwareTpm *software;
  CmkTpm *tpm;
  MemoryCache cache;
  gboolean keep_sessions; /* set before the setup is made */
} ResidentSetup;

void resident_setup_init (ResidentSetup *setup);
void resident_setup_clear (ResidentSetup *setup);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ResidentSetup, resident_setup_clear)

/* Fails the test if there is anything in the TPM; of a setup that keeps sessions, after its connection was closed. */
void resident_setup_assert_empty (ResidentSetup *setup);

/* The commands since the last time without those that open or close a session. */
const char *resident_setup_commands (ResidentSetup *setup);

/* Each of these is one call, in a session of its own. */
GBytes *try_import (ResidentSetup *setup, const PeerKey *peer, GError **error);
GBytes *import (ResidentSetup *setup, const PeerKey *peer);
GBytes *generate (ResidentSetup *setup, CmkResidentKind kind);
gboolean try_mac (ResidentSetup *setup, GBytes *blob, const char *cache_name, CmkResidentKind kind,
                  const guint8 *message, gsize size, guint8 *ret_mac, GError **error);
gboolean try_rsa (ResidentSetup *setup, GBytes *blob, const char *cache_name, const guint8 *input, gsize size,
                  guint8 *ret_output, GError **error);
gboolean try_ecdsa (ResidentSetup *setup, GBytes *blob, const char *cache_name, const guint8 *digest, gsize size,
                    guint8 *ret_signature, GError **error);

/* Random bytes. */
void fill_randomly (guint8 *bytes, gsize size);
CmkSecret *random_secret (gsize size);

/* HMAC as GLib computes it. */
void reference_mac (CmkResidentKind kind, const CmkSecret *key, const guint8 *message, gsize size,
                    guint8 ret_mac[CMK_RESIDENT_MAX_MAC]);

gboolean is_hmac (CmkResidentKind kind);
gboolean is_rsa (CmkResidentKind kind);
