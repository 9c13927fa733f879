/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/authority.h"

#include "base/error.h"
#include "bus/actions.h"

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define ALLOW_USER_INTERACTION 1 /* of CheckAuthorizationFlags */

/* Less than the 25 seconds after which most callers give up, so that they are told; and what a dialog may take. */
#define ANSWER_SECONDS 10
#define DIALOG_SECONDS 120

#define MAX_KEPT 4096

struct _CmkAuthority
{
  GDBusConnection *connection;
  GCancellable *no_dialogs; /* cancelled: none is waited for */
  gint64 keep;              /* microseconds */
  GHashTable *kept;         /* see name_answer() -> gint64, the monotonic time until which it holds */
  guint64 age;              /* how often what was kept has been forgotten */
  guint changed_subscription;
  guint owner_subscription;
  guint64 dialogs; /* asked for so far */
};

typedef struct
{
  CmkAuthority *authority;
  char *sender;
  const char *method;
  CmkAccessQuestion question;
  gboolean interactive;
  char *cancellation_id; /* NULL until somebody is asked to authenticate */
  guint64 age;           /* of the authority, when it was asked */
  CmkAuthorityFunc answered;
  gpointer user_data;
} Check;

static void
free_check (Check *check)
{
  g_free (check->sender);
  g_free (check->cancellation_id);
  g_free (check);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Check, free_check)

/* --- answers that are kept --- */

static void
forget_answers (CmkAuthority *authority)
{
  authority->age++;
  g_hash_table_remove_all (authority->kept);
}

static void
on_changed (G_GNUC_UNUSED GDBusConnection *connection, G_GNUC_UNUSED const char *sender, G_GNUC_UNUSED const char *path,
            G_GNUC_UNUSED const char *interface, G_GNUC_UNUSED const char *signal, G_GNUC_UNUSED GVariant *parameters,
            gpointer authority)
{
  forget_answers (authority);
}

/* Everything that a rule can tell two questions apart by, and cannot follow from the rest. */
static char *
name_answer (const char *sender, const char *method, const CmkAccessQuestion *question)
{
  char id[CMK_UUID_TEXT_SIZE] = "";
  if (question->has_key)
    cmk_uuid_format (&question->key_id, id);
  return g_strdup_printf ("%s %s %d %u %s %d %u %d %d %d %" G_GINT64_FORMAT, sender, method, question->action,
                          (guint) question->operation, id, question->has_facts, question->owner_uid, question->origin,
                          question->spec, question->usage, question->expires_at);
}

gboolean
cmk_authority_remembers (CmkAuthority *authority, const char *sender, const char *method,
                         const CmkAccessQuestion *question)
{
  if (g_hash_table_size (authority->kept) == 0)
    return FALSE;
  g_autofree char *name = name_answer (sender, method, question);
  const gint64 *until = g_hash_table_lookup (authority->kept, name);
  return until != NULL && g_get_monotonic_time () < *until;
}

static void
keep_answer (CmkAuthority *authority, const Check *check)
{
  /* An answer to what was asked before polkit said that something has changed may be one of before. */
  if (authority->keep == 0 || check->age != authority->age)
    return;
  if (g_hash_table_size (authority->kept) >= MAX_KEPT)
    forget_answers (authority);
  gint64 until = g_get_monotonic_time () + authority->keep;
  g_hash_table_replace (authority->kept, name_answer (check->sender, check->method, &check->question),
                        g_memdup2 (&until, sizeof until));
}

/* --- asking --- */

/* What rules can decide on, as texts: polkit takes nothing else. It hands them on to the caller's authentication agent,
 * who is not to learn from a dialog that there is such a key of somebody else's. */
