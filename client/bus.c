/* SPDX-License-Identifier: Apache-2.0 */
#include "bus.h"

#include <dbus/dbus.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "bus-errors.h"
#include "cmkd.h"
#include "exit-code.h"

/* Somebody may be typing a password, or the TPM be making a key. */
#define CALL_TIMEOUT_MS        (5 * 60 * 1000)
#define PROGRESS_AFTER_SECONDS 1

struct CmkBus
{
  DBusConnection *connection;
};

struct CmkCall
{
  DBusMessage *message;
  DBusMessageIter arguments;
  DBusMessageIter options;
  bool has_options;
  bool is_secret;
  bool is_malformed; /* a text was not UTF-8 */
};

typedef struct
{
  const char *name;
  const char *signature;
  const char *arguments[3];
} KeySignal;

static const KeySignal key_signals[] = {
  { "KeyChanged", "sss", { "KeyId", "KeyState", "Reason" } },
  { "KeyMaterialExpiring", "sx", { "KeyId", "MaterialExpireTime" } },
};

static int
fail_from_error (DBusError *error)
{
  int code = cmk_bus_fail (error->name, error->message);

  dbus_error_free (error);
  return code;
}

static int
fail_no_bus (CmkBusKind kind, DBusError *error)
{
  static const char *const names[] = { "system bus", "session bus", "bus at this address" };
  int code = dbus_error_has_name (error, DBUS_ERROR_BAD_ADDRESS) ? CMK_EXIT_USAGE : CMK_EXIT_NOT_THERE;

  cmk_fail (code, "no connection to the %s (%s): is it running, and is it the right one?", names[kind], error->message);
  dbus_error_free (error);
  return code;
}

int
cmk_bus_open (CmkBusKind kind, const char *address, CmkBus **ret_bus)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusConnection *connection = NULL;

  if (kind == CMK_BUS_ADDRESS)
    {
      connection = dbus_connection_open_private (address, &error);
      if (connection != NULL && !dbus_bus_register (connection, &error))
        {
          dbus_connection_close (connection);
          dbus_connection_unref (connection);
          connection = NULL;
        }
    }
  else
    connection = dbus_bus_get_private (kind == CMK_BUS_SYSTEM ? DBUS_BUS_SYSTEM : DBUS_BUS_SESSION, &error);

  if (connection == NULL)
    return fail_no_bus (kind, &error);

  /* By default libdbus ends the process with _exit (1) when the bus goes away. */
  dbus_connection_set_exit_on_disconnect (connection, FALSE);

  *ret_bus = cmk_allocate (sizeof **ret_bus);
  (*ret_bus)->connection = connection;
  return CMK_EXIT_DONE;
}

void
cmk_bus_closep (CmkBus **bus)
{
  if (*bus == NULL)
    return;
  dbus_connection_close ((*bus)->connection);
  dbus_connection_unref ((*bus)->connection);
  free (*bus);
}

CmkCall *
cmk_call_new (const char *interface, const char *method)
{
  CmkCall *call = cmk_allocate (sizeof *call);

  *call = (CmkCall) { 0 };
  call->message = dbus_message_new_method_call (CMKD_BUS_NAME, CMKD_OBJECT_PATH, interface, method);
  cmk_require_memory (call->message != NULL);
  dbus_message_set_allow_interactive_authorization (call->message, TRUE);
  dbus_message_iter_init_append (call->message, &call->arguments);
  return call;
}

void
cmk_call_set_secret (CmkCall *call)
{
  call->is_secret = true;
}

/* @text as it may travel: libdbus ends the process when it is handed something else than UTF-8. */
static const char *
check_text (CmkCall *call, const char *text)
{
  if (dbus_validate_utf8 (text, NULL))
    return text;
  call->is_malformed = true;
  return "";
}

static void
append_text (CmkCall *call, DBusMessageIter *iter, const char *text)
{
  const char *sent = check_text (call, text);

  cmk_require_memory (dbus_message_iter_append_basic (iter, DBUS_TYPE_STRING, &sent));
}

void
cmk_call_add_string (CmkCall *call, const char *text)
{
  append_text (call, &call->arguments, text);
}

