/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb that reads the audit log back. */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "buffer.h"
#include "choices.h"
#include "cmkd-journal.h"
#include "cmkd.h"
#include "describe.h"
#include "exit-code.h"
#include "grantee.h"
#include "journal.h"
#include "output.h"

#define UUID_CHARS 36

#define OPERATION_CHARS 22 /* GetParametersForImport; only GenerateDataKeyWithoutPlaintext is longer */

/* Of the journal itself: it has dropped entries, since there were too many. */
#define MESSAGE_SUPPRESSED "a596d6fe7bfa4994828e72309e95d61e"

#define MICROSECONDS_PER_SECOND 1000000

static const char *const refusals[] = { CMKD_MESSAGE_CALL_REFUSED, CMKD_MESSAGE_ACCESS_DENIED };

static const char *const all[] = {
  CMKD_MESSAGE_CALL_DONE,       CMKD_MESSAGE_CALL_REFUSED,      CMKD_MESSAGE_ACCESS_DENIED,
  CMKD_MESSAGE_SERVING,         CMKD_MESSAGE_KEY_DELETED,       CMKD_MESSAGE_MATERIAL_EXPIRED,
  CMKD_MESSAGE_RECOVERED,       CMKD_MESSAGE_KEY_LOST,          CMKD_MESSAGE_ROLLBACK_DETECTED,
  CMKD_MESSAGE_TPM_CHANGED,     CMKD_MESSAGE_TPM_TROUBLE,       CMKD_MESSAGE_TPM_WORKS,
  CMKD_MESSAGE_CLOCK_BEHIND,    CMKD_MESSAGE_CLOCK_AHEAD,       CMKD_MESSAGE_CLOCK_IN_STEP,
  CMKD_MESSAGE_CONTEXT_ALTERED, CMKD_MESSAGE_CALLS_TURNED_AWAY,
};

/* --- what is asked for --- */

static int
add_key (const CmkArguments *arguments, CmkJournalQuery *query)
{
  _cleanup_ (cmk_bus_closep) CmkBus *bus = NULL;
  _cleanup_ (cmk_freep) char *id = NULL;
  const char *key = cmk_arguments_get (arguments, "key", NULL);
  int code = CMK_EXIT_DONE;

  if (key == NULL)
    return CMK_EXIT_DONE;
  if (strncmp (key, CMKD_ALIAS_PREFIX, strlen (CMKD_ALIAS_PREFIX)) == 0)
    {
      code = cmk_arguments_open_bus (arguments, &bus);
      if (code == CMK_EXIT_DONE)
        code = cmk_describe_id (bus, key, &id);
    }
  else if (strlen (key) == UUID_CHARS && strspn (key, "0123456789abcdef-") == UUID_CHARS)
    id = cmk_duplicate (key);
  else
    return cmk_arguments_fail (arguments,
                               "--key takes the id of a key, or an alias that begins with " CMKD_ALIAS_PREFIX);
  if (code == CMK_EXIT_DONE)
    cmk_journal_query_add (query, "CMKD_KEY_ID=%s", id);
  return code;
}

static int
add_user (const CmkArguments *arguments, CmkJournalQuery *query)
{
  const char *user = cmk_arguments_get (arguments, "user", NULL);
  const struct passwd *account;

  if (user == NULL)
    return CMK_EXIT_DONE;
  account = getpwnam (user);
  if (account != NULL)
    cmk_journal_query_add (query, "CMKD_CALLER_UID=%" PRIu32, (uint32_t) account->pw_uid);
  else if (*user != '\0' && strspn (user, "0123456789") == strlen (user))
    cmk_journal_query_add (query, "CMKD_CALLER_UID=%s", user);
  else
    return cmk_arguments_fail (arguments, "--user takes the name of a user of this machine, or a number");
  return CMK_EXIT_DONE;
}

/* Is @word one of @words, which have spaces between them? */
static bool
is_word_of (const char *words, const char *word)
{
  size_t length = strlen (word);

  while (*words != '\0')
    {
      size_t next = strcspn (words, " ");
      if (next == length && memcmp (words, word, length) == 0)
        return true;
      words += next + strspn (words + next, " ");
    }
  return false;
}

