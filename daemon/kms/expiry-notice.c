/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/expiry-notice.h"

#include "base/error.h"
#include "kms/bytes.h"

#define FACT            "expiry-notices"
#define SECONDS_PER_DAY ((gint64) 24 * 60 * 60)

struct _CmkExpiryNotices
{
  const CmkConfig *config;
  CmkExpiringFunc expiring;
  gpointer user_data;
  gint64 told_until; /* every notice that was due by then was told */
  gint64 next;       /* no notice is due before; 0 = none will be */
};

CmkExpiryNotices *
cmk_expiry_notices_new (const CmkConfig *config, CmkExpiringFunc expiring, gpointer user_data)
{
  CmkExpiryNotices *notices = g_new0 (CmkExpiryNotices, 1);
  notices->config = config;
  notices->expiring = expiring;
  notices->user_data = user_data;
  return notices;
}

void
cmk_expiry_notices_free (CmkExpiryNotices *notices)
{
  g_free (notices);
}

static gint64
lead_of (const CmkExpiryNotices *notices, guint i)
{
  return notices->config->notice_days[i] * SECONDS_PER_DAY;
}

static gboolean
find_next (CmkExpiryNotices *notices, CmkStore *store, GError **error)
{
  notices->next = 0;
  for (guint i = 0; i < notices->config->n_notice_days; i++)
    {
      gint64 lead = lead_of (notices, i), expires_at;
      if (!cmk_store_next_expiry (store, notices->told_until + lead, &expires_at, error))
        return FALSE;
      if (expires_at != 0 && (notices->next == 0 || expires_at - lead < notices->next))
        notices->next = expires_at - lead;
    }
  return TRUE;
}

gboolean
cmk_expiry_notices_load (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GBytes) value = cmk_store_get_fact (store, FACT, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  notices->told_until = confirmed;
  if (value != NULL && g_bytes_get_size (value) == sizeof notices->told_until)
    {
      const guint8 *position = g_bytes_get_data (value, NULL);
      notices->told_until = cmk_bytes_get_i64 (&position);
    }
  return find_next (notices, store, error);
}

gboolean
cmk_expiry_notices_put (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  cmk_bytes_put_i64 (bytes, MAX (confirmed, notices->told_until));
  g_autoptr (GBytes) value = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  return cmk_store_put_fact (store, FACT, value, error);
}

static gboolean
tell (const CmkKeyRecord *record, gpointer data)
{
  const CmkExpiryNotices *notices = data;
  notices->expiring (&record->id, record->expires_at, notices->user_data);
  return TRUE;
}

gboolean
cmk_expiry_notices_tell (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed, GError **error)
{
  gint64 told_until = notices->told_until;
  cmk_expiry_notices_pass (notices, confirmed);
  for (guint i = 0; i < notices->config->n_notice_days; i++)
    {
      gint64 lead = lead_of (notices, i);
      /* Two notices of one key that come due together, after a long time off, are one. */
      gint64 until = i == 0 ? confirmed + lead : MIN (confirmed + lead, told_until + lead_of (notices, i - 1));
      gint64 after = MAX (told_until + lead, confirmed);
      if (after < until && !cmk_store_visit_expiring (store, after, until, tell, notices, error))
        return FALSE;
    }
  return find_next (notices, store, error);
}

void
cmk_expiry_notices_pass (CmkExpiryNotices *notices, gint64 confirmed)
{
  notices->told_until = MAX (notices->told_until, confirmed);
}

void
cmk_expiry_notices_note (CmkExpiryNotices *notices, gint64 expires_at)
{
  for (guint i = 0; i < notices->config->n_notice_days; i++)
    {
      gint64 when = expires_at - lead_of (notices, i);
      if (when > notices->told_until && (notices->next == 0 || when < notices->next))
        notices->next = when;
    }
}

gint64
cmk_expiry_notices_next (const CmkExpiryNotices *notices)
{
  return notices->next;
}