void
cmk_call_add_strings (CmkCall *call, const char *const *texts, size_t n_texts)
{
  DBusMessageIter array;

  cmk_require_memory (dbus_message_iter_open_container (&call->arguments, DBUS_TYPE_ARRAY, "s", &array));
  for (size_t i = 0; i < n_texts; i++)
    append_text (call, &array, texts[i]);
  cmk_require_memory (dbus_message_iter_close_container (&call->arguments, &array));
}

static void
append_pairs (CmkCall *call, DBusMessageIter *iter, const char *const *pairs, size_t n_pairs)
{
  DBusMessageIter map, pair;

  cmk_require_memory (dbus_message_iter_open_container (iter, DBUS_TYPE_ARRAY, "{ss}", &map));
  for (size_t i = 0; i < n_pairs; i++)
    {
      const char *equals = strchr (pairs[i], '=');
      _cleanup_ (cmk_freep) char *left = strndup (pairs[i], (size_t) (equals - pairs[i]));

      cmk_require_memory (left != NULL && dbus_message_iter_open_container (&map, DBUS_TYPE_DICT_ENTRY, NULL, &pair));
      append_text (call, &pair, left);
      append_text (call, &pair, equals + 1);
      cmk_require_memory (dbus_message_iter_close_container (&map, &pair));
    }
  cmk_require_memory (dbus_message_iter_close_container (iter, &map));
}

void
cmk_call_add_pairs (CmkCall *call, const char *const *pairs, size_t n_pairs)
{
  append_pairs (call, &call->arguments, pairs, n_pairs);
}

void
cmk_call_begin_options (CmkCall *call)
{
  cmk_require_memory (dbus_message_iter_open_container (&call->arguments, DBUS_TYPE_ARRAY, "{sv}", &call->options));
  call->has_options = true;
}

static void
open_option (CmkCall *call, const char *name, const char *signature, DBusMessageIter *entry, DBusMessageIter *variant)
{
  cmk_require_memory (dbus_message_iter_open_container (&call->options, DBUS_TYPE_DICT_ENTRY, NULL, entry) &&
                      dbus_message_iter_append_basic (entry, DBUS_TYPE_STRING, &name) &&
                      dbus_message_iter_open_container (entry, DBUS_TYPE_VARIANT, signature, variant));
}

static void
close_option (CmkCall *call, DBusMessageIter *entry, DBusMessageIter *variant)
{
  cmk_require_memory (dbus_message_iter_close_container (entry, variant) &&
                      dbus_message_iter_close_container (&call->options, entry));
}

static void
add_basic_option (CmkCall *call, const char *name, int type, const void *value)
{
  const char signature[] = { (char) type, '\0' };
  DBusMessageIter entry, variant;

  open_option (call, name, signature, &entry, &variant);
  cmk_require_memory (dbus_message_iter_append_basic (&variant, type, value));
  close_option (call, &entry, &variant);
}

void
cmk_call_add_text_option (CmkCall *call, const char *name, const char *text)
{
  if (text == NULL)
    return;
  text = check_text (call, text);
  add_basic_option (call, name, DBUS_TYPE_STRING, &text);
}

void
cmk_call_add_flag_option (CmkCall *call, const char *name)
{
  dbus_bool_t flag = TRUE;

  add_basic_option (call, name, DBUS_TYPE_BOOLEAN, &flag);
}

void
cmk_call_add_number_option (CmkCall *call, const char *name, uint32_t number)
{
  add_basic_option (call, name, DBUS_TYPE_UINT32, &number);
}

void
cmk_call_add_time_option (CmkCall *call, const char *name, int64_t time)
{
  add_basic_option (call, name, DBUS_TYPE_INT64, &time);
}

void
cmk_call_add_pairs_option (CmkCall *call, const char *name, const char *const *pairs, size_t n_pairs)
{
  DBusMessageIter entry, variant;

  if (n_pairs == 0)
    return;
  open_option (call, name, "a{ss}", &entry, &variant);
  append_pairs (call, &variant, pairs, n_pairs);
  close_option (call, &entry, &variant);
}

/* libdbus wipes nothing and hands out addresses inside the message, so its copies of a secret are wiped there. */
static void
wipe_text (const char *text)
{
  explicit_bzero ((char *) (uintptr_t) text, strlen (text));
}

