/* SPDX-License-Identifier: Apache-2.0
 *
 * The system bus of another machine: ssh runs systemd-stdio-bridge there, and libdbus talks to it through ssh. No shell
 * has a part in it on our side. */
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "bus-internal.h"
#include "exit-code.h"

/* Nothing that ssh takes for an option, or that its configuration or a shell on the other machine may make something
 * of. */
static bool
is_name (const char *text, size_t size)
{
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:%[]";

  return size > 0 && text[0] != '-' && strspn (text, allowed) >= size;
}

static bool
is_host (const char *host)
{
  const char *at = strchr (host, '@');

  return at == NULL ? is_name (host, strlen (host))
                    : is_name (host, (size_t) (at - host)) && is_name (at + 1, strlen (at + 1));
}

int
cmk_bus_host_address (const char *host, char **ret_address)
{
  char *escaped;

  if (!is_host (host))
    return cmk_fail (CMK_EXIT_USAGE,
                     "--host takes MACHINE or USER@MACHINE, as ssh does, of letters, digits and .-_:%%[]");
  escaped = dbus_address_escape_value (host);
  cmk_require_memory (
      escaped != NULL &&
      asprintf (ret_address, "unixexec:path=ssh,argv1=-xT,argv2=--,argv3=%s,argv4=systemd-stdio-bridge", escaped) >= 0);
  dbus_free (escaped);
  return CMK_EXIT_DONE;
}
