/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands between the program and OpenSSL and counts the library contexts that are really made. For tests through the
 * bus it is preloaded, and CMKD_LIBCTX_COUNT names a file of this size in which it counts. */
#pragma once

typedef struct
{
  unsigned made;
  unsigned freed;
  unsigned refuse; /* not 0: there is no memory for another */
} LibctxCount;

extern LibctxCount *libctx_count;
