/* SPDX-License-Identifier: Apache-2.0
 *
 * cmkd: reads its options, opens the store under the TPM, serves it on a bus, ends on SIGTERM. */
#include "base/config.h"
#include "base/error.h"
#include "base/hygiene.h"
#include "base/notify.h"
#include "base/secret.h"
#include "bus/bus.h"
#include "bus/connect.h"
#include "cmkd-journal.h"
#include "crypto/crypto.h"
#include "keyring/keyring.h"
#include "kms/kms.h"
#include "store/store.h"
#include "version.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <locale.h>
#include <sys/stat.h>

#define DEFAULT_CONFIG "/etc/cmkd/cmkd.conf"
#define EXIT_USAGE     2

/* Of cmkd on a bus that starts it again. Whoever calls cmkd calls it several times in a row; a start costs less than a
 * process that is kept for the rest of the day. */
#define DEFAULT_IDLE_SECONDS 120

/* What a cmkd that has given back its name may take to end. Less than the 25 seconds after which most callers of the
 * next one give up, more than the 15 that a TPM which does not answer may hold it up. */
#define PREDECESSOR_SECONDS 20

typedef struct
{
  gboolean system;
  gboolean session;
  char *bus_address;
  char *tcti;
  char *state_dir;
  char *config;
  char *idle_timeout;
  gint64 idle_milliseconds; /* -1: not said */
  gboolean version;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->bus_address);
  g_free (options->tcti);
  g_free (options->state_dir);
  g_free (options->config);
  g_free (options->idle_timeout);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static gboolean
parse_idle_timeout (Options *options, GError **error)
{
  options->idle_milliseconds = -1;
  if (options->idle_timeout == NULL)
    return TRUE;
  char *end;
  double seconds = g_ascii_strtod (options->idle_timeout, &end);
  if (end == options->idle_timeout || *end != '\0' || !(seconds >= 0 && seconds <= CMK_MAX_IDLE_SECONDS))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   "--idle-timeout takes seconds from 0 (never ends by itself) to %d", CMK_MAX_IDLE_SECONDS);
      return FALSE;
    }
  options->idle_milliseconds = seconds > 0 ? MAX ((gint64) (seconds * 1000), 1) : 0;
  return TRUE;
}

static gboolean
parse_options (int argc, char **argv, Options *options, GError **error)
{
  const GOptionEntry entries[] = {
    { "system", 0, 0, G_OPTION_ARG_NONE, &options->system, "Serve the system bus (default)", NULL },
    { "session", 0, 0, G_OPTION_ARG_NONE, &options->session, "Serve the session bus, for this user", NULL },
    { "bus-address", 0, 0, G_OPTION_ARG_STRING, &options->bus_address, "Serve the bus at ADDR", "ADDR" },
    { "tcti", 0, 0, G_OPTION_ARG_STRING, &options->tcti, "How to reach the TPM (device:/dev/tpmrm0)", "CONF" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir, "Keep the state in DIR", "DIR" },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &options->config, "Read FILE (" DEFAULT_CONFIG ")", "FILE" },
    { "idle-timeout", 0, 0, G_OPTION_ARG_STRING, &options->idle_timeout,
      "End after SECONDS without use, 0 = never (120; with --bus-address 0)", "SECONDS" },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version and end", NULL },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- keep this machine's keys under its TPM");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  if (argc > 1)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "cmkd takes options only; see cmkd --help");
      return FALSE;
    }
  if (options->system + options->session + (options->bus_address != NULL) > 1)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                           "--system, --session and --bus-address exclude each other");
      return FALSE;
    }
  return parse_idle_timeout (options, error);
}

static char *
state_directory (const Options *options)
{
  if (options->state_dir != NULL)
    return g_strdup (options->state_dir);
  const char *of_unit = g_getenv ("STATE_DIRECTORY");
  if (of_unit != NULL)
    return g_strdup (of_unit);
  if (!options->session)
    return g_strdup ("/var/lib/cmkd");
  return g_build_filename (g_get_user_state_dir (), "cmkd", NULL);
}

static CmkConfig *
load_config (const Options *options, GError **error)
{
  CmkConfig *config =
      cmk_config_load (options->config != NULL ? options->config : DEFAULT_CONFIG, options->config != NULL, error);
  if (config != NULL && options->tcti != NULL)
    {
      g_free (config->tcti);
      config->tcti = g_strdup (options->tcti);
    }
  return config;
}

/* Nobody knows whether a bus of another kind starts cmkd again. */
static guint
idle_milliseconds (const Options *options, const CmkConfig *config)
{
  if (options->idle_milliseconds >= 0)
    return (guint) options->idle_milliseconds;
  if (config->idle_seconds != CMK_IDLE_NOT_SAID)
    return config->idle_seconds * 1000;
  return options->bus_address != NULL ? 0 : DEFAULT_IDLE_SECONDS * 1000;
}

