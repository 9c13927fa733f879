/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/callers.h"

#include "base/error.h"

#include <unistd.h>

/* A unique name is never used again on its bus, so what was learnt stays true; the bound is for memory alone. */
#define MAX_KNOWN 4096

struct _CmkCallers
{
  GDBusConnection *connection;
  GCancellable *cancellable;
  gboolean own_uid_administers;
  GHashTable *known;   /* unique name -> CmkCaller */
  GHashTable *pending; /* unique name -> Lookup */
};

typedef struct
{
  CmkCallerFunc identified;
  gpointer user_data;
} Question;

typedef struct
{
  CmkCallers *callers;
  char *sender;
  GArray *questions;
} Lookup;

static void
free_lookup (gpointer data)
{
  Lookup *lookup = data;
  g_free (lookup->sender);
  g_array_unref (lookup->questions);
  g_free (lookup);
}

CmkCallers *
cmk_callers_new (GDBusConnection *connection, gboolean own_uid_administers)
{
  CmkCallers *callers = g_new0 (CmkCallers, 1);
  callers->connection = g_object_ref (connection);
  callers->own_uid_administers = own_uid_administers;
  callers->cancellable = g_cancellable_new ();
  callers->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  callers->pending = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, free_lookup);
  return callers;
}

void
cmk_callers_free (CmkCallers *callers)
{
  if (callers == NULL)
    return;
  g_cancellable_cancel (callers->cancellable);
  g_object_unref (callers->cancellable);
  g_hash_table_unref (callers->known);
  g_hash_table_unref (callers->pending);
  g_object_unref (callers->connection);
  g_free (callers);
}

static void
remember (CmkCallers *callers, const char *sender, const CmkCaller *caller)
{
  if (g_hash_table_size (callers->known) >= MAX_KNOWN)
    g_hash_table_remove_all (callers->known);
  g_hash_table_insert (callers->known, g_strdup (sender), g_memdup2 (caller, sizeof *caller));
}

static void
on_credentials (GObject *source, GAsyncResult *result, gpointer data)
{
  Lookup *lookup = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return; /* the lookup went with its callers */
  CmkCallers *callers = lookup->callers;
  CmkCaller caller = { 0 };
  g_autoptr (GError) denied = NULL;
  g_autoptr (GVariant) credentials = reply != NULL ? g_variant_get_child_value (reply, 0) : NULL;
  if (credentials != NULL && g_variant_lookup (credentials, "UnixUserID", "u", &caller.uid))
    {
      caller.is_administrator = caller.uid == 0 || (callers->own_uid_administers && caller.uid == getuid ());
      remember (callers, lookup->sender, &caller);
    }
  else
    denied = g_error_new_literal (CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                                  "the bus daemon does not say which user is calling: nobody is served unknown");

  g_hash_table_steal (callers->pending, lookup->sender);
  for (guint i = 0; i < lookup->questions->len; i++)
    {
      const Question *question = &g_array_index (lookup->questions, Question, i);
      question->identified (denied == NULL ? &caller : NULL, denied, question->user_data);
    }
  free_lookup (lookup);
}

void
cmk_callers_identify (CmkCallers *callers, const char *sender, CmkCallerFunc identified, gpointer user_data)
{
  const CmkCaller *caller = g_hash_table_lookup (callers->known, sender);
  if (caller != NULL)
    {
      identified (caller, NULL, user_data);
      return;
    }
  Question question = { identified, user_data };
  Lookup *lookup = g_hash_table_lookup (callers->pending, sender);
  if (lookup != NULL)
    {
      g_array_append_val (lookup->questions, question);
      return;
    }
  lookup = g_new0 (Lookup, 1);
  lookup->callers = callers;
  lookup->sender = g_strdup (sender);
  lookup->questions = g_array_new (FALSE, FALSE, sizeof (Question));
  g_array_append_val (lookup->questions, question);
  g_hash_table_insert (callers->pending, lookup->sender, lookup);
  g_dbus_connection_call (callers->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                          "GetConnectionCredentials", g_variant_new ("(s)", sender), G_VARIANT_TYPE ("(a{sv})"),
                          G_DBUS_CALL_FLAGS_NONE, -1, callers->cancellable, on_credentials, lookup);
}
