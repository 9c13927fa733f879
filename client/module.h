/* SPDX-License-Identifier: Apache-2.0
 *
 * Modules: what loads libcrypto is apart from the program, so that the verbs that need none do not pay for it. */
#pragma once

/* The table @symbol of the module @file, loaded when it is first needed and never unloaded. */
int cmk_module_load (const char *file, const char *symbol, const void **ret_table);
