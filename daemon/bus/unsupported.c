/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/interfaces.h"

#include "base/error.h"

static const CmkMethod unsupported = { .name = "unsupported method", .log_level = G_LOG_LEVEL_INFO };

/* A marshaller of its own, since the handlers of these methods have as many signatures as there are methods. */
static void
refuse (GClosure *closure, GValue *return_value, G_GNUC_UNUSED guint n_values, const GValue *values,
        G_GNUC_UNUSED gpointer hint, G_GNUC_UNUSED gpointer marshal_data)
{
  GDBusMethodInvocation *invocation = g_value_get_object (&values[1]);
  g_autoptr (GError) error =
      g_error_new (CMK_ERROR, CMK_ERROR_UNSUPPORTED_OPERATION, "%s is not supported by this version of cmkd",
                   g_dbus_method_invocation_get_method_name (invocation));
  cmk_calls_begin (closure->data, invocation, &unsupported, NULL, error);
  g_value_set_boolean (return_value, TRUE);
}

/* "ListAliases" to "handle-list-aliases", the signal of the generated skeleton. */
static char *
handler_signal (const char *method)
{
  GString *signal = g_string_new ("handle");
  for (const char *c = method; *c != '\0'; c++)
    {
      if (g_ascii_isupper (*c))
        g_string_append_c (signal, '-');
      g_string_append_c (signal, g_ascii_tolower (*c));
    }
  return g_string_free (signal, FALSE);
}

void
cmk_bus_refuse_methods (GDBusInterfaceSkeleton *skeleton, CmkCalls *calls, const char *const *methods)
{
  for (; *methods != NULL; methods++)
    {
      GClosure *closure = g_closure_new_simple (sizeof (GClosure), calls);
      g_closure_set_marshal (closure, refuse);
      g_autofree char *signal = handler_signal (*methods);
      g_signal_connect_closure (skeleton, signal, closure, FALSE);
    }
}
