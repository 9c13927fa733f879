/* SPDX-License-Identifier: Apache-2.0 */
#include "kms/expiry-notice.h"

#include "base/error.h"
#include "kms/bytes.h"

#define FACT            "expiry-notices"
#define SECONDS_PER_DAY ((gint64) 24 * 60 * 60)

/* When to look again after the store could not be read. */
#define RETRY_SECONDS 60

struct _CmkExpiryNotices
{
  const CmkConfig *config;
  CmkExpiringFunc expiring;
  gpointer user_data;
  gint64 told_until;      /* every notice that was due by then was told */
  gint64 delivered_until; /* and was sent; a crash loses those after it, and they are told again */
  gint64 next;            /* no notice is due before; 0 = none will be */
  gint64 retry_at;        /* 0: next is known */
};

typedef struct
{
  CmkUuid key_id;
  gint64 expires_at;
} Notice;

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
  notices->delivered_until = notices->told_until;
  return find_next (notices, store, error);
}

gboolean
cmk_expiry_notices_put (CmkExpiryNotices *notices, CmkStore *store, gboolean are_delivered, GError **error)
{
  if (are_delivered)
    notices->delivered_until = notices->told_until;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  cmk_bytes_put_i64 (bytes, notices->delivered_until);
  g_autoptr (GBytes) value = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  return cmk_store_put_fact (store, FACT, value, error);
}

static gboolean
collect (const CmkKeyRecord *record, gpointer data)
{
  const Notice notice = { .key_id = record->id, .expires_at = record->expires_at };
  g_array_append_val ((GArray *) data, notice);
  return TRUE;
}

static gboolean
find_due (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed, GArray *found, GError **error)
{
  for (guint i = 0; i < notices->config->n_notice_days; i++)
    {
      gint64 lead = lead_of (notices, i);
      /* Two notices of one key that come due together, after a long time off, are one. */
      gint64 until = i == 0 ? confirmed + lead : MIN (confirmed + lead, notices->told_until + lead_of (notices, i - 1));
      gint64 after = MAX (notices->told_until + lead, confirmed);
      if (after < until && !cmk_store_visit_expiring (store, after, until, collect, found, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
cmk_expiry_notices_tell (CmkExpiryNotices *notices, CmkStore *store, gint64 confirmed, GError **error)
{
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (Notice));
  notices->retry_at = confirmed + RETRY_SECONDS;
  if (!find_due (notices, store, confirmed, found, error))
    return FALSE;
  for (guint i = 0; i < found->len; i++)
    {
      const Notice *notice = &g_array_index (found, Notice, i);
      notices->expiring (&notice->key_id, notice->expires_at, notices->user_data);
    }
  notices->told_until = MAX (notices->told_until, confirmed);
  if (!find_next (notices, store, error))
    return FALSE;
  notices->retry_at = 0;
  return TRUE;
}

void
cmk_expiry_notices_pass (CmkExpiryNotices *notices, gint64 confirmed)
{
  if (notices->retry_at == 0)
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
  return notices->retry_at != 0 ? notices->retry_at : notices->next;
}
