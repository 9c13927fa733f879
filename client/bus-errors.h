/* SPDX-License-Identifier: Apache-2.0
 *
 * What the errors that come off the bus mean for whoever called cmkctl. */
#pragma once

/* Say what the error @name is and what to do next, with @message of whoever sent it if nothing better is known, and
 * return the exit code for it. */
int cmk_bus_fail (const char *name, const char *message);
