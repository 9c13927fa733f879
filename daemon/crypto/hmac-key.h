/* SPDX-License-Identifier: Apache-2.0
 *
 * A key that HMACs are made with: in this process, or with somebody else, a TPM, who makes them. */
#pragma once

#include "base/algorithm.h"
#include "base/secret.h"

typedef struct
{
  const CmkSecret *secret; /* NULL: @compute has it */
  /* The MAC, as long as the digest of @algorithm. Called on the thread that uses the key. */
  gboolean (*compute) (gpointer data, CmkMacAlgorithm algorithm, const guint8 *message, gsize size, guint8 *ret_mac,
                       GError **error);
  gpointer data;
} CmkHmacKey;
