/* SPDX-License-Identifier: Apache-2.0
 *
 * How far the thread of GDBus may be ahead of the main loop. What the main loop has been given it does in the order in
 * which it came; what it has not been given can still be overtaken. All of this is for the thread of GDBus.
 *
 * Before the main loop runs there is nobody to wait for: whoever waits for an answer of the bus then, as cmkd does when
 * it starts, would wait for ever if the answer came behind calls that nobody takes. */
#pragma once

#include <gio/gio.h>

typedef struct _CmkPace CmkPace;

/* With the main loop of the default context. */
CmkPace *cmk_pace_new (void);
void cmk_pace_free (CmkPace *pace);

/* Whether the main loop may be given one more. */
gboolean cmk_pace_is_open (const CmkPace *pace);

/* The same; and if not, the main loop is asked to say when it has done what it has. */
gboolean cmk_pace_may_go_on (CmkPace *pace);

/* It was given one. */
void cmk_pace_step (CmkPace *pace);

/* After cmk_pace_may_go_on() was false: ready when that is worth another try. One at a time. It needs no callback: it
 * is to be a child of another source. */
GSource *cmk_pace_create_source (CmkPace *pace);