static int
add_operation (const CmkArguments *arguments, CmkJournalQuery *query)
{
  const char *operation = cmk_arguments_get (arguments, "operation", NULL);

  if (operation == NULL)
    return CMK_EXIT_DONE;
  if (!is_word_of (cmk_choices_find (cmk_log_verbs, "METHOD"), operation))
    return cmk_arguments_fail (arguments, "--operation takes the name of a method, such as Decrypt; see "
                                          "org.cmkd.Kms1(5) for all of them");
  cmk_journal_query_add (query, "CMKD_OPERATION=%s", operation);
  return CMK_EXIT_DONE;
}

static int
add_time (const CmkArguments *arguments, CmkJournalQuery *query)
{
  const char *since = cmk_arguments_get (arguments, "since", NULL);

  if (since == NULL)
    return CMK_EXIT_DONE;
  if (!cmk_journal_knows_time (since))
    return cmk_arguments_fail (
        arguments,
        "--since takes a time as journalctl(1) does: \"2026-11-22 14:00\", yesterday, -1h; see systemd.time(7)");
  cmk_journal_query_add (query, "--since=%s", since);
  return CMK_EXIT_DONE;
}

static void
add_messages (CmkJournalQuery *query, const char *const *ids, size_t n_ids)
{
  for (size_t i = 0; i < n_ids; i++)
    cmk_journal_query_add (query, "MESSAGE_ID=%s", ids[i]);
}

/* Anybody can write entries with our fields and ids: only the journal itself says which unit wrote them. */
static int
make_query (const CmkArguments *arguments, CmkJournalQuery *query)
{
  uint32_t limit = 0;
  int code = cmk_arguments_get_number (arguments, "limit", UINT32_MAX, &limit);

  if (code != CMK_EXIT_DONE)
    return code;
  cmk_journal_query_add (query, "--namespace=+cmkd"); /* if an administrator gave it one of its own */
  code = add_time (arguments, query);
  if (code != CMK_EXIT_DONE)
    return code;
  if (limit > 0)
    cmk_journal_query_add (query, "--lines=%" PRIu32, limit);
  if (cmk_arguments_has (arguments, "follow"))
    cmk_journal_query_add (query, "--follow");

  if (cmk_arguments_has (arguments, "session"))
    {
      cmk_journal_query_add (query, "_SYSTEMD_USER_UNIT=cmkd-user.service");
      cmk_journal_query_add (query, "_UID=%" PRIu32, (uint32_t) getuid ());
    }
  else
    cmk_journal_query_add (query, "_SYSTEMD_UNIT=cmkd.service");
  if (cmk_arguments_has (arguments, "refused"))
    add_messages (query, refusals, sizeof refusals / sizeof *refusals);
  else
    add_messages (query, all, sizeof all / sizeof *all);

  code = add_key (arguments, query);
  if (code == CMK_EXIT_DONE)
    code = add_user (arguments, query);
  if (code == CMK_EXIT_DONE)
    code = add_operation (arguments, query);

  /* Whatever is asked for: these may be missing. The journal counts all of a user's services as one. */
  cmk_journal_query_add (query, "+");
  if (cmk_arguments_has (arguments, "session"))
    cmk_journal_query_add (query, "OBJECT_SYSTEMD_UNIT=user@%" PRIu32 ".service", (uint32_t) getuid ());
  else
    cmk_journal_query_add (query, "OBJECT_SYSTEMD_UNIT=cmkd.service");
  cmk_journal_query_add (query, "_UID=0");
  cmk_journal_query_add (query, "MESSAGE_ID=" MESSAGE_SUPPRESSED);
  return code;
}

/* --- what is printed --- */

static const char *
get (const CmkValue *entry, const char *name)
{
  const char *text = cmk_value_get_string (entry, name);

  return text != NULL ? text : "";
}

