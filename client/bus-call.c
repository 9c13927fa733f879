/* SPDX-License-Identifier: Apache-2.0
 *
 * A call as it is put together. */
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "bus-internal.h"
#include "cmkd.h"

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

void
cmk_bus_wipe_text (const char *text)
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
      cmk_bus_wipe_text (text);
    }
}

void
cmk_call_renew (CmkCall *call)
{
  DBusMessage *again = dbus_message_copy (call->message);

  cmk_require_memory (again != NULL);
  if (call->is_secret)
    wipe_arguments (call->message);
  dbus_message_unref (call->message);
  call->message = again;
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
