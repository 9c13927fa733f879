/* SPDX-License-Identifier: Apache-2.0
 *
 * What the process does for all secrets that pass outside CmkSecret: the messages of GDBus hold plaintext and data
 * keys in Base64 on the ordinary heap, because the wire is made so. */
#pragma once

#include <glib.h>

/* Start over, once, with a heap that overwrites what is freed: glibc and GLib read that from the environment before
 * main(). The very first thing in main(). */
void cmk_hygiene_restart_with_wiping_heap (char **argv);

/* No core dumps, no debugger of our own uid. */
gboolean cmk_hygiene_seal_process (GError **error) G_GNUC_WARN_UNUSED_RESULT;
