/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "buffer.h"
#include "cmkd.h"
#include "exit-code.h"

typedef struct
{
  const char *method;
  const char *field;
  const CmkListFilter *filters;
  size_t n_filters;
} Listing;

static int
get_page (const Listing *listing, CmkBus *bus, size_t left, const char *marker, CmkValue *ret_page)
{
  _cleanup_ (cmk_call_freep) CmkCall *call = cmk_call_new (CMKD_INTERFACE_KEYS, listing->method);
  int code;

  cmk_call_begin_options (call);
  cmk_call_add_number_option (call, "Limit", left < CMKD_MAX_LIST_LIMIT ? (uint32_t) left : CMKD_MAX_LIST_LIMIT);
  cmk_call_add_text_option (call, "Marker", marker);
  for (size_t i = 0; i < listing->n_filters; i++)
    cmk_call_add_text_option (call, listing->filters[i].name, listing->filters[i].text);

  code = cmk_call_send (call, bus, ret_page);
  if (code == CMK_EXIT_DONE && cmk_value_get (ret_page, listing->field, CMK_VALUE_LIST) == NULL)
    return cmk_value_fail_without (listing->field);
  return code;
}

int
cmk_list_up_to (CmkBus *bus, const char *method, const char *field, const CmkListFilter *filters, size_t n_filters,
                uint32_t limit, CmkValue *ret_answer)
{
  const Listing listing = { method, field, filters, n_filters };
  _cleanup_ (cmk_value_clear) CmkValue answer = { 0 };
  _cleanup_ (cmk_value_clear) CmkValue items = { .kind = CMK_VALUE_LIST };
  const char *marker = NULL;

  do
    {
      CmkValue page = { 0 };
      int code = get_page (&listing, bus, limit - items.n_items, marker, &page);

      cmk_value_clear (&answer);
      answer = page;
      if (code == CMK_EXIT_DONE)
        code = cmk_value_require (&answer, "NextMarker", &marker);
      if (code != CMK_EXIT_DONE)
        return code;
      cmk_value_merge (&items, cmk_value_get (&answer, field, CMK_VALUE_LIST));
    }
  while (*marker != '\0' && items.n_items < limit);

  cmk_value_merge (cmk_value_get (&answer, field, CMK_VALUE_LIST), &items);
  *ret_answer = answer;
  answer = (CmkValue) { 0 };
  return CMK_EXIT_DONE;
}

int
cmk_list_all (const CmkArguments *arguments, const char *method, const char *field, const CmkListFilter *filters,
              size_t n_filters, CmkValue *ret_answer)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  uint32_t limit = UINT32_MAX;
  int code = cmk_arguments_get_number (arguments, "limit", UINT32_MAX, &limit);

  if (code == CMK_EXIT_DONE)
    code = cmk_arguments_open_bus (arguments, &bus);
  return code == CMK_EXIT_DONE ? cmk_list_up_to (bus, method, field, filters, n_filters, limit, ret_answer) : code;
}

static char *
name_owner (uint64_t uid, bool is_here)
{
  const struct passwd *account = is_here ? getpwuid ((uid_t) uid) : NULL;
  char *text = NULL;

  if (account != NULL)
    return cmk_duplicate (account->pw_name);
  cmk_require_memory (asprintf (&text, "%" PRIu64, uid) >= 0);
  return text;
}

bool
cmk_list_name_owners (CmkValue *keys, bool is_here)
{
  const CmkValue *first = keys->n_items > 0 ? cmk_value_get (&keys->items[0], "Creator", CMK_VALUE_UNSIGNED) : NULL;
  bool is_shared = is_here && first != NULL && first->natural != geteuid ();

  for (size_t i = 0; i < keys->n_items && !is_shared; i++)
    {
      const CmkValue *creator = cmk_value_get (&keys->items[i], "Creator", CMK_VALUE_UNSIGNED);

      is_shared = creator != NULL && first != NULL && creator->natural != first->natural;
    }
  for (size_t i = 0; i < keys->n_items && is_shared; i++)
    {
      const CmkValue *creator = cmk_value_get (&keys->items[i], "Creator", CMK_VALUE_UNSIGNED);
      _cleanup_ (cmk_freep) char *owner = creator != NULL ? name_owner (creator->natural, is_here) : NULL;

      if (owner != NULL)
        cmk_value_append_text (&keys->items[i], "Owner", owner);
    }
  return is_shared;
}
