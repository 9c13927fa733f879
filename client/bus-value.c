/* SPDX-License-Identifier: Apache-2.0
 *
 * What messages hold, as CmkValue. */
#include <string.h>
#include <sys/mman.h>

#include "buffer.h"
#include "bus-internal.h"

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
      cmk_bus_wipe_text (text);
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

void
cmk_bus_take_value (DBusMessageIter *iter, bool is_secret, CmkValue *ret_value)
{
  int type = dbus_message_iter_get_arg_type (iter);
  DBusMessageIter inner;
  dbus_bool_t boolean;

  switch (type)
    {
    case DBUS_TYPE_VARIANT:
      dbus_message_iter_recurse (iter, &inner);
      cmk_bus_take_value (&inner, is_secret, ret_value);
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
          cmk_bus_take_value (array, is_secret, cmk_value_append (ret_value, NULL));
          continue;
        }
      dbus_message_iter_recurse (array, &entry);
      if (dbus_message_iter_get_arg_type (&entry) != DBUS_TYPE_STRING)
        continue;
      dbus_message_iter_get_basic (&entry, &name);
      dbus_message_iter_next (&entry);
      cmk_bus_take_value (&entry, is_secret, cmk_value_append (ret_value, name));
    }
}
