/* SPDX-License-Identifier: Apache-2.0
 *
 * What must not be left behind when somebody presses Ctrl-C or ends cmkctl by a signal. */
#pragma once

/* Have @clean_up called before SIGINT, SIGTERM or SIGHUP ends the program. It runs inside a signal handler and is never
 * taken away again: there is one for each kind of thing to clean up, and it knows when there is nothing to do. */
void cmk_interruption_add (void (*clean_up) (void));
