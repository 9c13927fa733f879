/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: rows that carry a MAC. Every write and every read of such a row goes through here, so there is
 * no way to use one that was not checked. */
#pragma once

#include "store/database.h"

/* A table whose last column is the MAC of the others. */
typedef struct
{
  const char *domain; /* what the MAC says this is a row of; changes with the columns */
  const char *shape;  /* a letter for each column: i integer, t text, u id, b blob, B blob or NULL */
} CmkTable;

/* One column. Borrowed: from a record while it is written, from the statement while it is read. */
typedef struct
{
  gint64 number;
  const void *data; /* NULL only where the column is NULL */
  gsize size;
} CmkValue;

CmkValue cmk_value_number (gint64 number);
CmkValue cmk_value_text (const char *text);
CmkValue cmk_value_id (const CmkUuid *id);
CmkValue cmk_value_bytes (GBytes *bytes); /* NULL is NULL */

char *cmk_value_dup_text (const CmkValue *value);
CmkUuid cmk_value_to_id (const CmkValue *value);
GBytes *cmk_value_dup_bytes (const CmkValue *value);

/* The next serial of a table whose rows are numbered, for the MAC covers it, so it is fixed before the row is written.
 * No serial is ever given twice: clients hold them in their markers. @sql: CMK_NEXT_SERIAL of the table. */
#define CMK_NEXT_SERIAL(table)                                                                                         \
  "SELECT 1 + max (coalesce ((SELECT max (serial) FROM " table                                                         \
  "), 0), coalesce ((SELECT CAST (seq AS INTEGER) FROM sqlite_sequence WHERE name = '" table "'), 0))"
gboolean cmk_row_next_serial (CmkStore *store, const char *sql, gint64 *ret_serial,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Bind @values to ?1, ?2, ... and their MAC to the parameter after the last. @values must outlive the statement's
 * use. */
gboolean cmk_row_bind (CmkStore *store, const CmkTable *table, sqlite3_stmt *statement, const CmkValue *values,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Fill @ret_values from the row that @statement stands on. CMK_ERROR_STATE_CORRUPTED if a column is not of its type
 * or size, or the MAC is not that of the row. */
gboolean cmk_row_read (CmkStore *store, const CmkTable *table, sqlite3_stmt *statement, CmkValue *ret_values,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