static GDBusConnection *
connect_bus (const Options *options, GError **error)
{
  g_autofree char *address = g_strdup (options->bus_address);
  if (address == NULL)
    address = g_dbus_address_get_for_bus_sync (options->session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
  return address != NULL ? cmk_connect (address, error) : NULL;
}

/* --- running --- */

typedef struct
{
  GMainLoop *loop;
  const char *directory;
  CmkNotify *notify;
  GError *error; /* why it ended, if not because it was asked to */
} Daemon;

static void
on_ended (const GError *error, gpointer data)
{
  Daemon *daemon = data;
  if (error != NULL && daemon->error == NULL)
    daemon->error = g_error_copy (error);
  g_main_loop_quit (daemon->loop);
}

/* Tell the journal if the store is served from now on. One line for the service manager. */
static char *
tell_status (const Daemon *daemon, const char *state_status)
{
  if (!g_str_equal (state_status, "ok")) /* the journal has been told what is the matter */
    return g_strdup_printf ("no key can be used: the store in %s is %s: see `cmkctl status`", daemon->directory,
                            state_status);
  char *text = g_strdup_printf ("serving the store in %s", daemon->directory);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", CMKD_MESSAGE_SERVING, "MESSAGE", "%s", text);
  return text;
}

static void
on_status_changed (const char *state_status, gpointer data)
{
  Daemon *daemon = data;
  g_autofree char *status = tell_status (daemon, state_status);
  cmk_notify_status (daemon->notify, status);
}

static gboolean
on_terminate (gpointer bus)
{
  cmk_bus_leave (bus);
  return G_SOURCE_CONTINUE; /* a second signal must not kill us over the calls that are still to be answered */
}

static gboolean
serve (CmkBus *bus, const CmkConfig *config, guint idle, Daemon *daemon, GError **error)
{
  g_autoptr (CmkNotify) notify = daemon->notify = cmk_notify_new ();
  g_autoptr (CmkKms) kms = cmk_kms_open (config, daemon->directory, &cmk_bus_events, bus, error);
  if (kms == NULL)
    return FALSE;
  /* Before the name is ours: whoever waits for that may want us to end at once. For the rest of our life: systemd sends
   * SIGTERM as soon as the name is given back, and what is being concluded and kept then must not be cut off. */
  g_unix_signal_add (SIGTERM, on_terminate, bus);
  g_unix_signal_add (SIGINT, on_terminate, bus);
  if (!cmk_bus_serve (bus, kms, error))
    return FALSE;
  if (idle > 0)
    cmk_bus_leave_when_idle (bus, idle);
  g_autofree char *status = tell_status (daemon, cmk_vault_state_status (cmk_kms_vault (kms)));
  cmk_notify_ready (notify, status);
  g_main_loop_run (daemon->loop);
  cmk_notify_stopping (notify);
  if (daemon->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&daemon->error));
  return FALSE;
}

static gboolean
run (const Options *options, GError **error)
{
  umask (0077);
  g_autoptr (CmkConfig) config = load_config (options, error);
  if (config == NULL || !cmk_hygiene_seal_process (error) || !cmk_secret_init (error) || !cmk_crypto_init (error))
    return FALSE;
  /* Before GDBus starts its thread: threads inherit the process keyring, they do not share a later one. */
  cmk_keyring_prepare_process ();
  g_autoptr (GDBusConnection) connection = connect_bus (options, error);
  if (connection == NULL)
    return FALSE;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autofree char *directory = state_directory (options);
  Daemon daemon = { .loop = loop, .directory = directory };
  /* On a bus of their own people are asked nothing. */
  gboolean has_policy = !options->session && options->bus_address == NULL;
  g_autoptr (CmkAuthority) authority = has_policy ? cmk_authority_new (connection, config->keep_seconds) : NULL;
  g_autoptr (CmkBus) bus = cmk_bus_new (connection, authority, on_ended, on_status_changed, &daemon);
  /* Whoever has ended by itself is wanted again at once, if it comes to it, and the bus knows nothing of its state. */
  if (!cmk_bus_is_served (connection))
    cmk_store_await_release (directory, PREDECESSOR_SECONDS);
  gboolean served = serve (bus, config, idle_milliseconds (options, config), &daemon, error);
  g_dbus_connection_flush_sync (connection, NULL, NULL);
  return served;
}

int
main (int argc, char **argv)
{
  cmk_hygiene_restart_with_wiping_heap (argv);
  setlocale (LC_ALL, "");
  /* tpm2-tss writes every expected TPM error to standard error; ours are told once, at its door. Whatever the
   * environment says: its traces show what is sealed and unsealed. */
  g_setenv ("TSS2_LOG", "all+none", TRUE);
  g_auto (Options) options = { 0 };
  g_autoptr (GError) error = NULL;
  if (!parse_options (argc, argv, &options, &error))
    {
      g_printerr ("cmkd: %s\n", error->message);
      return EXIT_USAGE;
    }
  if (options.version)
    {
      g_print ("cmkd %s\n", CMKD_VERSION);
      return EXIT_SUCCESS;
    }
  if (!run (&options, &error))
    {
      g_printerr ("cmkd: %s\n", error->message);
      return EXIT_FAILURE;
    }
  return EXIT_SUCCESS;
}