static GVariant *
describe (const Check *check)
{
  const CmkAccessQuestion *question = &check->question;
  gboolean is_secret = check->cancellation_id != NULL && question->action == CMK_ACTION_MANAGE_OTHERS_KEYS;
  g_auto (GVariantBuilder) details = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));
  g_variant_builder_add (&details, "{ss}", "operation", check->method);
  if (question->has_key)
    {
      char id[CMK_UUID_TEXT_SIZE];
      cmk_uuid_format (&question->key_id, id);
      g_variant_builder_add (&details, "{ss}", "key_id", id);
    }
  if (question->has_facts && !is_secret)
    {
      g_autofree char *expiry = g_strdup_printf ("%" G_GINT64_FORMAT, question->expires_at);
      g_autofree char *owner = g_strdup_printf ("%u", question->owner_uid);
      g_variant_builder_add (&details, "{ss}", "origin", cmk_spec_name (cmk_origins, (int) question->origin));
      g_variant_builder_add (&details, "{ss}", "spec", cmk_spec_name (cmk_key_specs, (int) question->spec));
      g_variant_builder_add (&details, "{ss}", "usage", cmk_spec_name (cmk_key_usages, (int) question->usage));
      g_variant_builder_add (&details, "{ss}", "expiry", expiry);
      g_variant_builder_add (&details, "{ss}", "owner", owner);
    }
  return g_variant_builder_end (&details);
}

static GVariant *
subject (const char *sender)
{
  g_auto (GVariantBuilder) details = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{sv}"));
  g_variant_builder_add (&details, "{sv}", "name", g_variant_new_string (sender));
  return g_variant_new ("(s@a{sv})", "system-bus-name", g_variant_builder_end (&details));
}

static void on_checked (GObject *source, GAsyncResult *result, gpointer data);

static void
send_question (Check *check)
{
  const CmkAuthority *authority = check->authority;
  gboolean has_dialog = check->cancellation_id != NULL;
  g_dbus_connection_call (authority->connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization",
                          g_variant_new ("(@(sa{sv})s@a{ss}us)", subject (check->sender),
                                         cmk_actions_name (check->question.action), describe (check),
                                         has_dialog ? ALLOW_USER_INTERACTION : 0,
                                         has_dialog ? check->cancellation_id : ""),
                          NULL, G_DBUS_CALL_FLAGS_NONE, 1000 * (has_dialog ? DIALOG_SECONDS : ANSWER_SECONDS),
                          has_dialog ? authority->no_dialogs : NULL, on_checked, check);
}

/* polkit need not ask anybody for us any more. */
static void
call_off_dialog (const Check *check)
{
  g_dbus_connection_call (check->authority->connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                          "CancelCheckAuthorization", g_variant_new ("(s)", check->cancellation_id), NULL,
                          G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, NULL, NULL);
}

/* --- what polkit says --- */

static GError *
deny (const Check *check, const char *before, const char *after)
{
  return g_error_new (CMK_ERROR, CMK_ERROR_ACCESS_DENIED, "%s%s%s", before, cmk_actions_name (check->question.action),
                      after);
}

typedef enum
{
  VERDICT_YES,
  VERDICT_YES_AFTER_DIALOG, /* now, or lately */
  VERDICT_CHALLENGE,
  VERDICT_NO,
} Verdict;

