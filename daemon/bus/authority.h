/* SPDX-License-Identifier: Apache-2.0
 *
 * polkit, the administrator's policy: asked about the sender of a call by its unique name, which nobody else can take
 * over, never by a process id. Whatever is not a clear yes is a no: polkit absent, hung, or answering nonsense. Main
 * loop; never waits. */
#pragma once

#include <gio/gio.h>

#include "kms/access.h"

typedef struct _CmkAuthority CmkAuthority;

/* A yes that nobody had to authenticate for is kept for @keep_seconds (0: not at all), or until polkit says that
 * something has changed. */
CmkAuthority *cmk_authority_new (GDBusConnection *connection, guint keep_seconds);
void cmk_authority_free (CmkAuthority *authority);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkAuthority, cmk_authority_free)

/* NULL: permitted. Else CMK_ERROR_ACCESS_DENIED, saying what to do. */
typedef void (*CmkAuthorityFunc) (const GError *denied, gpointer user_data);

/* Is the answer known already, and is it yes? */
gboolean cmk_authority_remembers (CmkAuthority *authority, const char *sender, const char *method,
                                  const CmkAccessQuestion *question);

/* May @sender do what @question says by calling @method (a static string)? @interactive: if somebody has to
 * authenticate, he is asked to, which takes as long as people take, up to two minutes. */
void cmk_authority_ask (CmkAuthority *authority, const char *sender, const char *method,
                        const CmkAccessQuestion *question, gboolean interactive, CmkAuthorityFunc answered,
                        gpointer user_data);

/* From now on nobody is waited for to authenticate. polkit itself is: it answers, or does not, within seconds. */
void cmk_authority_end_dialogs (CmkAuthority *authority);
