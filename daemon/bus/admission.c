/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/admission.h"

#include "bus/audit.h"
#include "bus/message-head.h"
#include "cmkd.h"

/* The longest call that can be right, as GVariant has it: ReEncrypt with a blob of CMKD_MAX_PLAINTEXT_BYTES (8.5 KiB of
 * Base64) and two encryption contexts of CMKD_MAX_CONTEXT_BYTES each, which take 4.5 times that if they are all names
 * of two bytes without a value; then CreateKey, whose description and tags are 63 KiB in four-byte characters. */
#define MAX_CALL_BYTES (128 * 1024)

/* What a call takes besides its arguments, about: its objects here and in GDBus. */
#define CALL_OVERHEAD 1024

/* A bound on memory alone: what idle senders are is learnt again with their next call. */
#define MAX_SENDERS 4096

#define TELL_SECONDS 1

typedef struct
{
  guint calls;
  gsize bytes;
} Load;

/* More than any program that waits for its answers has, and a bound on what a program that does not can make us
 * hold. */
static const Load most_of_user = { 256, 8 * 1024 * 1024 };
static const Load most_of_unknown = { 1024, 16 * 1024 * 1024 };
static const Load most_of_all = { 4096, 32 * 1024 * 1024 };

typedef enum
{
  VERDICT_ADMITTED,
  VERDICT_UNANSWERABLE,
  VERDICT_TOO_LONG,
  VERDICT_UNREADABLE,
  VERDICT_TOO_MANY,
  N_VERDICTS,
} Verdict;

/* Of those that are answered. */
static const struct
{
  const char *error;
  const char *text;
} refusals[N_VERDICTS] = {
  [VERDICT_TOO_LONG] = { CMKD_ERROR_INVALID_PARAMETER,
                         "the arguments are longer than those of any call can be, 128 KiB: encrypt what is long with a "
                         "data key, sign its digest" },
  [VERDICT_UNREADABLE] = { CMKD_ERROR_INVALID_PARAMETER,
                           "the arguments are of types that are nested too deeply to be read: no call takes such" },
  [VERDICT_TOO_MANY] = { CMKD_ERROR_THROTTLED,
                         "too many calls of yours are under way already (256, or 8 MiB; fewer while many users call): "
                         "wait for answers before you call again" },
};

typedef struct
{
  guint number[N_VERDICTS];
} Refused;

typedef struct
{
  guint32 uid;
  guint senders; /* that are known to be this user */
  Load load;
  Refused untold;
} User;

typedef struct
{
  char *name;
  User *user; /* NULL: not known yet */
  Load load;
} Sender;

/* It lasts until its answer leaves. */
typedef struct
{
  Sender *sender;
  guint32 serial;
  gsize bytes;
} Call;

struct _CmkAdmission
{
  GDBusConnection *connection;
  guint filter;
  GMutex mutex;
  GHashTable *senders; /* unique name -> Sender */
  GHashTable *users;   /* uid -> User */
  GHashTable *calls;   /* the Call itself, by sender and serial */
  Load all;
  Load unknown;
  Refused untold; /* of unknown senders */
  gboolean is_telling;
};

static guint
hash_call (gconstpointer data)
{
  const Call *call = data;
  return g_direct_hash (call->sender) ^ (call->serial * 2654435761U);
}

static gboolean
equal_calls (gconstpointer a, gconstpointer b)
{
  const Call *first = a, *second = b;
  return first->sender == second->sender && first->serial == second->serial;
}

static void
free_sender (gpointer data)
{
  Sender *sender = data;
  g_free (sender->name);
  g_free (sender);
}

static void
add (Load *load, const Load *more)
{
  load->calls += more->calls;
  load->bytes += more->bytes;
}

static void
take (Load *load, const Load *less)
{
  load->calls -= less->calls;
  load->bytes -= less->bytes;
}

static void
clear (gpointer data)
{
  CmkAdmission *admission = data;
  g_hash_table_unref (admission->calls);
  g_hash_table_unref (admission->senders);
  g_hash_table_unref (admission->users);
  g_mutex_clear (&admission->mutex);
}

/* The filter may run for a moment after it was removed, and what there is to tell may wait. */
static void
release (gpointer data)
{
  g_atomic_rc_box_release_full (data, clear);
}

/* --- who calls --- */

static void
forget_user_if_idle (CmkAdmission *admission, const User *user)
{
  static const Refused none;
  if (user->senders == 0 && memcmp (&user->untold, &none, sizeof none) == 0)
    g_hash_table_remove (admission->users, GUINT_TO_POINTER (user->uid));
}