/* The keys of a call; ReEncrypt has two. */
static void
put_keys (CmkValue *map, const CmkValue *entry)
{
  CmkValue *keys = NULL;

  for (size_t i = 0; i < entry->n_items; i++)
    if (strcmp (entry->items[i].name, "CMKD_KEY_ID") == 0)
      {
        keys = keys != NULL ? keys : cmk_value_append (map, "KeyIds");
        keys->kind = CMK_VALUE_LIST;
        cmk_value_append_text (keys, NULL, entry->items[i].string);
      }
}

static void
put_number (CmkValue *map, const char *name, const char *digits)
{
  CmkValue *number = cmk_value_append (map, name);

  number->kind = CMK_VALUE_UNSIGNED;
  number->natural = strtoull (digits, NULL, 10);
}

/* When the journal took the entry; if @is_exact, to the microsecond. */
static char *
format_time (const CmkValue *entry, bool is_exact)
{
  uint64_t time = strtoull (get (entry, "__REALTIME_TIMESTAMP"), NULL, 10);
  char *text = cmk_output_format_time ((int64_t) (time / MICROSECONDS_PER_SECOND));
  char *exact;

  if (!is_exact || strlen (text) == 0 || text[strlen (text) - 1] != 'Z')
    return text;
  cmk_require_memory (
      asprintf (&exact, "%.*s.%06" PRIu64 "Z", (int) strlen (text) - 1, text, time % MICROSECONDS_PER_SECOND) >= 0);
  free (text);
  return exact;
}

static int
print_as_json (const CmkValue *entry, void *data)
{
  static const struct
  {
    const char *field;
    const char *name;
  } fields[] = {
    { "CMKD_REQUEST_ID", "RequestId" },
    { "CMKD_INTERFACE", "Interface" },
    { "CMKD_OPERATION", "Operation" },
    { "CMKD_CALLER_UNIT", "CallerUnit" },
    { "CMKD_CALLER_EXE", "CallerExecutable" },
    { "CMKD_OUTCOME", "Outcome" },
    { "CMKD_REASON", "Reason" },
    { "CMKD_SEQUENCE", "Sequence" },
    { "CMKD_GRANT_ID", "GrantId" },
    { "CMKD_GRANTEE", "Grantee" },
    { "CMKD_GRANTED_OPERATIONS", "GrantedOperations" },
    { "CMKD_ACCEPTED", "Accepted" },
    { "MESSAGE_ID", "MessageId" },
    { "MESSAGE", "Message" },
  };
  _cleanup_ (cmk_value_clear) CmkValue object = { .kind = CMK_VALUE_MAP };
  _cleanup_ (cmk_freep) char *time = format_time (entry, true);

  (void) data;
  cmk_value_append_text (&object, "Time", time);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (cmk_value_get_string (entry, fields[i].field) != NULL)
      cmk_value_append_text (&object, fields[i].name, cmk_value_get_string (entry, fields[i].field));
  if (*get (entry, "CMKD_CALLER_UID") != '\0')
    put_number (&object, "CallerUid", get (entry, "CMKD_CALLER_UID"));
  put_keys (&object, entry);
  cmk_output_print_json (&object);
  return cmk_output_flush ();
}

/* @text, filled up with spaces to @columns. */
static void
put_column (CmkValue *line, const char *text, int columns)
{
  _cleanup_ (cmk_freep) char *padded = NULL;

  cmk_require_memory (asprintf (&padded, "%-*s", columns, text) >= 0);
  cmk_value_append_text (line, "", padded);
}

static const char *
name_user (const char *uid)
{
  const struct passwd *account = *uid != '\0' ? getpwuid ((uid_t) strtoul (uid, NULL, 10)) : NULL;

  return account != NULL ? account->pw_name : uid;
}

