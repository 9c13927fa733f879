/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel keyring is where a note costs microseconds and survives us, but not a restart of the machine, with which
 * the TPM is empty, too. */
#include "kms/vault-internal.h"

void
cmk_vault_read_note (CmkVault *vault)
{
  g_autoptr (CmkSecret) note = cmk_keyring_read_note (vault->keyring);
  if (note != NULL)
    vault->leftovers = g_bytes_new (cmk_secret_peek (note), cmk_secret_length (note));
}

/* Until the store has a name there is no keyring for it. */
static void
write_note (gpointer data, GBytes *note)
{
  CmkVault *vault = data;
  gsize size = 0;
  gconstpointer bytes = note != NULL ? g_bytes_get_data (note, &size) : NULL;
  g_clear_pointer (&vault->leftovers, g_bytes_unref);
  if (vault->keyring != NULL)
    cmk_keyring_note (vault->keyring, bytes, size);
}

CmkTpmNotebook
cmk_vault_notebook (CmkVault *vault)
{
  return (CmkTpmNotebook) { .last = vault->leftovers, .write = write_note, .data = vault };
}
