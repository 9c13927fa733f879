/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls over one GDBus connection, as the benchmark makes them. Whatever fails ends the program: a benchmark of calls
 * that fail is worth nothing. */
#pragma once

#include <gio/gio.h>

GDBusConnection *kms_connect (const char *address);

/* One method with its arguments, to be called any number of times. */
typedef struct
{
  const char *destination;
  const char *path;
  const char *interface;
  const char *method;
  GVariant *arguments; /* owned; NULL = none */
} Call;

GVariant *kms_call (GDBusConnection *bus, const Call *call);

/* A call of cmkd, which takes the floating @arguments. */
Call kms_method (const char *interface, const char *method, GVariant *arguments);
void call_clear (Call *call);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Call, call_clear)

/* The string @field in the answer of @call. */
char *kms_ask (GDBusConnection *bus, const Call *call, const char *field);

/* The id of a new key: "EXTERNAL" or "CMKD_KMS". */
char *kms_create_key (GDBusConnection *bus, const char *origin);

Call kms_get_parameters (const char *key);

/* The ImportKeyMaterial that goes with the answer of GetParametersForImport, which wraps the same material each
 * time. */
Call kms_import (const char *key, GVariant *parameters);