/* Of GrantKey and RevokeGrant: which one, to whom, what for. */
static void
put_grant (CmkValue *line, const CmkValue *entry)
{
  _cleanup_ (cmk_value_clear) CmkValue grant = { .kind = CMK_VALUE_MAP };
  _cleanup_ (cmk_freep) char *described = NULL;
  const char *grantee = get (entry, "CMKD_GRANTEE");

  if (*get (entry, "CMKD_GRANT_ID") != '\0')
    cmk_value_append_text (line, "", get (entry, "CMKD_GRANT_ID"));
  if (*grantee == '\0')
    return;
  put_number (&grant, strncmp (grantee, "uid:", 4) == 0 ? "User" : "Group", grantee + strcspn (grantee, "0123456789"));
  described = cmk_grantee_describe (&grant);
  cmk_value_append_text (line, "", described);
  cmk_value_append_text (line, "", get (entry, "CMKD_GRANTED_OPERATIONS"));
}

/* A call has columns; of the rest, the sentence says it all. */
static int
print_as_line (const CmkValue *entry, void *data)
{
  _cleanup_ (cmk_value_clear) CmkValue line = { .kind = CMK_VALUE_MAP };
  _cleanup_ (cmk_freep) char *time = format_time (entry, false);

  (void) data;
  cmk_value_append_text (&line, "", time);
  if (*get (entry, "CMKD_OPERATION") == '\0')
    cmk_value_append_text (&line, "", get (entry, "MESSAGE"));
  else
    {
      put_column (&line, name_user (get (entry, "CMKD_CALLER_UID")), 8);
      put_column (&line, get (entry, "CMKD_OPERATION"), OPERATION_CHARS);
      if (*get (entry, "CMKD_KEY_ID") != '\0')
        put_keys (&line, entry);
      else
        put_column (&line, "-", UUID_CHARS);
      cmk_value_append_text (&line, "", get (entry, "CMKD_OUTCOME"));
      put_grant (&line, entry);
      if (*get (entry, "CMKD_CALLER_UNIT") != '\0')
        cmk_value_append_text (&line, "", get (entry, "CMKD_CALLER_UNIT"));
      if (*get (entry, "CMKD_REASON") != '\0')
        cmk_value_append_text (&line, "", get (entry, "CMKD_REASON"));
    }
  cmk_output_print_line (&line);
  return cmk_output_flush ();
}

static int
run_log (const CmkArguments *arguments)
{
  _cleanup_ (cmk_journal_query_clear) CmkJournalQuery query = { 0 };
  int code = CMK_EXIT_DONE;

  if (cmk_arguments_has (arguments, "host"))
    return cmk_arguments_fail (arguments, "the journal is that of this machine: run cmkctl log on the other one");
  if (cmk_arguments_has (arguments, "address"))
    return cmk_arguments_fail (arguments, "the journal knows cmkd by its unit, not by an --address");
  if (!cmk_arguments_has (arguments, "session"))
    code = cmk_journal_require_readable ();
  if (code == CMK_EXIT_DONE)
    code = make_query (arguments, &query);
  if (code != CMK_EXIT_DONE)
    return code;
  return cmk_journal_read (&query, cmk_arguments_has (arguments, "json") ? print_as_json : print_as_line, NULL);
}

static const CmkOption log_options[] = {
  { "since", "TIME", "only what happened since, in UTC: \"2026-11-22 14:00\", \"yesterday\", \"-1h\"", false },
  { "key", "KEY", "only what happened to this key", false },
  { "user", "USER", "only calls of this user, by name or number", false },
  { "operation", "METHOD", "only calls of this method: Decrypt", false },
  { "refused", NULL, "only calls that were refused", false },
  { "limit", "NUMBER", "only the last ones, so many", false },
  { "follow", NULL, "wait for more, until interrupted", false },
  { NULL, NULL, NULL, false },
};

const CmkVerb cmk_log_verbs[] = {
  { "log", "", 0, "show who did what with keys",
    "Show what the journal has of cmkd, a line for each call: when, which user, the method, the key, the outcome, the\n"
    "grant that was given or revoked, and where it can be told the unit of the program that called. It is shown to\n"
    "root and to members of the group systemd-journal. With --json an object a line.",
    "cmkctl log --since today --refused\n"
    "cmkctl log --key alias/backup --limit 20",
    log_options, run_log },
  { 0 },
};
