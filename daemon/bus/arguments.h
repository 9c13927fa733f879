/* SPDX-License-Identifier: Apache-2.0
 *
 * D-Bus arguments to checked values. Every failure is CMK_ERROR_INVALID_PARAMETER, names the argument and says what is
 * allowed; what the caller sent is never echoed, but for an option's name of harmless characters. */
#pragma once

#include "base/secret.h"
#include "kms/kms.h"

typedef struct
{
  const char *name;
  const char *type; /* D-Bus signature */
} CmkOption;

/* No option but those of @table (ended by a NULL name), each of its type and at most once. */
gboolean cmk_arguments_check_options (GVariant *options, const CmkOption *table,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The rest reads options that were checked. An option that is not there leaves *@ret alone. */
gboolean cmk_arguments_get_choice (GVariant *options, const char *name, const CmkSpecName *set, int *ret,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_arguments_get_uint (GVariant *options, const char *name, guint minimum, guint maximum, guint *ret,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The canonical context of option @name (a{ss}); zero bytes if it is not there. */
GBytes *cmk_arguments_get_context (GVariant *options, const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Positional arguments, and options by the same rules. @name is that of the argument. */
gboolean cmk_arguments_parse_choice (const char *name, const char *text, const CmkSpecName *set, int *ret,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_arguments_parse_key_id (const char *name, const char *text, CmkUuid *ret,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* An id or an alias. */
gboolean cmk_arguments_parse_key (const char *name, const char *text, CmkKeyReference *ret,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* An alias, with its prefix. */
gboolean cmk_arguments_check_alias (const char *name, const char *text, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Tags of a{ss}: when there are more than a key may have, no more of them than shows that. */
GTree *cmk_arguments_parse_tags (const char *name, GVariant *pairs, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_arguments_check_tag_name (const char *name, const char *text, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean cmk_arguments_check_description (const char *name, const char *text, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Canonical Base64, not empty, of at most @max_chars characters (0 = no limit but the bus's). */
GBytes *cmk_arguments_decode (const char *name, const char *text, gsize max_chars,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for what must stay secret: 1 to @max_bytes bytes. */
CmkSecret *cmk_arguments_decode_secret (const char *name, const char *text, gsize max_bytes,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
