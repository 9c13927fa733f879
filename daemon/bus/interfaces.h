/* SPDX-License-Identifier: Apache-2.0
 *
 * The interfaces of the contract: one file each turns D-Bus arguments into one checked request struct per call, and
 * the result of the rules into an answer. Main loop; the run functions of methods go to the worker. */
#pragma once

#include "bus/call.h"
#include "cmk-dbus.h"

void cmk_bus_serve_keys (CmkDBusKeys *skeleton, CmkCalls *calls);
void cmk_bus_serve_import (CmkDBusImport *skeleton, CmkCalls *calls);
void cmk_bus_serve_crypto (CmkDBusCrypto *skeleton, CmkCalls *calls);
void cmk_bus_serve_service (CmkDBusService *skeleton, CmkCalls *calls, CmkKms *kms);

/* Parts of the Keys interface. */
void cmk_bus_serve_aliases (CmkDBusKeys *skeleton, CmkCalls *calls);
void cmk_bus_serve_tags (CmkDBusKeys *skeleton, CmkCalls *calls);
void cmk_bus_serve_grants (CmkDBusKeys *skeleton, CmkCalls *calls);

/* The three parts of the Crypto interface. */
void cmk_bus_serve_symmetric (CmkDBusCrypto *skeleton, CmkCalls *calls);
void cmk_bus_serve_asymmetric (CmkDBusCrypto *skeleton, CmkCalls *calls);
void cmk_bus_serve_mac (CmkDBusCrypto *skeleton, CmkCalls *calls);

/* Bring the properties of the Service interface up to date. */
void cmk_bus_refresh_service (CmkDBusService *skeleton, CmkKms *kms);