static void
wipe_arguments (DBusMessage *message)
{
  DBusMessageIter iter;

  if (!dbus_message_iter_init (message, &iter))
    return;
  for (; dbus_message_iter_get_arg_type (&iter) == DBUS_TYPE_STRING; dbus_message_iter_next (&iter))
    {
      const char *text;

      dbus_message_iter_get_basic (&iter, &text);
      wipe_text (text);
    }
}

void
cmk_call_freep (CmkCall **call)
{
  if ((*call)->has_options)
    dbus_message_iter_abandon_container (&(*call)->arguments, &(*call)->options);
  if ((*call)->is_secret)
    wipe_arguments ((*call)->message);
  dbus_message_unref ((*call)->message);
  free (*call);
}

static void take_items (DBusMessageIter *array, bool is_secret, CmkValue *ret_value);

static void
take_text (DBusMessageIter *iter, bool is_secret, CmkValue *ret_value)
{
  const char *text;

  dbus_message_iter_get_basic (iter, &text);
  ret_value->kind = CMK_VALUE_STRING;
  ret_value->string = cmk_duplicate (text);
  if (is_secret)
    {
      (void) mlock (ret_value->string, strlen (text) + 1);
      wipe_text (text);
    }
}

/* Integers of all sizes become the widest of their sign. */
static void
take_number (DBusMessageIter *iter, int type, CmkValue *ret_value)
{
  DBusBasicValue number = { 0 };

  dbus_message_iter_get_basic (iter, &number);
  ret_value->kind = type == DBUS_TYPE_INT16 || type == DBUS_TYPE_INT32 || type == DBUS_TYPE_INT64 ? CMK_VALUE_SIGNED
                                                                                                  : CMK_VALUE_UNSIGNED;
  switch (type)
    {
    case DBUS_TYPE_INT16:
      ret_value->integer = number.i16;
      break;
    case DBUS_TYPE_INT32:
      ret_value->integer = number.i32;
      break;
    case DBUS_TYPE_INT64:
      ret_value->integer = number.i64;
      break;
    case DBUS_TYPE_BYTE:
      ret_value->natural = number.byt;
      break;
    case DBUS_TYPE_UINT16:
      ret_value->natural = number.u16;
      break;
    case DBUS_TYPE_UINT32:
      ret_value->natural = number.u32;
      break;
    default:
      ret_value->natural = number.u64;
      break;
    }
}

/* Nesting is bounded by what libdbus lets into a message. A value that has no meaning outside of its message (a file
 * descriptor) stays CMK_VALUE_NONE. */
static void
take_value (DBusMessageIter *iter, bool is_secret, CmkValue *ret_value)
{
  int type = dbus_message_iter_get_arg_type (iter);
  DBusMessageIter inner;
  dbus_bool_t boolean;

  switch (type)
    {
    case DBUS_TYPE_VARIANT:
      dbus_message_iter_recurse (iter, &inner);
      take_value (&inner, is_secret, ret_value);
      return;
    case DBUS_TYPE_ARRAY:
    case DBUS_TYPE_STRUCT:
      dbus_message_iter_recurse (iter, &inner);
      ret_value->kind = type == DBUS_TYPE_ARRAY && dbus_message_iter_get_element_type (iter) == DBUS_TYPE_DICT_ENTRY
                            ? CMK_VALUE_MAP
                            : CMK_VALUE_LIST;
      take_items (&inner, is_secret, ret_value);
      return;
    case DBUS_TYPE_STRING:
    case DBUS_TYPE_OBJECT_PATH:
    case DBUS_TYPE_SIGNATURE:
      take_text (iter, is_secret, ret_value);
      return;
    case DBUS_TYPE_BOOLEAN:
      dbus_message_iter_get_basic (iter, &boolean);
      ret_value->kind = CMK_VALUE_BOOLEAN;
      ret_value->boolean = boolean;
      return;
    case DBUS_TYPE_DOUBLE:
      dbus_message_iter_get_basic (iter, &ret_value->real);
      ret_value->kind = CMK_VALUE_REAL;
      return;
    case DBUS_TYPE_UNIX_FD:
      return;
    default:
      take_number (iter, type, ret_value);
      return;
    }
}

