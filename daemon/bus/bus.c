/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"

#include "base/error.h"
#include "bus/account.h"
#include "bus/admission.h"
#include "bus/idle.h"
#include "bus/interfaces.h"
#include "bus/message-stream.h"
#include "cmkd.h"

#define REQUEST_NAME_DO_NOT_QUEUE 4
#define REQUEST_NAME_IS_OWNER     1

struct _CmkBus
{
  GDBusConnection *connection;
  CmkAuthority *authority; /* NULL: on a bus of one user's own */
  CmkBusEndedFunc ended;
  CmkBusStatusFunc status_changed;
  gpointer user_data;
  CmkAdmission *admission;
  CmkKms *kms;
  CmkCalls *calls;
  CmkIdle *idle;
  CmkDBusKeys *keys;
  CmkDBusImport *import;
  CmkDBusCrypto *crypto;
  CmkDBusService *service;
  const char *tpm_state;    /* as the properties of the service say */
  const char *state_status; /* likewise */
  gboolean leaving;
  gboolean name_given_back;
  guint last_look; /* for calls, before the end; 0 = none */
  gboolean saw_none;
};

/* After all that the main loop has to do. */
#define LAST_LOOK_PRIORITY G_PRIORITY_LOW

static void
on_closed (G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED gboolean vanished, const GError *cause, CmkBus *bus)
{
  if (bus->leaving)
    {
      bus->ended (NULL, bus->user_data);
      return;
    }
  g_autoptr (GError) error = g_error_new (CMK_ERROR, CMK_ERROR_INTERNAL, "the bus closed the connection%s%s",
                                          cause != NULL ? ": " : "", cause != NULL ? cause->message : "");
  bus->ended (error, bus->user_data);
}

CmkBus *
cmk_bus_new (GDBusConnection *connection, CmkAuthority *authority, CmkBusEndedFunc ended,
             CmkBusStatusFunc status_changed, gpointer user_data)
{
  CmkBus *bus = g_new0 (CmkBus, 1);
  bus->connection = g_object_ref (connection);
  bus->authority = authority;
  bus->ended = ended;
  bus->status_changed = status_changed;
  bus->user_data = user_data;
  bus->keys = cmk_dbus_keys_skeleton_new ();
  bus->import = cmk_dbus_import_skeleton_new ();
  bus->crypto = cmk_dbus_crypto_skeleton_new ();
  bus->service = cmk_dbus_service_skeleton_new ();
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  g_signal_connect (connection, "closed", G_CALLBACK (on_closed), bus);
  bus->admission = cmk_admission_new (connection);
  return bus;
}

void
cmk_bus_free (CmkBus *bus)
{
  if (bus == NULL)
    return;
  g_signal_handlers_disconnect_by_data (bus->connection, bus);
  cmk_admission_free (bus->admission);
  GDBusInterfaceSkeleton *skeletons[] = {
    G_DBUS_INTERFACE_SKELETON (bus->keys),
    G_DBUS_INTERFACE_SKELETON (bus->import),
    G_DBUS_INTERFACE_SKELETON (bus->crypto),
    G_DBUS_INTERFACE_SKELETON (bus->service),
  };
  for (gsize i = 0; i < G_N_ELEMENTS (skeletons); i++)
    {
      if (g_dbus_interface_skeleton_get_connection (skeletons[i]) != NULL)
        g_dbus_interface_skeleton_unexport (skeletons[i]);
      g_object_unref (skeletons[i]);
    }
  if (bus->last_look != 0)
    g_source_remove (bus->last_look);
  cmk_idle_free (bus->idle);
  cmk_calls_free (bus->calls);
  g_object_unref (bus->connection);
  g_free (bus);
}

/* Calls wait in the stream until the main loop has nothing else to do, and are not counted in the moment in which they
 * are given to it: so there is none if two looks in a row find none. */
static gboolean
look_for_calls (gpointer data)
{
  CmkBus *bus = data;
  gboolean saw_none = bus->saw_none;
  bus->saw_none = FALSE;
  if (cmk_calls_count (bus->calls) > 0)
    {
      bus->last_look = 0;
      return G_SOURCE_REMOVE;
    }
  if (cmk_message_stream_count_calls (g_dbus_connection_get_stream (bus->connection)) > 0)
    return G_SOURCE_CONTINUE;
  bus->saw_none = TRUE;
  if (!saw_none)
    return G_SOURCE_CONTINUE;
  bus->last_look = 0;
  bus->ended (NULL, bus->user_data);
  return G_SOURCE_REMOVE;
}

/* As soon as the main loop has nothing to do. */
static void
end_when_done (CmkBus *bus)
{
  if (bus->last_look == 0)
    bus->last_look = g_idle_add_full (LAST_LOOK_PRIORITY, look_for_calls, bus, NULL);
}

static void
note_state (CmkBus *bus)
{
  CmkVault *vault = cmk_kms_vault (bus->kms);
  const char *tpm_state = cmk_vault_tpm_state (vault);
  const char *state_status = cmk_vault_state_status (vault);
  if (tpm_state == bus->tpm_state && state_status == bus->state_status)
    return;
  gboolean is_other = state_status != bus->state_status;
  bus->tpm_state = tpm_state;
  bus->state_status = state_status;
  cmk_bus_refresh_service (bus->service, bus->kms);
  if (is_other)
    bus->status_changed (state_status, bus->user_data);
}

