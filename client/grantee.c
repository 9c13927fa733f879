/* SPDX-License-Identifier: Apache-2.0 */
#include "grantee.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

bool
cmk_grantee_find (const char *name, bool is_user, uint32_t *ret_number)
{
  const struct passwd *account = is_user ? getpwnam (name) : NULL;
  const struct group *group = is_user ? NULL : getgrnam (name);
  unsigned long long number;

  if (account != NULL || group != NULL)
    {
      *ret_number = account != NULL ? account->pw_uid : group->gr_gid;
      return true;
    }
  if (*name == '\0' || strspn (name, "0123456789") != strlen (name))
    return false;
  errno = 0;
  number = strtoull (name, NULL, 10);
  *ret_number = (uint32_t) number;
  return errno == 0 && number < UINT32_MAX;
}

char *
cmk_grantee_describe (const CmkValue *grant)
{
  const CmkValue *user = cmk_value_get (grant, "User", CMK_VALUE_UNSIGNED);
  const CmkValue *group = cmk_value_get (grant, "Group", CMK_VALUE_UNSIGNED);
  const struct passwd *account = user != NULL ? getpwuid ((uid_t) user->natural) : NULL;
  const struct group *members = group != NULL ? getgrgid ((gid_t) group->natural) : NULL;
  const char *name = account != NULL ? account->pw_name : members != NULL ? members->gr_name : NULL;
  const char *kind = user != NULL ? "user" : "group";
  char *text = NULL;

  if (name != NULL)
    cmk_require_memory (asprintf (&text, "%s %s", kind, name) >= 0);
  else if (user != NULL || group != NULL)
    cmk_require_memory (asprintf (&text, "%s %" PRIu64, kind, (user != NULL ? user : group)->natural) >= 0);
  else
    text = cmk_duplicate ("");
  return text;
}
