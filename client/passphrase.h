/* SPDX-License-Identifier: Apache-2.0
 *
 * The passphrase of a private key, typed on the terminal. */
#pragma once

/* A CmkAskPassphrase of wrap.h. Whoever interrupts it ends the program. */
int cmk_passphrase_ask (char *passphrase, int size, int is_new, void *file);