static void
on_answered (gpointer data)
{
  CmkBus *bus = data;
  note_state (bus);
  if (bus->name_given_back)
    end_when_done (bus);
}

static gboolean export(CmkBus *bus, gpointer skeleton, GError **error)
{
  return g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (skeleton), bus->connection, CMKD_OBJECT_PATH,
                                           error);
}

static gboolean
own_name (CmkBus *bus, GError **error)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      bus->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
      g_variant_new ("(su)", CMKD_BUS_NAME, REQUEST_NAME_DO_NOT_QUEUE), G_VARIANT_TYPE ("(u)"), G_DBUS_CALL_FLAGS_NONE,
      -1, NULL, error);
  if (reply == NULL)
    return FALSE;
  guint32 result;
  g_variant_get (reply, "(u)", &result);
  if (result == REQUEST_NAME_IS_OWNER)
    return TRUE;
  g_set_error_literal (error, CMK_ERROR, CMK_ERROR_INTERNAL,
                       "the name " CMKD_BUS_NAME " is taken: another cmkd serves this bus");
  return FALSE;
}

gboolean
cmk_bus_is_served (GDBusConnection *connection)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
      g_variant_new ("(s)", CMKD_BUS_NAME), G_VARIANT_TYPE ("(b)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  gboolean is_owned = FALSE;
  if (reply != NULL)
    g_variant_get (reply, "(b)", &is_owned);
  return is_owned;
}

gboolean
cmk_bus_serve (CmkBus *bus, CmkKms *kms, GError **error)
{
  bus->kms = kms;
  bus->calls = cmk_calls_new (kms, bus->connection, bus->admission, bus->authority, on_answered, bus);
  cmk_bus_serve_keys (bus->keys, bus->calls);
  cmk_bus_serve_import (bus->import, bus->calls);
  cmk_bus_serve_crypto (bus->crypto, bus->calls);
  cmk_bus_serve_service (bus->service, bus->calls, kms);
  bus->tpm_state = cmk_vault_tpm_state (cmk_kms_vault (kms));
  bus->state_status = cmk_vault_state_status (cmk_kms_vault (kms));
  return export(bus, bus->keys, error) && export(bus, bus->import, error) && export(bus, bus->crypto, error) &&
         export(bus, bus->service, error) && own_name (bus, error);
}

static void
on_name_released (GObject *source, GAsyncResult *result, gpointer data)
{
  CmkBus *bus = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  if (reply == NULL)
    g_message ("giving back the bus name: %s", error->message);
  /* The bus delivers in order: what was sent to the name before it was ours no longer has arrived by now. */
  bus->name_given_back = TRUE;
  end_when_done (bus);
}

static void
give_back_name (CmkBus *bus)
{
  bus->leaving = TRUE;
  g_dbus_connection_call (bus->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                          "ReleaseName", g_variant_new ("(s)", CMKD_BUS_NAME), G_VARIANT_TYPE ("(u)"),
                          G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_name_released, bus);
}

void
cmk_bus_leave (CmkBus *bus)
{
  /* systemd sends SIGTERM to whoever has given back the name of its unit: that is no reason to hurry with the rest. */
  if (bus->leaving)
    return;
  cmk_kms_begin_stop (bus->kms);
  cmk_account_hurry ();
  if (bus->authority != NULL)
    cmk_authority_end_dialogs (bus->authority);
  give_back_name (bus);
}

static void
on_idle (gpointer data)
{
  CmkBus *bus = data;
  if (!bus->leaving)
    give_back_name (bus);
}

void
cmk_bus_leave_when_idle (CmkBus *bus, guint milliseconds)
{
  bus->idle = cmk_idle_watch (bus->calls, bus->kms, milliseconds, on_idle, bus);
}

static void
broadcast_change (const CmkUuid *key_id, CmkKeyState state, const char *reason, gpointer user_data)
{
  CmkBus *bus = user_data;
  char id[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (key_id, id);
  cmk_dbus_keys_emit_key_changed (bus->keys, id, cmk_spec_name (cmk_key_states, (int) state), reason);
}

static void
broadcast_expiry (const CmkUuid *key_id, gint64 expires_at, gpointer user_data)
{
  CmkBus *bus = user_data;
  char id[CMK_UUID_TEXT_SIZE];
  cmk_uuid_format (key_id, id);
  cmk_dbus_keys_emit_key_material_expiring (bus->keys, id, expires_at);
}

static void
flush (gpointer user_data)
{
  CmkBus *bus = user_data;
  g_autoptr (GError) error = NULL;
  if (!g_dbus_connection_flush_sync (bus->connection, NULL, &error))
    g_message ("signals could not be sent: %s", error->message);
}

const CmkKmsEvents cmk_bus_events = {
  .key_changed = broadcast_change,
  .material_expiring = broadcast_expiry,
  .flush = flush,
};