static void
take_items (DBusMessageIter *array, bool is_secret, CmkValue *ret_value)
{
  for (; dbus_message_iter_get_arg_type (array) != DBUS_TYPE_INVALID; dbus_message_iter_next (array))
    {
      DBusMessageIter entry;
      const char *name;

      if (ret_value->kind == CMK_VALUE_LIST)
        {
          take_value (array, is_secret, cmk_value_append (ret_value, NULL));
          continue;
        }
      dbus_message_iter_recurse (array, &entry);
      if (dbus_message_iter_get_arg_type (&entry) != DBUS_TYPE_STRING)
        continue;
      dbus_message_iter_get_basic (&entry, &name);
      dbus_message_iter_next (&entry);
      take_value (&entry, is_secret, cmk_value_append (ret_value, name));
    }
}

static int
take_answer (DBusMessage *reply, bool is_secret, CmkValue *ret_answer)
{
  DBusMessageIter iter;

  if (!dbus_message_has_signature (reply, "a{sv}"))
    return cmk_fail (CMK_EXIT_REFUSED, "the daemon's answer is not a{sv}: cmkctl and cmkd must be of the same version");

  dbus_message_iter_init (reply, &iter);
  take_value (&iter, is_secret, ret_answer);
  return CMK_EXIT_DONE;
}

static void
on_alarm (int signal)
{
  static const char message[] =
      "cmkctl: waiting for cmkd; making a long RSA key or asking for a password takes a while\n";

  (void) signal;
  if (write (STDERR_FILENO, message, sizeof message - 1) < 0)
    return;
}

/* An alarm, as libdbus blocks in one call: a wait in slices would need a main loop of our own. */
static DBusMessage *
send_and_wait (CmkBus *bus, DBusMessage *message, DBusError *error)
{
  bool shows_progress = isatty (STDERR_FILENO);
  DBusMessage *reply;

  if (shows_progress)
    {
      signal (SIGALRM, on_alarm);
      alarm (PROGRESS_AFTER_SECONDS);
    }
  reply = dbus_connection_send_with_reply_and_block (bus->connection, message, CALL_TIMEOUT_MS, error);
  if (shows_progress)
    alarm (0);
  return reply;
}

int
cmk_call_send (CmkCall *call, CmkBus *bus, CmkValue *ret_answer)
{
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *reply;
  int code;

  if (call->is_malformed)
    return cmk_fail (CMK_EXIT_USAGE, "an argument is not UTF-8 text");

  if (call->has_options)
    cmk_require_memory (dbus_message_iter_close_container (&call->arguments, &call->options));
  call->has_options = false;

  reply = send_and_wait (bus, call->message, &error);
  if (reply == NULL)
    return fail_from_error (&error);

  code = take_answer (reply, call->is_secret, ret_answer);
  dbus_message_unref (reply);
  return code;
}

/* The unique name that owns cmkd's name now, as an owned text; empty when cmkd has just ended because nobody called. */
static int
ask_owner (CmkBus *bus, char **ret_owner)
{
  const char *name = CMKD_BUS_NAME;
  const char *owner;
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *reply;
  DBusMessage *call =
      dbus_message_new_method_call (DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "GetNameOwner");

  cmk_require_memory (call != NULL && dbus_message_append_args (call, DBUS_TYPE_STRING, &name, DBUS_TYPE_INVALID));
  reply = send_and_wait (bus, call, &error);
  dbus_message_unref (call);
  if (reply == NULL && dbus_error_has_name (&error, DBUS_ERROR_NAME_HAS_NO_OWNER))
    {
      dbus_error_free (&error);
      *ret_owner = cmk_duplicate ("");
      return CMK_EXIT_DONE;
    }
  if (reply == NULL)
    return fail_from_error (&error);

  if (dbus_message_get_args (reply, &error, DBUS_TYPE_STRING, &owner, DBUS_TYPE_INVALID))
    *ret_owner = cmk_duplicate (owner);
  dbus_message_unref (reply);
  return dbus_error_is_set (&error) ? fail_from_error (&error) : CMK_EXIT_DONE;
}

