/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/callers.h"

#include "base/error.h"
#include "bus/account.h"

#include <unistd.h>

/* A unique name is never used again on its bus, so what was learnt stays true; the bound is for memory alone. */
#define MAX_KNOWN 4096

struct _CmkCallers
{
  GDBusConnection *connection;
  GCancellable *cancellable;
  gboolean own_uid_administers;
  GHashTable *known;   /* unique name -> CmkIdentity */
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
  CmkIdentity *identity; /* as far as it is known */
  guint n_missing;       /* facts that are being looked up */
  GError *denied;
} Lookup;

CmkIdentity *
cmk_identity_ref (CmkIdentity *identity)
{
  g_ref_count_inc (&identity->references);
  return identity;
}

void
cmk_identity_unref (CmkIdentity *identity)
{
  if (!g_ref_count_dec (&identity->references))
    return;
  cmk_process_clear (&identity->process);
  g_free (identity->account);
  g_free (identity->groups);
  g_free (identity);
}

static CmkIdentity *
new_identity (void)
{
  CmkIdentity *identity = g_new0 (CmkIdentity, 1);
  g_ref_count_init (&identity->references);
  return identity;
}

static void
free_identity (gpointer identity)
{
  cmk_identity_unref (identity);
}

static void
free_lookup (gpointer data)
{
  Lookup *lookup = data;
  g_clear_pointer (&lookup->identity, cmk_identity_unref);
  g_clear_error (&lookup->denied);
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
  callers->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_identity);
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
remember (CmkCallers *callers, const char *sender, CmkIdentity *identity)
{
  if (g_hash_table_size (callers->known) >= MAX_KNOWN)
    g_hash_table_remove_all (callers->known);
  g_hash_table_insert (callers->known, g_strdup (sender), cmk_identity_ref (identity));
}

static void
conclude (Lookup *lookup)
{
  CmkCallers *callers = lookup->callers;
  const GError *denied = lookup->denied;
  if (denied == NULL)
    remember (callers, lookup->sender, lookup->identity);
  g_hash_table_steal (callers->pending, lookup->sender);
  for (guint i = 0; i < lookup->questions->len; i++)
    {
      const Question *question = &g_array_index (lookup->questions, Question, i);
      question->identified (denied == NULL ? lookup->identity : NULL, denied, question->user_data);
    }
  free_lookup (lookup);
}

static void
note_found (Lookup *lookup)
{
  if (--lookup->n_missing == 0)
    conclude (lookup);
}

/* Nobody gets it, but the journal. */
static GError *
new_gone_error (void)
{
  return g_error_new_literal (CMK_ERROR, CMK_ERROR_THROTTLED, "the caller did not wait");
}

/* --- the account --- */

static void
on_account (G_GNUC_UNUSED GObject *source, GAsyncResult *result, gpointer data)
{
  Lookup *lookup = data;
  g_autoptr (GError) error = NULL;
  char *account = cmk_account_look_up_finish (result, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return; /* the lookup went with its callers */
  lookup->identity->account = account;
  if (error != NULL)
    lookup->denied = g_error_new (CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                                  "%s: nobody is served unknown; try again, or have the account made", error->message);
  note_found (lookup);
}

/* --- the process --- */

static void
on_process (const CmkProcess *process, gpointer data)
{
  Lookup *lookup = data;
  lookup->identity->process = (CmkProcess) {
    .unit = g_strdup (process->unit),
    .executable = g_strdup (process->executable),
  };
  note_found (lookup);
}

static void
find_process (Lookup *lookup, GVariant *credentials)
{
  guint32 pid;
  if (g_variant_lookup (credentials, "ProcessID", "u", &pid))
    cmk_process_look_up (lookup->callers->connection, pid, lookup->callers->cancellable, on_process, lookup);
  else
    note_found (lookup);
}

/* --- the credentials --- */

static CmkIdentity *
read_credentials (const CmkCallers *callers, GVariant *credentials)
{
  g_autoptr (CmkIdentity) identity = new_identity ();
  if (!g_variant_lookup (credentials, "UnixUserID", "u", &identity->uid))
    return NULL;
  identity->is_administrator = identity->uid == 0 || (callers->own_uid_administers && identity->uid == getuid ());
  g_autoptr (GVariant) groups = g_variant_lookup_value (credentials, "UnixGroupIDs", G_VARIANT_TYPE ("au"));
  if (groups == NULL)
    return g_steal_pointer (&identity);
  const guint32 *ids = g_variant_get_fixed_array (groups, &identity->n_groups, sizeof *ids);
  identity->groups = g_memdup2 (ids, identity->n_groups * sizeof *ids);
  return g_steal_pointer (&identity);
}

static void
on_credentials (GObject *source, GAsyncResult *result, gpointer data)
{
  Lookup *lookup = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return; /* the lookup went with its callers */
  g_autoptr (GVariant) credentials = reply != NULL ? g_variant_get_child_value (reply, 0) : NULL;
  lookup->identity = credentials != NULL ? read_credentials (lookup->callers, credentials) : NULL;
  if (lookup->identity != NULL)
    {
      lookup->n_missing = 2;
      cmk_account_look_up (lookup->identity->uid, lookup->identity->uid, lookup->callers->cancellable, on_account,
                           lookup);
      find_process (lookup, credentials);
      return;
    }
  lookup->denied = g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER)
                       ? new_gone_error ()
                       : g_error_new_literal (CMK_ERROR, CMK_ERROR_ACCESS_DENIED,
                                              "the bus daemon does not say which user is calling: nobody is served "
                                              "unknown");
  conclude (lookup);
}

void
cmk_callers_identify (CmkCallers *callers, const char *sender, CmkCallerFunc identified, gpointer user_data)
{
  CmkIdentity *identity = g_hash_table_lookup (callers->known, sender);
  if (identity != NULL)
    {
      identified (identity, NULL, user_data);
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

/* --- is it still there --- */

typedef struct
{
  CmkPresenceFunc checked;
  gpointer user_data;
} PresenceCheck;

static void
on_presence (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree PresenceCheck *check = data;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, NULL);
  g_autoptr (GError) gone = NULL;
  gboolean is_there = FALSE;
  if (reply != NULL)
    g_variant_get (reply, "(b)", &is_there);
  if (!is_there)
    gone = new_gone_error ();
  check->checked (gone, check->user_data);
}

void
cmk_callers_check_presence (CmkCallers *callers, const char *sender, CmkPresenceFunc checked, gpointer user_data)
{
  PresenceCheck *check = g_new0 (PresenceCheck, 1);
  *check = (PresenceCheck) { checked, user_data };
  g_dbus_connection_call (callers->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                          "NameHasOwner", g_variant_new ("(s)", sender), G_VARIANT_TYPE ("(b)"), G_DBUS_CALL_FLAGS_NONE,
                          -1, NULL, on_presence, check);
}
