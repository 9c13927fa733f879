/* SPDX-License-Identifier: Apache-2.0 */
#include "bus-errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "cmkd.h"
#include "exit-code.h"

#define BUS_PREFIX "org.freedesktop.DBus.Error."

typedef struct
{
  const char *name;
  int code;
  const char *message; /* instead of the sender's own, NULL = that */
  const char *next;    /* command that goes on from there, if @message names none; NULL if none does */
} KnownError;

static const char not_running[] =
    "cmkd is not on this bus and cannot be started: see `systemctl status cmkd`, or choose "
    "another bus with --system, --session or --address";
static const char not_installed[] =
    "this bus has no cmkd to start: install the package cmkd, or choose another bus with --system, --session or "
    "--address";
static const char not_started[] =
    "cmkd did not start: `journalctl -u cmkd -n 20` and `systemctl status cmkd` say why (of one of your own: "
    "`journalctl --user -u cmkd-user -n 20`)";
static const char no_reply[] =
    "cmkd went away or gave no answer in five minutes: see its journal, and look whether the "
    "call took effect before you repeat it";

/* What is not in this table is CMK_EXIT_REFUSED. The messages of cmkd say what to do next in the names of the bus. */
static const KnownError known_errors[] = {
  { CMKD_ERROR_PREFIX CMKD_ERROR_KEY_NOT_FOUND, CMK_EXIT_NO_SUCH_KEY, NULL, "cmkctl list" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_ALIAS_NOT_FOUND, CMK_EXIT_NO_SUCH_KEY, NULL, "cmkctl alias list" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_ALIAS_ALREADY_EXISTS, CMK_EXIT_REFUSED, NULL, "cmkctl alias update" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_NOT_EXTERNAL_KEY, CMK_EXIT_REFUSED, NULL, "cmkctl create --origin EXTERNAL" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_KEY_DISABLED, CMK_EXIT_REFUSED, NULL, "cmkctl enable" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_KEY_PENDING_IMPORT, CMK_EXIT_REFUSED, NULL, "cmkctl import" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_KEY_PENDING_DELETION, CMK_EXIT_REFUSED, NULL, "cmkctl cancel-deletion" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_INVALID_IMPORT_TOKEN, CMK_EXIT_REFUSED, NULL, "cmkctl get-parameters" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_EXPIRED_IMPORT_TOKEN, CMK_EXIT_REFUSED, NULL, "cmkctl get-parameters" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_ACCESS_DENIED, CMK_EXIT_DENIED, NULL, NULL },
  { CMKD_ERROR_PREFIX CMKD_ERROR_TPM_UNAVAILABLE, CMK_EXIT_NOT_THERE, NULL, "cmkctl status" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_TPM_LOCKOUT, CMK_EXIT_REFUSED, NULL, "cmkctl status" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_TPM_CHANGED, CMK_EXIT_REFUSED, NULL, "cmkctl recover" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_ROLLBACK_DETECTED, CMK_EXIT_REFUSED, NULL, "cmkctl recover" },
  { CMKD_ERROR_PREFIX CMKD_ERROR_INTERNAL, CMK_EXIT_REFUSED, NULL, "cmkctl log --refused" },
  { BUS_PREFIX "AccessDenied", CMK_EXIT_DENIED, "the policy of this bus does not let you talk to cmkd: ask root",
    NULL },
  { BUS_PREFIX "InteractiveAuthorizationRequired", CMK_EXIT_DENIED,
    "this needs a password: run cmkctl on a terminal, or where an authentication agent runs, or as root", NULL },
  { BUS_PREFIX "ServiceUnknown", CMK_EXIT_NOT_THERE, not_installed, NULL },
  { BUS_PREFIX "NameHasNoOwner", CMK_EXIT_NOT_THERE, not_running, NULL },
  { BUS_PREFIX "NoReply", CMK_EXIT_NOT_THERE, no_reply, NULL },
  { BUS_PREFIX "Timeout", CMK_EXIT_NOT_THERE, no_reply, NULL },
  { BUS_PREFIX "TimedOut", CMK_EXIT_NOT_THERE, not_started, NULL },
  { BUS_PREFIX "Disconnected", CMK_EXIT_NOT_THERE, "the bus closed the connection: is it still running?", NULL },
};

/* Errors that only the attempt to start cmkd can bring. */
static bool
is_activation_error (const char *name)
{
  static const char spawn[] = BUS_PREFIX "Spawn.";
  static const char systemd[] = "org.freedesktop.systemd1.";

  return strncmp (name, spawn, sizeof spawn - 1) == 0 || strncmp (name, systemd, sizeof systemd - 1) == 0;
}

int
cmk_bus_fail (const char *name, const char *message)
{
  int code = CMK_EXIT_REFUSED;
  const char *next = NULL;

  if (is_activation_error (name))
    {
      code = CMK_EXIT_NOT_THERE;
      message = not_started;
    }

  for (size_t i = 0; i < sizeof known_errors / sizeof *known_errors; i++)
    if (strcmp (known_errors[i].name, name) == 0)
      {
        code = known_errors[i].code;
        message = known_errors[i].message != NULL ? known_errors[i].message : message;
        next = known_errors[i].next;
      }

  name = strrchr (name, '.') + 1;
  if (next != NULL && strstr (message, "`cmkctl ") == NULL)
    return cmk_fail (code, "%s: %s: `%s`", name, message, next);
  return cmk_fail (code, "%s: %s", name, message);
}