static Verdict
read_verdict (const Check *check, GVariant *reply, const GError *failure, GError **denied)
{
  gboolean is_authorized, is_challenge;
  const char *value;
  g_autoptr (GVariant) details = NULL;
  if (g_error_matches (failure, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      *denied = deny (check, "cmkd is ending, and waits for nobody to authenticate for ", ": call again");
      return VERDICT_NO;
    }
  if (check->cancellation_id != NULL && g_error_matches (failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    {
      *denied = deny (check, "nobody has authenticated in " G_STRINGIFY (DIALOG_SECONDS) " seconds for ",
                      ": nothing was done; call again when somebody can");
      return VERDICT_NO;
    }
  if (reply == NULL || !g_variant_is_of_type (reply, G_VARIANT_TYPE ("((bba{ss}))")))
    {
      g_message ("polkit: %s", failure != NULL ? failure->message : "an answer that is none");
      *denied = deny (check, "polkit, which decides on ",
                      ", did not answer: only root is served without it; see `systemctl status polkit`");
      return VERDICT_NO;
    }
  g_variant_get (reply, "((bb@a{ss}))", &is_authorized, &is_challenge, &details);
  if (is_authorized)
    return check->cancellation_id != NULL ||
                   g_variant_lookup (details, "polkit.temporary_authorization_id", "&s", &value)
               ? VERDICT_YES_AFTER_DIALOG
               : VERDICT_YES;
  if (g_variant_lookup (details, "polkit.dismissed", "&s", &value))
    *denied = deny (check, "the dialog that asks to authenticate for ", " was dismissed: nothing was done");
  else if (is_challenge)
    *denied =
        deny (check, "somebody has to authenticate for ",
              ": call from a session with an authentication agent, which cmkctl on a terminal brings along, and let "
              "the call be interactive");
  else
    *denied = deny (check, "the policy of this machine does not permit ",
                    ": an administrator can, by a rule in /etc/polkit-1/rules.d");
  return is_challenge ? VERDICT_CHALLENGE : VERDICT_NO;
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (Check) check = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) denied = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  Verdict verdict = read_verdict (check, reply, error, &denied);
  if (verdict == VERDICT_CHALLENGE && check->interactive && check->cancellation_id == NULL)
    {
      check->cancellation_id = g_strdup_printf ("cmkd-%" G_GUINT64_FORMAT, ++check->authority->dialogs);
      send_question (g_steal_pointer (&check));
      return;
    }
  if (reply == NULL && check->cancellation_id != NULL)
    call_off_dialog (check);
  if (verdict == VERDICT_YES)
    keep_answer (check->authority, check);
  check->answered (denied, check->user_data);
}

void
cmk_authority_ask (CmkAuthority *authority, const char *sender, const char *method, const CmkAccessQuestion *question,
                   gboolean interactive, CmkAuthorityFunc answered, gpointer user_data)
{
  Check *check = g_new0 (Check, 1);
  check->authority = authority;
  check->sender = g_strdup (sender);
  check->method = method;
  check->question = *question;
  check->interactive = interactive;
  check->age = authority->age;
  check->answered = answered;
  check->user_data = user_data;
  send_question (check);
}

/* --- life --- */

CmkAuthority *
cmk_authority_new (GDBusConnection *connection, guint keep_seconds)
{
  CmkAuthority *authority = g_new0 (CmkAuthority, 1);
  authority->connection = g_object_ref (connection);
  authority->no_dialogs = g_cancellable_new ();
  authority->keep = (gint64) keep_seconds * G_USEC_PER_SEC;
  authority->kept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  authority->changed_subscription =
      g_dbus_connection_signal_subscribe (connection, POLKIT_NAME, POLKIT_INTERFACE, "Changed", POLKIT_PATH, NULL,
                                          G_DBUS_SIGNAL_FLAGS_NONE, on_changed, authority, NULL);
  authority->owner_subscription = g_dbus_connection_signal_subscribe (
      connection, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged", "/org/freedesktop/DBus",
      POLKIT_NAME, G_DBUS_SIGNAL_FLAGS_NONE, on_changed, authority, NULL);
  return authority;
}

void
cmk_authority_end_dialogs (CmkAuthority *authority)
{
  g_cancellable_cancel (authority->no_dialogs);
}

void
cmk_authority_free (CmkAuthority *authority)
{
  if (authority == NULL)
    return;
  g_dbus_connection_signal_unsubscribe (authority->connection, authority->changed_subscription);
  g_dbus_connection_signal_unsubscribe (authority->connection, authority->owner_subscription);
  g_hash_table_unref (authority->kept);
  g_object_unref (authority->no_dialogs);
  g_object_unref (authority->connection);
  g_free (authority);
}
