/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/audit.h"

#include "cmkd-journal.h"
#include "cmkd.h"

#include <stdio.h>

#define MAX_FIELDS (14 + CMK_AUDIT_MAX_FACTS)

typedef struct
{
  GLogField fields[MAX_FIELDS];
  gsize count;
} Fields;

/* Control characters, and those that turn the direction of writing, would let one line pass for another. */
static gboolean
is_printable (const char *text)
{
  if (!g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (; *text != '\0'; text = g_utf8_next_char (text))
    if (!g_unichar_isprint (g_utf8_get_char (text)))
      return FALSE;
  return TRUE;
}

static void
put (Fields *fields, const char *key, const char *value)
{
  if (value != NULL && is_printable (value))
    fields->fields[fields->count++] = (GLogField) { key, value, -1 };
}

static const char *
message_id (const CmkAuditEntry *entry)
{
  if (entry->error_name == NULL)
    return CMKD_MESSAGE_CALL_DONE;
  return g_str_equal (entry->error_name, CMKD_ERROR_ACCESS_DENIED) ? CMKD_MESSAGE_ACCESS_DENIED
                                                                   : CMKD_MESSAGE_CALL_REFUSED;
}

/* The journal limits what a service writes by priority: whoever floods it with calls cannot have it drop what an
 * administrator must see. */
static GLogLevelFlags
level_of (const CmkAuditEntry *entry)
{
  if (g_strcmp0 (entry->error_name, CMKD_ERROR_ACCESS_DENIED) == 0)
    return G_LOG_LEVEL_WARNING;
  if (entry->weight == CMK_AUDIT_CHANGE)
    return G_LOG_LEVEL_MESSAGE;
  return entry->error_name == NULL && entry->weight == CMK_AUDIT_STATUS ? G_LOG_LEVEL_DEBUG : G_LOG_LEVEL_INFO;
}

static const char *
priority (GLogLevelFlags level)
{
  switch ((int) level)
    {
    case G_LOG_LEVEL_WARNING:
      return "4";
    case G_LOG_LEVEL_MESSAGE:
      return "5";
    case G_LOG_LEVEL_INFO:
      return "6";
    default:
      return "7";
    }
}

static char *
compose (const CmkAuditEntry *entry, const char *uid, const char *reason)
{
  GString *text = g_string_new (entry->operation);
  g_string_append_printf (text, " by %s%s: %s", uid != NULL ? "uid " : "nobody known", uid != NULL ? uid : "",
                          entry->error_name != NULL ? entry->error_name : "done");
  if (reason != NULL)
    g_string_append_printf (text, ": %s", reason);
  g_string_append_printf (text, " [request %s", entry->request_id);
  for (gsize i = 0; i < entry->n_key_ids; i++)
    g_string_append_printf (text, ", key %s", entry->key_ids[i]);
  for (gsize i = 0; i < CMK_AUDIT_MAX_FACTS; i++)
    if (entry->facts[i].value != NULL)
      g_string_append_printf (text, ", %s %s", entry->facts[i].label, entry->facts[i].value);
  g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

static gboolean
leads_to_journal (void)
{
  static gsize where = 0;
  if (g_once_init_enter (&where))
    g_once_init_leave (&where, g_log_writer_is_journald (fileno (stderr)) ? 1 : 2);
  return where == 1;
}

static void
write_out (GLogLevelFlags level, const Fields *fields)
{
  /* GLib's own way there drops what is below a message. */
  if (!leads_to_journal () ||
      g_log_writer_journald (level, fields->fields, fields->count, NULL) != G_LOG_WRITER_HANDLED)
    g_log_structured_array (level, fields->fields, fields->count);
}

void
cmk_audit_call (const CmkAuditEntry *entry)
{
  GLogLevelFlags level = level_of (entry);
  if (!leads_to_journal () && g_log_writer_default_would_drop (level, G_LOG_DOMAIN))
    return;
  char uid[16];
  g_snprintf (uid, sizeof uid, "%u", entry->caller_uid);
  const char *known_uid = entry->is_caller_known ? uid : NULL;
  const char *reason = entry->error_text != NULL && is_printable (entry->error_text) ? entry->error_text : NULL;
  g_autofree char *message = compose (entry, known_uid, reason);
  Fields fields = { 0 };
  put (&fields, "MESSAGE", message);
  put (&fields, "MESSAGE_ID", message_id (entry));
  put (&fields, "PRIORITY", priority (level));
  put (&fields, "GLIB_DOMAIN", G_LOG_DOMAIN);
  put (&fields, "CMKD_REQUEST_ID", entry->request_id);
  put (&fields, "CMKD_INTERFACE", entry->interface);
  put (&fields, "CMKD_OPERATION", entry->operation);
  for (gsize i = 0; i < entry->n_key_ids; i++)
    put (&fields, "CMKD_KEY_ID", entry->key_ids[i]);
  put (&fields, "CMKD_CALLER_UID", known_uid);
  put (&fields, "CMKD_CALLER_UNIT", entry->caller_unit);
  put (&fields, "CMKD_CALLER_EXE", entry->caller_executable);
  put (&fields, "CMKD_OUTCOME", entry->error_name != NULL ? entry->error_name : "done");
  put (&fields, "CMKD_REASON", reason);
  for (gsize i = 0; i < CMK_AUDIT_MAX_FACTS; i++)
    put (&fields, entry->facts[i].field, entry->facts[i].value);
  write_out (level, &fields);
}

void
cmk_audit_turned_away (gboolean is_caller_known, guint32 caller_uid, const char *counts)
{
  char uid[16];
  g_snprintf (uid, sizeof uid, "%u", caller_uid);
  g_autofree char *message =
      g_strdup_printf ("calls of %s%s that were refused: %s", is_caller_known ? "uid " : "a uid that is not known yet",
                       is_caller_known ? uid : "", counts);
  Fields fields = { 0 };
  put (&fields, "MESSAGE", message);
  put (&fields, "MESSAGE_ID", CMKD_MESSAGE_CALLS_TURNED_AWAY);
  put (&fields, "PRIORITY", priority (G_LOG_LEVEL_MESSAGE));
  put (&fields, "GLIB_DOMAIN", G_LOG_DOMAIN);
  put (&fields, "CMKD_CALLER_UID", is_caller_known ? uid : NULL);
  write_out (G_LOG_LEVEL_MESSAGE, &fields);
}
