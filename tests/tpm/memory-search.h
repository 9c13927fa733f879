/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/secret.h"

/* Is @secret (its first 16 bytes) in memory that a core dump would show? */
gboolean is_in_memory (const CmkSecret *secret);
