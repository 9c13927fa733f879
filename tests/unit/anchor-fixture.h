/* SPDX-License-Identifier: Apache-2.0
 *
 * A store with an anchor. */
#pragma once

#include "store-fixture.h"

typedef struct
{
  Fixture fixture;
  CmkKeyRecord *keys[3]; /* 2 and 4 with material, 3 without */
  CmkImportSetRecord *set;
  CmkStore *store;
} Anchored;

/* The MAC is set and the anchor, if there is one, loaded. */
static inline CmkStore *
open_anchored (const Fixture *fixture, gboolean are_current)
{
  g_autoptr (GError) error = NULL;
  gboolean current = !are_current;
  CmkStore *store = open_store_to_read (fixture);
  g_autoptr (CmkStoreAnchor) anchor G_GNUC_UNUSED = cmk_store_load_anchor (store, &current, &error);
  g_assert_no_error (error);
  g_assert_cmpint (current, ==, are_current);
  return store;
}

static inline CmkStoreAnchor *
make_anchor (guint8 stage)
{
  CmkStoreAnchor *anchor = g_new0 (CmkStoreAnchor, 1);
  memset (anchor->stage, stage, sizeof anchor->stage);
  anchor->nv_handle = 0x018c6d00;
  anchor->steps = stage;
  return anchor;
}

static inline void
put_anchor (CmkStore *store, guint8 stage)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CmkStoreAnchor) anchor = make_anchor (stage);
  gboolean put = CHANGE (store, cmk_store_put_anchor (store, anchor, &error), &error);
  g_assert_no_error (error);
  g_assert_true (put);
}

static inline void
anchored_set_up (Anchored *anchored, gconstpointer data)
{
  fixture_set_up (&anchored->fixture, data);
  anchored->keys[0] = make_key (2, 1000);
  anchored->keys[1] = make_key (4, 1000);
  anchored->keys[2] = make_key (3, 1001);
  anchored->set = make_import_set (1, anchored->keys[0], 1000, 5000);
  CmkStore *store = anchored->store = open_anchored (&anchored->fixture, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (anchored->keys); i++)
    insert_key (store, anchored->keys[i]);
  insert_import_set (store, anchored->set);
  put_public_key (store, anchored->keys[0], "public key of 2");
  put_tags (store, anchored->keys[0], "tags of 2");
  cmk_alias_record_free (insert_alias (store, 1000, "alias/2", anchored->keys[0]));
  put_anchor (store, 1);
}

static inline void
anchored_tear_down (Anchored *anchored, gconstpointer data)
{
  cmk_store_close (anchored->store);
  for (guint i = 0; i < G_N_ELEMENTS (anchored->keys); i++)
    cmk_key_record_free (anchored->keys[i]);
  cmk_import_set_record_free (anchored->set);
  fixture_tear_down (&anchored->fixture, data);
}

static inline void
close_anchored (Anchored *anchored)
{
  g_clear_pointer (&anchored->store, cmk_store_close);
}

static inline void
reopen_anchored (Anchored *anchored, gboolean are_current)
{
  close_anchored (anchored);
  anchored->store = open_anchored (&anchored->fixture, are_current);
}

/* Change key 2, and remember for edit_with_old() what there was before. */
static inline void
keep_old_state (Anchored *anchored)
{
  g_autofree char *contents = NULL, *old = g_build_filename (anchored->fixture.base, "old.db", NULL);
  gsize size = 0;
  close_anchored (anchored);
  g_assert_true (g_file_get_contents (anchored->fixture.database, &contents, &size, NULL));
  replace_file (old, contents, size);
  anchored->store = open_anchored (&anchored->fixture, TRUE);
}

/* The kept state is attached as "old". Leaves the store closed. */
static inline void
edit_with_old (Anchored *anchored, const char *sql)
{
  g_autofree char *all = g_strdup_printf ("ATTACH '%s/old.db' AS old; %s", anchored->fixture.base, sql);
  close_anchored (anchored);
  edit_database (&anchored->fixture, all);
}
