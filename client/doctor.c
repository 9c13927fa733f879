/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "listing.h"
#include "output.h"
#include "surroundings.h"

#define DAY_SECONDS  (24 * 60 * 60)
#define AHEAD_DAYS   30
#define WORRIED_DAYS 7

static CmkValue *
add_list (CmkValue *status, const char *name)
{
  CmkValue *list = cmk_value_append (status, name);

  list->kind = CMK_VALUE_LIST;
  return list;
}

static bool
is_one_of (const CmkValue *status, const char *name, const char *const *states)
{
  const char *state = cmk_value_get_string (status, name);

  for (; state != NULL && *states != NULL; states++)
    if (strcmp (*states, state) == 0)
      return true;
  return false;
}

/* --- what expires --- */

static int64_t
get_time (const CmkValue *key, const char *name)
{
  const CmkValue *item = cmk_value_get (key, name, CMK_VALUE_SIGNED);

  return item != NULL ? item->integer : 0;
}

static void
copy (CmkValue *to, const CmkValue *key, const char *name)
{
  const CmkValue *number = cmk_value_get (key, name, CMK_VALUE_UNSIGNED);
  const char *text = cmk_value_get_string (key, name);
  CmkValue *item;

  if (number != NULL)
    {
      item = cmk_value_append (to, name);
      item->kind = CMK_VALUE_UNSIGNED;
      item->natural = number->natural;
      return;
    }
  if (text == NULL && get_time (key, name) == 0)
    return;
  item = cmk_value_append (to, name);
  item->kind = text != NULL ? CMK_VALUE_STRING : CMK_VALUE_SIGNED;
  if (text != NULL)
    item->string = cmk_duplicate (text);
  else
    item->integer = get_time (key, name);
}

/* How many of @keys expire soon. */
static size_t
add_expiring (CmkValue *expiring, const CmkValue *keys, int64_t now)
{
  static const char *const names[] = { "KeyId", "MaterialExpireTime", "DeleteDate", "Creator", "Description" };
  size_t n_soon = 0;

  for (size_t i = 0; i < keys->n_items; i++)
    {
      const CmkValue *key = &keys->items[i];
      int64_t expires = get_time (key, "MaterialExpireTime");
      int64_t deleted = get_time (key, "DeleteDate");
      CmkValue *item;

      n_soon += expires != 0 && deleted == 0 && expires < now + WORRIED_DAYS * DAY_SECONDS;
      if ((expires == 0 || expires >= now + AHEAD_DAYS * DAY_SECONDS) &&
          (deleted == 0 || deleted >= now + AHEAD_DAYS * DAY_SECONDS))
        continue;
      item = cmk_value_append (expiring, NULL);
      item->kind = CMK_VALUE_MAP;
      for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        copy (item, key, names[n]);
    }
  return n_soon;
}

/* --- what there is to say --- */

/* What cmkd itself says of its TPM, its state and the clock. */
static void
add_ailing (const CmkValue *status, CmkValue *attention)
{
  static const char *const well[] = { "ok", "tpm-changed", NULL }; /* of the latter TpmAdvice speaks */
  static const char *const behind[] = { "behind", NULL };
  static const char *const rolled_back[] = { "rolled-back", NULL };
  const char *tpm_state = cmk_value_get_string (status, "TpmState");
  const char *advice = cmk_value_get_string (status, "TpmAdvice");

  if (tpm_state != NULL && strcmp (tpm_state, "ok") != 0 && advice != NULL)
    cmk_value_append_text (attention, NULL, advice);
  else if (cmk_value_get_string (status, "StateStatus") != NULL && !is_one_of (status, "StateStatus", well) &&
           !is_one_of (status, "AnchorState", rolled_back))
    cmk_value_append_text (attention, NULL, "the state is not open yet: see the journal of cmkd");
  if (is_one_of (status, "AnchorState", rolled_back) && cmk_value_get_string (status, "AnchorAdvice") != NULL)
    cmk_value_append_text (attention, NULL, cmk_value_get_string (status, "AnchorAdvice"));
  if (is_one_of (status, "ClockState", behind))
    cmk_value_append_text (attention, NULL,
                           "the clock of this machine is behind what cmkd knows to have passed: set it");
}

