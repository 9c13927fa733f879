/* SPDX-License-Identifier: Apache-2.0
 *
 * What ESYS hashes with: see esys-hashing.c. Nothing has to be done for it but this. */
#pragma once

/* Free the library context that this thread keeps for ESYS; the next hash makes another. For the end of a thread there
 * is nothing to do. */
void cmk_esys_hashing_forget (void);
