/* SPDX-License-Identifier: Apache-2.0
 *
 * A software TPM, daemon/tpm open on it, and one call that sends every kind of command. */
#pragma once

#include "software-tpm.h"

typedef struct
{
  SoftwareTpm *software;
  CmkTpm *tpm;
  MemoryCache cache;
  CmkSecret *data_key;
  CmkSecret *message;
  GBytes *sealed;
  GBytes *fingerprint_key;
} FaultSetup;

/* Takes @software. */
void fault_setup_init (FaultSetup *setup, SoftwareTpm *software);
void fault_setup_clear (FaultSetup *setup);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FaultSetup, fault_setup_clear)

/* A software TPM that has no standard root key, and no room for one at its place. */
SoftwareTpm *software_tpm_with_other_root (void);

/* Unseal, fingerprint, seal. A TpmCall. */
gboolean fault_call (gpointer setup, GError **error);
void fault_call_must_work (FaultSetup *setup);