static void
forget_idle_senders (CmkAdmission *admission)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, admission->senders);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Sender *sender = value;
      if (sender->load.calls > 0)
        continue;
      if (sender->user != NULL)
        {
          sender->user->senders--;
          forget_user_if_idle (admission, sender->user);
        }
      g_hash_table_iter_remove (&iter);
    }
}

static Sender *
ensure_sender (CmkAdmission *admission, const char *name)
{
  Sender *sender = g_hash_table_lookup (admission->senders, name);
  if (sender != NULL)
    return sender;
  if (g_hash_table_size (admission->senders) >= MAX_SENDERS)
    forget_idle_senders (admission);
  sender = g_new0 (Sender, 1);
  sender->name = g_strdup (name);
  g_hash_table_insert (admission->senders, sender->name, sender);
  return sender;
}

static User *
ensure_user (CmkAdmission *admission, guint32 uid)
{
  User *user = g_hash_table_lookup (admission->users, GUINT_TO_POINTER (uid));
  if (user != NULL)
    return user;
  user = g_new0 (User, 1);
  user->uid = uid;
  g_hash_table_insert (admission->users, GUINT_TO_POINTER (uid), user);
  return user;
}

guint
cmk_admission_learn (CmkAdmission *admission, const char *name, guint32 uid)
{
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&admission->mutex);
  Sender *sender = ensure_sender (admission, name);
  if (sender->user == NULL)
    {
      sender->user = ensure_user (admission, uid);
      sender->user->senders++;
      add (&sender->user->load, &sender->load);
      take (&admission->unknown, &sender->load);
    }
  return sender->user->load.calls;
}

/* --- what is told to the log --- */

typedef struct
{
  gboolean is_known;
  guint32 uid;
  Refused refused;
} Sum;

static void
collect (GArray *sums, gboolean is_known, guint32 uid, Refused *untold)
{
  static const Refused none;
  const Sum sum = { is_known, uid, *untold };
  if (memcmp (untold, &none, sizeof none) == 0)
    return;
  g_array_append_val (sums, sum);
  *untold = none;
}

static GArray *
take_sums (CmkAdmission *admission)
{
  GArray *sums = g_array_new (FALSE, FALSE, sizeof (Sum));
  GHashTableIter iter;
  gpointer value;
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&admission->mutex);
  admission->is_telling = FALSE;
  collect (sums, FALSE, 0, &admission->untold);
  g_hash_table_iter_init (&iter, admission->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      User *user = value;
      collect (sums, TRUE, user->uid, &user->untold);
      if (user->senders == 0)
        g_hash_table_iter_remove (&iter);
    }
  return sums;
}

static void
tell_sum (const Sum *sum)
{
  const guint *number = sum->refused.number;
  g_autofree char *counts = g_strdup_printf (
      "%u of too many at once, %u too long, %u that could not be read, %u that wanted no answer",
      number[VERDICT_TOO_MANY], number[VERDICT_TOO_LONG], number[VERDICT_UNREADABLE], number[VERDICT_UNANSWERABLE]);
  cmk_audit_turned_away (sum->is_known, sum->uid, counts);
}

static gboolean
tell (gpointer data)
{
  g_autoptr (GArray) sums = take_sums (data);
  for (guint i = 0; i < sums->len; i++)
    tell_sum (&g_array_index (sums, Sum, i));
  return G_SOURCE_REMOVE;
}

static void
note_refusal (CmkAdmission *admission, const Sender *sender, Verdict verdict)
{
  Refused *untold = sender->user != NULL ? &sender->user->untold : &admission->untold;
  untold->number[verdict]++;
  if (admission->is_telling)
    return;
  admission->is_telling = TRUE;
  g_timeout_add_seconds_full (G_PRIORITY_DEFAULT, TELL_SECONDS, tell, g_atomic_rc_box_acquire (admission), release);
}

/* --- what is let in --- */

/* Nobody gets more than is left for others: so there is always something left for who comes next. */
static gboolean
has_room (const Load *own, const Load *together, const Load *most, gsize bytes)
{
  return own->calls < MIN (most_of_user.calls, most->calls - together->calls) &&
         own->bytes + bytes <= MIN (most_of_user.bytes, most->bytes - together->bytes);
}

static Verdict
weigh (CmkAdmission *admission, const Call *wanted)
{
  const Load load = { 1, wanted->bytes };
  Sender *sender = wanted->sender;
  Load *own = sender->user != NULL ? &sender->user->load : &sender->load;
  if (!has_room (own, &admission->all, &most_of_all, wanted->bytes) ||
      (sender->user == NULL && !has_room (own, &admission->unknown, &most_of_unknown, wanted->bytes)))
    return VERDICT_TOO_MANY;
  add (&sender->load, &load);
  add (sender->user != NULL ? &sender->user->load : &admission->unknown, &load);
  add (&admission->all, &load);
  g_hash_table_add (admission->calls, g_memdup2 (wanted, sizeof *wanted));
  return VERDICT_ADMITTED;
}

