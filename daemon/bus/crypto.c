/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

void
cmk_bus_serve_crypto (CmkDBusCrypto *skeleton, CmkCalls *calls)
{
  cmk_bus_serve_symmetric (skeleton, calls);
  cmk_bus_serve_asymmetric (skeleton, calls);
  cmk_bus_serve_mac (skeleton, calls);
}
