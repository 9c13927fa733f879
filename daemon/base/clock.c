/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

gint64
cmk_clock_now (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}
