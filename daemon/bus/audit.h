/* SPDX-License-Identifier: Apache-2.0
 *
 * What the journal is told of each call: one entry, with fixed fields, that docs/audit.md promises to whoever reads it.
 * Any thread.
 *
 * No text of the caller's gets there but what was checked: ids, numbers, names of the contract, the Sequence. */
#pragma once

#include <glib.h>

/* How much a call that was done matters to whoever reads the journal later; the priority of its entry. */
typedef enum
{
  CMK_AUDIT_STATUS, /* nothing but facts was asked for: debug */
  CMK_AUDIT_USE,    /* of a key: info */
  CMK_AUDIT_CHANGE, /* of keys, or of what is known about them: notice */
} CmkAuditWeight;

/* What one method tells of a call beyond what all have. */
typedef struct
{
  const char *field; /* "CMKD_SEQUENCE" */
  const char *label; /* before the value, in the sentence for people: "sequence" */
  char *value;       /* checked; NULL: there is none */
} CmkAuditFact;

#define CMK_AUDIT_MAX_FACTS 3

typedef struct
{
  const char *request_id;
  const char *interface;      /* "org.cmkd.Kms1.Crypto" */
  const char *operation;      /* the method: "Encrypt" */
  const char *const *key_ids; /* that were named, though they need not exist, or made */
  gsize n_key_ids;
  gboolean is_caller_known;
  guint32 caller_uid;
  const char *caller_unit;       /* see bus/process.h; NULL: not known */
  const char *caller_executable; /* likewise */
  const char *error_name;        /* of the contract, without prefix; NULL: the call was done */
  const char *error_text;
  CmkAuditFact facts[CMK_AUDIT_MAX_FACTS];
  CmkAuditWeight weight;
} CmkAuditEntry;

/* To the journal, whatever the level, if standard error leads there; else as any message of its level. A text that is
 * not printable throughout is left out. */
void cmk_audit_call (const CmkAuditEntry *entry);

/* Calls that were turned away before they had an entry each: @counts says how many, and why. */
void cmk_audit_turned_away (gboolean is_caller_known, guint32 caller_uid, const char *counts);
