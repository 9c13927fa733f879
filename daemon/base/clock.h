/* SPDX-License-Identifier: Apache-2.0
 *
 * The one place that tells the time: Unix seconds UTC, 64 bit. A call reads it once and decides everything by that. */
#pragma once

#include <glib.h>

gint64 cmk_clock_now (void);