/* An idle cmkd stops and is started again: follow its name from owner to owner. */
static void
note_owner (DBusMessage *message, char **owner)
{
  const char *name, *old_owner, *new_owner;

  if (!dbus_message_get_args (message, NULL, DBUS_TYPE_STRING, &name, DBUS_TYPE_STRING, &old_owner, DBUS_TYPE_STRING,
                              &new_owner, DBUS_TYPE_INVALID) ||
      strcmp (name, CMKD_BUS_NAME) != 0)
    return;
  free (*owner);
  *owner = cmk_duplicate (new_owner);
}

/* The signal of cmkd that @message is, or NULL. A match rule does not stop a signal that somebody else addresses to us
 * alone, so who sent it is looked at here. */
static const KeySignal *
find_signal (DBusMessage *message, const char *owner)
{
  if (!dbus_message_has_sender (message, owner) || !dbus_message_has_path (message, CMKD_OBJECT_PATH))
    return NULL;
  for (size_t i = 0; i < sizeof key_signals / sizeof *key_signals; i++)
    if (dbus_message_is_signal (message, CMKD_INTERFACE_KEYS, key_signals[i].name) &&
        dbus_message_has_signature (message, key_signals[i].signature))
      return &key_signals[i];
  return NULL;
}

static int
handle_message (DBusMessage *message, char **owner, int (*on_signal) (const CmkValue *))
{
  _cleanup_ (cmk_value_clear) CmkValue map = { .kind = CMK_VALUE_MAP };
  const KeySignal *found;
  CmkValue *item;
  DBusMessageIter iter;

  if (dbus_message_has_sender (message, DBUS_SERVICE_DBUS) &&
      dbus_message_is_signal (message, DBUS_INTERFACE_DBUS, "NameOwnerChanged"))
    note_owner (message, owner);
  found = find_signal (message, *owner);
  if (found == NULL)
    return CMK_EXIT_DONE;

  item = cmk_value_append (&map, "Signal");
  item->kind = CMK_VALUE_STRING;
  item->string = cmk_duplicate (found->name);
  dbus_message_iter_init (message, &iter);
  for (size_t i = 0; found->signature[i] != '\0'; i++, dbus_message_iter_next (&iter))
    take_value (&iter, false, cmk_value_append (&map, found->arguments[i]));
  return on_signal (&map);
}

int
cmk_bus_monitor (CmkBus *bus, void (*on_ready) (void), int (*on_signal) (const CmkValue *))
{
  static const char keys_rule[] =
      "type='signal',sender='" CMKD_BUS_NAME "',path='" CMKD_OBJECT_PATH "',interface='" CMKD_INTERFACE_KEYS "'";
  static const char owner_rule[] = "type='signal',sender='" DBUS_SERVICE_DBUS "',interface='" DBUS_INTERFACE_DBUS
                                   "',member='NameOwnerChanged',arg0='" CMKD_BUS_NAME "'";
  _cleanup_ (cmk_freep) char *owner = NULL;
  DBusError error = DBUS_ERROR_INIT;
  DBusMessage *message;
  int code;

  dbus_bus_add_match (bus->connection, keys_rule, &error);
  if (!dbus_error_is_set (&error))
    dbus_bus_add_match (bus->connection, owner_rule, &error);
  /* The bus would not find a service file for a cmkd that was started by hand. */
  if (!dbus_error_is_set (&error) && !dbus_bus_name_has_owner (bus->connection, CMKD_BUS_NAME, &error) &&
      !dbus_error_is_set (&error))
    dbus_bus_start_service_by_name (bus->connection, CMKD_BUS_NAME, 0, NULL, &error);
  if (dbus_error_is_set (&error))
    return fail_from_error (&error);

  code = ask_owner (bus, &owner);
  if (code != CMK_EXIT_DONE)
    return code;

  on_ready ();
  do
    while ((message = dbus_connection_pop_message (bus->connection)) != NULL)
      {
        code = handle_message (message, &owner, on_signal);
        dbus_message_unref (message);
        if (code != CMK_EXIT_DONE)
          return code;
      }
  while (dbus_connection_read_write (bus->connection, -1));

  return cmk_bus_fail (DBUS_ERROR_DISCONNECTED, NULL);
}
