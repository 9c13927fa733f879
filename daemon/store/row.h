/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside daemon/store: rows that carry a MAC. Every write and every read of such a row goes through here, so there is
 * no way to use one that was not checked. */
#pragma once

#include "store/database.h"

/* One column. Borrowed: from a record while it is written, from the statement while it is read. */
typedef struct
{
  gint64 number;
  const void *data; /* NULL only where the column is NULL */
  gsize size;
} CmkValue;

/* A table whose last column is the MAC of the others. */
typedef struct
{
  const char *name;
  const char *columns; /* with the MAC */
  const char *domain;  /* what the MAC says this is a row of; changes with the columns */
  const char *shape;   /* a letter for each column: i integer, t text, u id, b blob, B blob or NULL */
  int envelope;        /* index of the column that begins with an erasure slot; 0: none, the first being the key */
  /* May these stand in a row? Asked only when there is no MAC to say that we wrote them. NULL: all may. */
  gboolean (*is_sound) (const CmkValue *values);
} CmkTable;

/* The most columns that a table has beside its MAC. */
#define CMK_MAX_COLUMNS 14

/* All of them, but for the anchor, which vouches for them; ends with NULL. A table comes before those that refer to
 * it. */
extern const CmkTable *const cmk_tables[];

extern const CmkTable cmk_accounts_table;
extern const CmkTable cmk_aliases_table;
extern const CmkTable cmk_deletions_table;
extern const CmkTable cmk_erasure_pages_table;
extern const CmkTable cmk_erasures_table;
extern const CmkTable cmk_facts_table;
extern const CmkTable cmk_grants_table;
extern const CmkTable cmk_import_sets_table;
extern const CmkTable cmk_keys_table;
extern const CmkTable cmk_public_keys_table;
extern const CmkTable cmk_tags_table;

/* "SELECT <columns>, rowid FROM <table>", by rowid: rows may be changed on the way. */
char *cmk_table_select (const CmkTable *table);

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

/* Where a row stands that is read: under a statement, or in a change that SQLite is about to make. */
typedef struct
{
  gpointer object;
  int (*read) (gpointer object, int column, CmkValue *ret_value); /* returns SQLite's type; 0: there is no column */
} CmkRowSource;

CmkRowSource cmk_row_of_statement (sqlite3_stmt *statement);
CmkRowSource cmk_row_before_change (sqlite3 *database);
CmkRowSource cmk_row_after_change (sqlite3 *database);

/* Fill @ret_values. Is every column of its type and size? Says nothing of the MAC. */
gboolean cmk_row_read_form (const CmkTable *table, const CmkRowSource *source, CmkValue *ret_values);

/* The MAC as it stands in @column; zeroes if it cannot be one. */
void cmk_row_read_mac (const CmkRowSource *source, int column, guint8 ret_mac[CMK_ROW_MAC_SIZE]);

gboolean cmk_row_compute_mac (CmkStore *store, const CmkTable *table, const CmkValue *values,
                              guint8 ret_mac[CMK_ROW_MAC_SIZE], GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* May we have written this? All that can be asked of a row that no MAC vouches for. */
gboolean cmk_row_is_plausible (const CmkTable *table, const CmkValue *values);

gboolean cmk_mac_equal (const guint8 *a, const guint8 *b);
