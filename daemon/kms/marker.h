/* SPDX-License-Identifier: Apache-2.0
 *
 * The marker of a paged list: where the next page starts, under a MAC, for the owner that got it. */
#pragma once

#include "base/secret.h"

/* Which list: a marker of one is none of another. */
typedef enum
{
  CMK_MARKER_KEYS = 1,
  CMK_MARKER_ALIASES = 2,
} CmkMarkerList;

char *cmk_marker_encode (CmkMarkerList list, gint64 after_serial, gint64 owner, const CmkSecret *key,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* CMK_ERROR_INVALID_PARAMETER for a marker that was not handed out to @owner for this list. */
gboolean cmk_marker_decode (CmkMarkerList list, const char *marker, gint64 owner, const CmkSecret *key,
                            gint64 *ret_after_serial, GError **error) G_GNUC_WARN_UNUSED_RESULT;
