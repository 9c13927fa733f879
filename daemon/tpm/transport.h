/* SPDX-License-Identifier: Apache-2.0
 *
 * The way to the TPM: a TCTI of our own over the configured one, which only a thread of its own ever touches. So every
 * command, and connecting too, has a deadline, whatever the TCTI, the driver or the chip does. A thread that does not
 * come back in time is left alone, and until it comes back nobody else is made to wait: a new connection is refused at
 * once, or tried anew after a while.
 *
 * There is one TPM for a process, and one thread at a time that uses it. */
#pragma once

#include <glib.h>
#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tpm2_types.h>

/* No answer in time, or none can be expected now. */
#define CMK_TRANSPORT_RC_SILENT ((TSS2_RC) (TSS2_TCTI_RC_LAYER | TSS2_LAYER_IMPLEMENTATION_SPECIFIC_OFFSET | 1))

/* As cmk_tpm_set_answer_seconds() says. */
guint cmk_transport_answer_seconds (void);

/* What is left of it for this call, in microseconds. */
gint64 cmk_transport_time_left (void);

/* For something else than a command that took time. */
void cmk_transport_spend (gint64 microseconds);

TSS2_RC cmk_transport_open (const char *tcti, TSS2_TCTI_CONTEXT **ret_context);
void cmk_transport_close (TSS2_TCTI_CONTEXT **context);

/* What is loaded in a TPM that does not answer: flushed over the old connection if the answer comes after all. */
void cmk_transport_leave (TPM2_HANDLE handle);
