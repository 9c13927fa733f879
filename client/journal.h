/* SPDX-License-Identifier: Apache-2.0
 *
 * The entries of the journal, read by journalctl(1). */
#pragma once

#include "value.h"

/* A query: options and matches of journalctl(1), each a text that it owns. Zeroed: none yet. */
typedef struct
{
  char **texts;
  size_t n_texts;
  bool is_silent; /* journalctl does not say what is wrong with it */
} CmkJournalQuery;

void cmk_journal_query_add (CmkJournalQuery *query, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void cmk_journal_query_clear (CmkJournalQuery *query);

/* Refuse if there is no journal, or if its entries of system services are not shown to this user. */
int cmk_journal_require_readable (void);

/* Does journalctl(1) know which time @text is? */
bool cmk_journal_knows_time (const char *text);

/* Call @on_entry with each entry that @query asks for, oldest first, until that returns something else than
 * CMK_EXIT_DONE. An entry is a map of texts; what is no text is not in it. */
int cmk_journal_read (const CmkJournalQuery *query, int (*on_entry) (const CmkValue *entry, void *data), void *data);
