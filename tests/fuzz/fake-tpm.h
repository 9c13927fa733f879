/* SPDX-License-Identifier: Apache-2.0
 *
 * A TPM that answers what a fuzzer wants. It stands in for the library that loads TCTIs, so that the daemon's own
 * transport is in between, and takes the cryptography out of tpm2-tss: every MAC is zeros, so every answer is authentic
 * and every key of a session is zeros, too. */
#pragma once

#include "fuzz.h"

/* From here on answers are made of @input: for each one byte says how (see answer() in fake-tpm.c); when nothing is
 * left every command succeeds. */
void fake_tpm_start (FuzzInput *input);

/* The TPM2B_PUBLIC of the root key that it has, marshalled. */
GBytes *fake_tpm_root_public (void);
