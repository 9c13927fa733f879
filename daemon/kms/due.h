/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes with time: the clock itself, erasure of material and import sets, deletion of keys, notices of expiry. At
 * the start, at the beginning of each call, and by a timer. Worker thread, but for making and freeing. */
#pragma once

#include "kms/expiry-notice.h"
#include "kms/kms.h"

/* @expiring is called with @kms. */
CmkDue *cmk_due_new (CmkKms *kms, CmkExpiringFunc expiring, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void cmk_due_free (CmkDue *due);

/* How much to do at once: nobody who calls waits for more than a slice of what others have due. */
typedef enum
{
  CMK_DUE_SLICE,
  CMK_DUE_ALL,
} CmkDueEffort;

/* Of an unlocked vault. Fails if the time cannot be told. What cannot be erased is tried again, and until then refused
 * by its date. */
gboolean cmk_due_run (CmkDue *due, CmkDueEffort effort, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The vault is not open: look again in a minute. */
void cmk_due_retry (CmkDue *due);

/* Material or an import set expires at @when (0 = never); a key is to be deleted. */
void cmk_due_note_expiry (CmkDue *due, gint64 when);
void cmk_due_note_set_expiry (CmkDue *due, gint64 when);
void cmk_due_note_deletion (CmkDue *due, gint64 when);

/* Is anything to be erased, deleted or told within so many @seconds, or overdue? Not known of a vault that has not been
 * unlocked: no, then. Any thread. */
gboolean cmk_due_is_near (CmkDue *due, gint64 seconds);

/* Keep what the clock knows, if it is worth a commit: more often when told to @stop, since the machine may be about to.
 * Main thread, after the worker has ended. */
void cmk_due_conclude (CmkDue *due, gboolean stop);