/* Is more than nine tenths of what the kernel lets cmkd's user keep in keys used up? */
static bool
is_quota_short (const CmkValue *status)
{
  const char *quota = cmk_value_get_string (status, "KeyringQuota");
  unsigned long keys, most_keys, bytes, most_bytes;

  return quota != NULL && sscanf (quota, "%lu of %lu keys, %lu of %lu", &keys, &most_keys, &bytes, &most_bytes) == 4 &&
         (keys > most_keys * 9 / 10 || bytes > most_bytes * 9 / 10);
}

static void
add_attention (const CmkValue *status, size_t n_soon, const CmkDoctorFacts *facts, CmkValue *attention)
{
  add_ailing (status, attention);
  if (facts->unlisted != NULL)
    cmk_value_append_printf (attention, "your keys could not be listed, so nothing is known of what expires: %s",
                             facts->unlisted);
  if (facts->is_polkit_broken)
    cmk_value_append_printf (attention,
                             "polkit does not answer, so cmkd serves root only: see `systemctl status polkit`");
  if (is_quota_short (status))
    cmk_value_append_printf (
        attention, "what the kernel lets cmkd keep is nearly used up, see KeyringQuota, so starts and calls are slow: "
                   "raise the sysctls kernel.keys.maxkeys and kernel.keys.maxbytes");
  if (n_soon > 0)
    cmk_value_append_printf (
        attention,
        "the material of %zu key%s expires within %d days: import it again in time, `cmkctl import --expires`, from "
        "your copy",
        n_soon, n_soon > 1 ? "s" : "", WORRIED_DAYS);
}

static void
add_not_protected (const CmkValue *status, bool is_private, bool is_here, CmkValue *list)
{
  /* TCG vendor ids of TPMs that are programs: of swtpm, of Microsoft's, and of clouds and hypervisors. */
  static const char *const programs[] = { "IBM", "MSFT", "GOOG", "VMW", "QEMU", NULL };
  static const char *const none[] = { "none", NULL };

  if (is_one_of (status, "TpmManufacturer", programs))
    cmk_value_append_text (
        list, NULL,
        "this TPM is a program, as in virtual machines: whoever controls what it runs on has what it seals");
  if (is_one_of (status, "AnchorState", none) && cmk_value_get_string (status, "AnchorAdvice") != NULL)
    cmk_value_append_text (list, NULL, cmk_value_get_string (status, "AnchorAdvice"));
  if (is_private)
    cmk_value_append_text (
        list, NULL, "this is your own instance: each program of yours can use its keys, and look into its memory");
  if (is_here)
    cmk_surroundings_add ("", list);
}

void
cmk_doctor_examine (CmkValue *status, const CmkValue *keys, const CmkDoctorFacts *facts)
{
  size_t n_soon = add_expiring (add_list (status, "Expiring"), keys, facts->now);

  add_attention (status, n_soon, facts, add_list (status, "Attention"));
  add_not_protected (status, facts->is_private, facts->is_here, add_list (status, "NotProtected"));
}

static void
print_texts (const char *title, const CmkValue *list)
{
  if (list == NULL || list->n_items == 0)
    return;
  printf ("\n%s:\n", title);
  for (size_t i = 0; i < list->n_items; i++)
    {
      fputs ("- ", stdout);
      cmk_output_print_text (list->items[i].string);
    }
}

void
cmk_doctor_print (CmkValue *status, bool is_here)
{
  static const char *const plain[] = { "KeyId", "MaterialExpireTime", "DeleteDate", "Description" };
  static const char *const shared[] = { "KeyId", "MaterialExpireTime", "DeleteDate", "Owner", "Description" };
  CmkValue *expiring = cmk_value_get (status, "Expiring", CMK_VALUE_LIST);

  if (expiring != NULL && expiring->n_items > 0)
    {
      bool is_shared = cmk_list_name_owners (expiring, is_here);

      printf ("\nIn the next %d days:\n", AHEAD_DAYS);
      cmk_output_print_table (expiring, is_shared ? shared : plain,
                              is_shared ? sizeof shared / sizeof *shared : sizeof plain / sizeof *plain);
    }
  print_texts ("Needs attention", cmk_value_get (status, "Attention", CMK_VALUE_LIST));
  print_texts ("Not protected here", cmk_value_get (status, "NotProtected", CMK_VALUE_LIST));
}

bool
cmk_doctor_is_worried (const CmkValue *status)
{
  return cmk_value_get (status, "Attention", CMK_VALUE_LIST)->n_items > 0;
}
