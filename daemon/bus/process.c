/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/process.h"

#include <string.h>

#define SYSTEMD_NAME      "org.freedesktop.systemd1"
#define SYSTEMD_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1.Manager"
#define UNIT_PATH_PREFIX  "/org/freedesktop/systemd1/unit/"

/* A first call waits for this, so it is not the time that a busy systemd may need. */
#define SYSTEMD_MILLISECONDS 500

typedef struct
{
  guint32 pid;
  CmkProcessFunc found;
  gpointer user_data;
} Lookup;

void
cmk_process_clear (CmkProcess *process)
{
  g_clear_pointer (&process->unit, g_free);
  g_clear_pointer (&process->executable, g_free);
}

/* "foo_2eservice" is foo.service: what a path may not hold is written as _ and two hex digits. */
static char *
unit_of_path (const char *path)
{
  if (!g_str_has_prefix (path, UNIT_PATH_PREFIX))
    return NULL;
  GString *unit = g_string_new (NULL);
  for (const char *at = path + strlen (UNIT_PATH_PREFIX); *at != '\0'; at++)
    {
      gboolean is_escaped = at[0] == '_' && g_ascii_isxdigit (at[1]) && g_ascii_isxdigit (at[2]);
      g_string_append_c (unit,
                         is_escaped ? (char) (g_ascii_xdigit_value (at[1]) << 4 | g_ascii_xdigit_value (at[2])) : *at);
      at += is_escaped ? 2 : 0;
    }
  return g_string_free (unit, FALSE);
}

static gboolean
is_unit (const char *name)
{
  return g_str_has_suffix (name, ".service") || g_str_has_suffix (name, ".scope");
}

/* The innermost unit of the control group: systemd makes one for each, below those of its slices. */
static char *
unit_of_cgroup (guint32 pid)
{
  g_autofree char *file = g_strdup_printf ("/proc/%u/cgroup", pid);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (file, &text, NULL, NULL))
    return NULL;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      const char *path = strchr (*line, '/');
      if (path == NULL || !(g_str_has_prefix (*line, "0::") || strstr (*line, ":name=systemd:") != NULL))
        continue;
      g_auto (GStrv) groups = g_strsplit (path, "/", -1);
      for (guint i = g_strv_length (groups); i-- > 0;)
        if (is_unit (groups[i]))
          return g_strdup (groups[i]);
    }
  return NULL;
}

static void
finish (Lookup *lookup, char *unit)
{
  g_autofree char *link = g_strdup_printf ("/proc/%u/exe", lookup->pid);
  g_auto (CmkProcess) process = {
    .unit = unit != NULL ? unit : unit_of_cgroup (lookup->pid),
    .executable = g_file_read_link (link, NULL),
  };
  lookup->found (&process, lookup->user_data);
  g_free (lookup);
}

static void
on_unit (GObject *source, GAsyncResult *result, gpointer data)
{
  Lookup *lookup = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_free (lookup);
      return;
    }
  const char *path = NULL;
  if (reply != NULL)
    g_variant_get (reply, "(&o)", &path);
  finish (lookup, path != NULL ? unit_of_path (path) : NULL);
}

void
cmk_process_look_up (GDBusConnection *connection, guint32 pid, GCancellable *cancellable, CmkProcessFunc found,
                     gpointer user_data)
{
  Lookup *lookup = g_new0 (Lookup, 1);
  lookup->pid = pid;
  lookup->found = found;
  lookup->user_data = user_data;
  g_dbus_connection_call (connection, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE, "GetUnitByPID",
                          g_variant_new ("(u)", pid), G_VARIANT_TYPE ("(o)"), G_DBUS_CALL_FLAGS_NO_AUTO_START,
                          SYSTEMD_MILLISECONDS, cancellable, on_unit, lookup);
}
