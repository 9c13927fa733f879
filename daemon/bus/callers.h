/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is calling: the uid and the groups that the bus daemon vouches for, by unique name, and the name of the account.
 * Main loop. */
#pragma once

#include <gio/gio.h>

#include "bus/process.h"
#include "kms/kms.h"

typedef struct _CmkCallers CmkCallers;

/* What is known of who is at the other end of a connection. */
typedef struct
{
  grefcount references; /* main loop */
  guint32 uid;
  char *account; /* name */
  guint32 *groups;
  gsize n_groups;
  gboolean is_administrator;
  CmkProcess process; /* that made the connection; for the journal alone */
} CmkIdentity;

CmkIdentity *cmk_identity_ref (CmkIdentity *identity);
void cmk_identity_unref (CmkIdentity *identity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkIdentity, cmk_identity_unref)

/* Called once with the caller, or with an @error: then nobody is to be served. */
typedef void (*CmkCallerFunc) (CmkIdentity *identity, const GError *error, gpointer user_data);

/* @own_uid_administers: who runs cmkd is its administrator, as root always is. */
CmkCallers *cmk_callers_new (GDBusConnection *connection, gboolean own_uid_administers);
void cmk_callers_free (CmkCallers *callers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CmkCallers, cmk_callers_free)

/* Find out who @sender is; at once, from within, for one that was asked about before. Calls of one sender are answered
 * in the order in which they were asked. */
void cmk_callers_identify (CmkCallers *callers, const char *sender, CmkCallerFunc identified, gpointer user_data);

/* NULL: it is. Else CMK_ERROR_THROTTLED. */
typedef void (*CmkPresenceFunc) (const GError *gone, gpointer user_data);

/* Is @sender still there, after something took long? What is done for one that has left takes effect for nobody. */
void cmk_callers_check_presence (CmkCallers *callers, const char *sender, CmkPresenceFunc checked, gpointer user_data);