/* Serialised, the arguments take what they weigh; the tree that GDBus made of them takes up to 100 times that. */
static gsize
flatten (GDBusMessage *message)
{
  GVariant *arguments = g_dbus_message_get_body (message);
  if (arguments == NULL)
    return 0;
  gsize size = g_variant_get_size (arguments);
  if (size <= MAX_CALL_BYTES)
    g_variant_get_data (arguments);
  return size;
}

static Verdict
judge (CmkAdmission *admission, GDBusMessage *message)
{
  gsize bytes = CALL_OVERHEAD + strlen (g_dbus_message_get_path (message)) + flatten (message);
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&admission->mutex);
  Sender *sender = ensure_sender (admission, g_dbus_message_get_sender (message));
  const Call wanted = { sender, g_dbus_message_get_serial (message), bytes };
  Verdict verdict;
  /* A call whose answer nobody wants would have effects that nobody can count on, and the bus daemon, which bounds the
   * calls that wait for an answer, does not bound those. */
  if ((g_dbus_message_get_flags (message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED) != 0)
    verdict = VERDICT_UNANSWERABLE;
  else if (g_hash_table_contains (admission->calls, &wanted))
    verdict = VERDICT_UNANSWERABLE; /* its answer could not be told from that of another */
  else if (bytes > MAX_CALL_BYTES || g_dbus_message_get_header (message, CMK_HEADER_FIELD_TOO_LONG) != NULL)
    verdict = VERDICT_TOO_LONG;
  else if (g_dbus_message_get_header (message, CMK_HEADER_FIELD_UNREADABLE) != NULL)
    verdict = VERDICT_UNREADABLE;
  else if (g_dbus_message_get_header (message, CMK_HEADER_FIELD_TOO_MANY) != NULL)
    verdict = VERDICT_TOO_MANY;
  else
    verdict = weigh (admission, &wanted);
  if (verdict != VERDICT_ADMITTED)
    note_refusal (admission, sender, verdict);
  return verdict;
}

static void
refuse (CmkAdmission *admission, GDBusMessage *message, Verdict verdict)
{
  g_autofree char *name = g_strconcat (CMKD_ERROR_PREFIX, refusals[verdict].error, NULL);
  g_autoptr (GDBusMessage) answer = g_dbus_message_new_method_error_literal (message, name, refusals[verdict].text);
  /* What keeps it from being sent keeps the bus from us too. */
  g_dbus_connection_send_message (admission->connection, answer, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
}

static void
give_back (CmkAdmission *admission, GDBusMessage *answer)
{
  const char *name = g_dbus_message_get_destination (answer);
  G_GNUC_UNUSED g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&admission->mutex);
  Sender *sender = name != NULL ? g_hash_table_lookup (admission->senders, name) : NULL;
  const Call wanted = { sender, g_dbus_message_get_reply_serial (answer), 0 };
  const Call *call = sender != NULL ? g_hash_table_lookup (admission->calls, &wanted) : NULL;
  if (call == NULL)
    return; /* it was refused here */
  const Load load = { 1, call->bytes };
  take (&sender->load, &load);
  take (sender->user != NULL ? &sender->user->load : &admission->unknown, &load);
  take (&admission->all, &load);
  g_hash_table_remove (admission->calls, call);
}

static GDBusMessage *
filter (G_GNUC_UNUSED GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  GDBusMessageType type = g_dbus_message_get_message_type (message);
  if (!incoming && (type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN || type == G_DBUS_MESSAGE_TYPE_ERROR))
    give_back (data, message);
  if (!incoming || type != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
    return message;
  Verdict verdict = judge (data, message);
  if (verdict == VERDICT_ADMITTED)
    return message;
  if (refusals[verdict].error != NULL)
    refuse (data, message, verdict);
  g_object_unref (message);
  return NULL;
}

/* --- its life --- */

CmkAdmission *
cmk_admission_new (GDBusConnection *connection)
{
  CmkAdmission *admission = g_atomic_rc_box_new0 (CmkAdmission);
  admission->connection = connection;
  g_mutex_init (&admission->mutex);
  admission->senders = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, free_sender);
  admission->users = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  admission->calls = g_hash_table_new_full (hash_call, equal_calls, g_free, NULL);
  admission->filter = g_dbus_connection_add_filter (connection, filter, g_atomic_rc_box_acquire (admission), release);
  return admission;
}

void
cmk_admission_free (CmkAdmission *admission)
{
  g_dbus_connection_remove_filter (admission->connection, admission->filter);
  tell (admission);
  release (admission);
}
