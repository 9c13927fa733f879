/* SPDX-License-Identifier: Apache-2.0 */
#include "kms-client.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmkd.h"

#define TIMEOUT_MS 60000

static const guint8 material[32] = "the benchmark's own key material";

static void
fail (const char *what, const char *why)
{
  fprintf (stderr, "%s: %s\n", what, why);
  exit (EXIT_FAILURE);
}

GDBusConnection *
kms_connect (const char *address)
{
  g_autoptr (GError) error = NULL;
  GDBusConnection *bus = g_dbus_connection_new_for_address_sync (
      address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
      NULL, &error);
  if (bus == NULL)
    fail (address, error->message);
  return bus;
}

GVariant *
kms_call (GDBusConnection *bus, const Call *call)
{
  g_autoptr (GError) error = NULL;
  GVariant *answer =
      g_dbus_connection_call_sync (bus, call->destination, call->path, call->interface, call->method, call->arguments,
                                   NULL, G_DBUS_CALL_FLAGS_NONE, TIMEOUT_MS, NULL, &error);
  if (answer == NULL)
    fail (call->method, error->message);
  return answer;
}

Call
kms_method (const char *interface, const char *method, GVariant *arguments)
{
  return (Call) {
    .destination = CMKD_BUS_NAME,
    .path = CMKD_OBJECT_PATH,
    .interface = interface,
    .method = method,
    .arguments = arguments != NULL ? g_variant_ref_sink (arguments) : NULL,
  };
}

void
call_clear (Call *call)
{
  g_clear_pointer (&call->arguments, g_variant_unref);
}

static char *
get_field (GVariant *answer, const char *field)
{
  g_autoptr (GVariant) fields = g_variant_get_child_value (answer, 0);
  char *value = NULL;
  if (!g_variant_lookup (fields, field, "s", &value))
    fail (field, "not in the answer");
  return value;
}

char *
kms_ask (GDBusConnection *bus, const Call *call, const char *field)
{
  g_autoptr (GVariant) answer = kms_call (bus, call);
  return get_field (answer, field);
}

char *
kms_create_key (GDBusConnection *bus, const char *origin)
{
  g_auto (Call) create =
      kms_method (CMKD_INTERFACE_KEYS, "CreateKey", g_variant_new_parsed ("({'Origin': <%s>},)", origin));
  g_autoptr (GVariant) answer = kms_call (bus, &create);
  g_autoptr (GVariant) fields = g_variant_get_child_value (answer, 0);
  g_autoptr (GVariant) metadata = g_variant_lookup_value (fields, "KeyMetadata", G_VARIANT_TYPE_VARDICT);
  char *key = NULL;
  if (metadata == NULL || !g_variant_lookup (metadata, "KeyId", "s", &key))
    fail ("CreateKey", "no KeyId in the answer");
  return key;
}

Call
kms_get_parameters (const char *key)
{
  return kms_method (CMKD_INTERFACE_IMPORT, "GetParametersForImport",
                     g_variant_new_parsed ("(%s, 'RSAES_OAEP_SHA_256', 'RSA_2048', @a{sv} {})", key));
}

static char *
wrap (const char *public_key)
{
  gsize der_size, size = 512;
  g_autofree guint8 *der = g_base64_decode (public_key, &der_size);
  const guint8 *end = der;
  guint8 wrapped[512];
  EVP_PKEY *key = d2i_PUBKEY (NULL, &end, (long) der_size);
  EVP_PKEY_CTX *context = key != NULL ? EVP_PKEY_CTX_new (key, NULL) : NULL;
  if (context == NULL || EVP_PKEY_encrypt_init (context) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding (context, RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md (context, EVP_sha256 ()) != 1 ||
      EVP_PKEY_encrypt (context, wrapped, &size, material, sizeof material) != 1)
    fail ("wrapping", "OpenSSL does not do it");
  EVP_PKEY_CTX_free (context);
  EVP_PKEY_free (key);
  return g_base64_encode (wrapped, size);
}

Call
kms_import (const char *key, GVariant *parameters)
{
  g_autofree char *token = get_field (parameters, "ImportToken");
  g_autofree char *public_key = get_field (parameters, "PublicKey");
  g_autofree char *wrapped = wrap (public_key);
  return kms_method (CMKD_INTERFACE_IMPORT, "ImportKeyMaterial",
                     g_variant_new_parsed ("(%s, %s, %s, @a{sv} {})", key, wrapped, token));
}
