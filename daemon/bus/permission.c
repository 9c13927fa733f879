/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/permission.h"

typedef struct
{
  CmkCallers *callers;
  const char *sender; /* of the invocation, which outlives the question */
  CmkAccess *access;
  CmkPermissionFunc decided;
  gpointer user_data;
} Question;

static void
on_answered (const GError *denied, gpointer data)
{
  g_autofree Question *question = data;
  if (denied == NULL)
    cmk_access_permit (question->access);
  else if (question->access->question.action == CMK_ACTION_MANAGE_OTHERS_KEYS)
    question->access->is_kept_to_own = TRUE;
  else
    {
      question->decided (denied, question->user_data);
      return;
    }
  cmk_callers_check_presence (question->callers, question->sender, question->decided, question->user_data);
}

void
cmk_permission_ask (CmkAuthority *authority, CmkCallers *callers, GDBusMethodInvocation *invocation, const char *method,
                    CmkAccess *access, CmkPermissionFunc decided, gpointer user_data)
{
  const char *sender = g_dbus_method_invocation_get_sender (invocation);
  if (cmk_authority_remembers (authority, sender, method, &access->question))
    {
      cmk_access_permit (access);
      decided (NULL, user_data);
      return;
    }
  Question *question = g_new0 (Question, 1);
  *question = (Question) { callers, sender, access, decided, user_data };
  GDBusMessageFlags flags = g_dbus_message_get_flags (g_dbus_method_invocation_get_message (invocation));
  gboolean interactive = (flags & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) != 0;
  cmk_authority_ask (authority, sender, method, &access->question, interactive, on_answered, question);
}
